"""The store: records whole or absent, claims that die with their process, one study per directory."""

import errno
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from toy_plugin import variant

from rapidash.methods import Augment
from rapidash.study import RunConfig, Store, StoreError, StudyDesign, run_one
from rapidash.study._provenance import failed_record


@pytest.fixture
def record(run):
    return failed_record(run(), "Traceback: it failed")


def test_a_record_comes_back_as_it_was(tmp_path: Path, record) -> None:
    store = Store(tmp_path)
    assert store.load(record["key"]) is None
    store.save(record)
    assert store.load(record["key"]) == record
    assert store.records() == [record]
    assert [path.name for path in (tmp_path / "records").iterdir()] == [f"{record['key']}.json"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: '{"schema": 1}',
        lambda text: text.replace('"failed"', '"done"'),
        lambda text: text.replace('"key": "', '"key": "0'),
        lambda text: text.replace('"config"', '"konfig"'),
    ],
    ids=["truncated", "empty", "list", "no fields", "done without result", "another run", "no config"],
)
def test_a_damaged_record_is_named_set_aside_and_gone(tmp_path: Path, record, damage) -> None:
    store = Store(tmp_path)
    store.save(record)
    path = store.record_path(record["key"])
    path.write_text(damage(path.read_text()))
    with pytest.warns(UserWarning, match=f"{record['key']}.json.*set aside"):
        assert store.load(record["key"]) is None
    assert not path.exists()
    assert path.with_name(path.name + ".corrupt").exists()
    assert store.records() == []


def test_a_record_that_is_not_text_is_set_aside(tmp_path: Path, record) -> None:
    store = Store(tmp_path)
    store.save(record)
    store.record_path(record["key"]).write_bytes(b"\xff\xfe\x00garbage")
    with pytest.warns(UserWarning, match="set aside"):
        assert store.load(record["key"]) is None


def changed(plain: dict, path: str, value: object) -> dict:
    """A copy with another value at a path with dots; `...`: without it."""
    copied = json.loads(json.dumps(plain))
    *folders, last = path.split(".")
    place = copied
    for folder in folders:
        place = place[int(folder) if isinstance(place, list) else folder]
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return copied


WRONG = [
    ("config.variant", "text", "config.variant: expected an object, found 'text'"),
    ("config.variant.name", ..., "config.variant.name: expected a name, found nothing"),
    ("config.variant.name", ["a"], r"config.variant.name: expected a name, found \['a'\]"),
    ("config.variant.name", "", "config.variant.name: expected a name, found ''"),
    ("config.variant.augment", 5, "config.variant.augment: expected text, found 5"),
    ("config.variant.inputs", "pos", "config.variant.inputs: expected a list, found 'pos'"),
    ("config.variant.tta", 1.5, "config.variant.tta: expected a whole number of at least 0, found 1.5"),
    ("config.seed", "0", "config.seed: expected a whole number of at least 0, found '0'"),
    ("config.seed", None, "config.seed: expected a whole number of at least 0, found nothing"),
    ("config.seed", -1, "config.seed: expected a whole number of at least 0, found -1"),
    ("config.fraction", "all", r"config.fraction: expected a share in \(0, 1\], found 'all'"),
    ("config.fraction", 2, r"config.fraction: expected a share in \(0, 1\], found 2"),
    ("config.train", 5, "config.train: expected an object, found 5"),
    ("config.train", None, "config.train: expected an object, found nothing"),
    ("equivariance", "low", "equivariance: expected an object, found 'low'"),
    ("equivariance.before.mean", "low", "equivariance.before.mean: expected a number of at least 0, found 'low'"),
    ("exact_symmetry.after.rotations", "low", "exact_symmetry.after.rotations: expected a number of at least 0"),
    ("equivariance_translations.group", 3, "equivariance_translations.group: expected text, found 3"),
    ("seconds_per_step", "fast", "seconds_per_step: expected a number of at least 0, found 'fast'"),
    ("test_details", [1], r"test_details: expected an object, found \[1\]"),
    ("test_error", "low", "test_error: expected a finite number, found 'low'"),
    ("test_error", float("nan"), "test_error: expected a finite number, found nan"),
    ("val_error", float("inf"), "val_error: expected a finite number, found inf"),
    ("parameters", 10**400, "parameters: expected a number of at least 0, found 1000"),
    ("history", {"step": 1}, "history: expected a list"),
    ("history.0.val_error", "low", "history.0.val_error: expected a finite number, found 'low'"),
    ("symmetry.effective", 3, "symmetry.effective: expected text, found 3"),
    ("error", 3, "error: expected text, found 3"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory, request):
    """The record of a finished run, as this version writes it."""
    import toy_plugin

    design = toy_plugin.make_design()
    return run_one(design.runs()[0], tmp_path_factory.mktemp("made"))


@pytest.mark.parametrize(("path", "value", "message"), WRONG, ids=lambda value: str(value)[:30])
def test_a_record_of_wrong_types_is_set_aside_with_file_and_key(tmp_path: Path, made, path, value, message) -> None:
    store = Store(tmp_path)
    store.save(made)
    assert store.records() == [made]
    file = store.record_path(made["key"])
    file.write_text(json.dumps(changed(made, path, value)))
    with pytest.warns(UserWarning, match=f"{made['key']}.json is no record: ({message})"):
        assert store.records() == []
    assert file.with_name(f"{file.name}.corrupt").is_file()


def test_nested_json_without_end_is_set_aside(tmp_path: Path, record) -> None:
    store = Store(tmp_path)
    store.save(record)
    store.record_path(record["key"]).write_text("[" * 200_000)
    with pytest.warns(UserWarning, match="is not JSON"):
        assert store.records() == []


def test_a_bad_record_in_a_folder_that_is_read_only_is_left_out(tmp_path: Path, record, monkeypatch) -> None:
    store = Store(tmp_path)
    store.save(record)
    path = store.record_path(record["key"])
    path.write_text("[]")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.warns(UserWarning, match=r"holds a list, not an object; it is left out"):
        assert store.records() == []
    assert path.exists()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("variants", "text", "variants: expected a list, found 'text'"),
        ("variants", None, "variants: expected a list, found nothing"),
        ("variants.0.name", ..., "variants.0: expected an object with a name, found {"),
        ("variants.1.name", ["a"], r"variants.1.name: expected a name, found \['a'\]"),
        ("seeds", "012", "seeds: expected a list, found '012'"),
        ("variants.0", None, "variants.0: expected an object with a name, found None"),
        ("seeds", [None], "seeds.0: expected a whole number of at least 0, found None"),
        ("seeds", ["0"], "seeds.0: expected a whole number of at least 0, found '0'"),
        ("seeds", None, "seeds: expected a list, found nothing"),
        ("train_overrides", None, "train_overrides: expected an object, found nothing"),
        ("train_overrides", {"equivariant": 5}, "train_overrides.equivariant: expected an object, found 5"),
        ("fractions", [1.0, "half"], r"fractions.1: expected a share in \(0, 1\], found 'half'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_design_of_wrong_types_is_set_aside_with_file_and_key(tmp_path: Path, design, path, value, message) -> None:
    store = Store(tmp_path)
    store.open_study(design)
    right = json.loads((tmp_path / "study.json").read_text())
    for use in (lambda: store.open_study(design), lambda: store.records()):
        (tmp_path / "study.json").write_text(json.dumps(changed(right, path, value)))
        with pytest.warns(UserWarning, match=f"study.json is no design: {message}.*set aside"):
            use()
        assert (tmp_path / "study.json.corrupt").is_file()
    store.open_study(design)
    assert json.loads((tmp_path / "study.json").read_text()) == right


@pytest.mark.parametrize(
    "change", [{"methods": 5}, {"name": 3}, {"inputs": "abc"}, {"objective": 1.5}, {"model": 5}], ids=str
)
def test_a_variant_of_wrong_types_is_an_error_that_names_the_field(run, change: dict) -> None:
    plain = run().to_dict()
    plain["variant"] |= change
    with pytest.raises(ValueError, match=next(iter(change))):
        RunConfig.from_dict(plain)
    for wrong in ({"seed": "0"}, {"seed": True}, {"fraction": "half"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RunConfig.from_dict({**run().to_dict(), **wrong})


def test_a_long_error_is_kept_without_its_middle(tmp_path: Path, run) -> None:
    record = failed_record(run(), "first line\n" + "x" * 5_000_000 + "\nRuntimeError: the cause" + "y" * 9_000)
    first, long, last = record["error"].split("\n")
    assert first == "first line"
    assert long == "x" * 470 + " ... 4999060 characters left out ... " + "x" * 470  # 2 * 470 are kept
    assert last.startswith("RuntimeError: the causeyyy")
    lines = [f"line {number}" for number in range(100_000)]
    many = failed_record(run(), "\n".join(lines))["error"]
    assert 9_900 < len(many) <= 10_000
    assert many.startswith("line 0\nline 1\n")
    assert many.endswith("\nline 99999")
    assert failed_record(run(), "x" * 10_000)["error"] == "x" * 10_000
    Store(tmp_path).save(record)
    assert Store(tmp_path).load(record["key"]) == record


def test_half_a_letter_is_no_reason_to_lose_a_record(tmp_path: Path, run) -> None:
    record = failed_record(run(), "a name that is no text: \udcff")
    assert record["error"] == "a name that is no text: \\udcff"
    path = replace(run(), task_options={"data_dir": "/data/\udcff"})
    for made in (record, failed_record(path, "x")):
        Store(tmp_path).save(made)
        assert Store(tmp_path).load(made["key"]) == made
    assert Store(tmp_path).load(path.key)["config"]["task_options"] == {"data_dir": "/data/\udcff"}


def test_a_record_of_another_schema_is_left_alone(tmp_path: Path, record) -> None:
    store = Store(tmp_path)
    store.save(record)
    path = store.record_path(record["key"])
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(StoreError, match="schema 2, this version of rapidash reads 1"):
        store.load(record["key"])
    assert path.exists()


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path: Path, record, monkeypatch) -> None:
    store = Store(tmp_path)
    store.save(record)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match=r"No space left.*Finished runs are kept: free some space"):
        store.save(record | {"error": "another"})
    monkeypatch.undo()
    assert store.load(record["key"]) == record
    assert [path.name for path in (tmp_path / "records").iterdir()] == [f"{record['key']}.json"]


def test_a_claim_excludes_others_until_it_is_released(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.claim("a") as first:
        assert first
        with Store(tmp_path).claim("a") as second, store.claim("b") as other:
            assert (second, other) == (False, True)
    with store.claim("a") as again:
        assert again


def test_the_claim_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from rapidash.study import Store\n"
        "with Store(sys.argv[1]).claim('a') as mine: print(mine, flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "True\n"
        with Store(tmp_path).claim("a") as mine:
            assert not mine
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with Store(tmp_path).claim("a") as mine:
            assert mine
    finally:
        holder.kill()
        holder.communicate()


def test_a_study_may_grow_but_not_change(tmp_path: Path, design: StudyDesign) -> None:
    store, path = Store(tmp_path), tmp_path / "study.json"
    store.open_study(design)
    assert json.loads(path.read_text()) == json.loads(json.dumps(design.to_dict()))
    store.open_study(replace(design, seeds=(2,), fractions=(0.5,)))
    store.open_study(design.select(["components"]))
    grown = json.loads(path.read_text())
    assert (grown["seeds"], grown["fractions"]) == ([0, 1, 2], [0.5, 1.0])
    assert [entry["name"] for entry in grown["variants"]] == ["equivariant", "components"]
    assert grown["variants"][1]["neighbor"] == "equivariant"
    store.open_study(replace(design, variants=(*design.variants, variant("slow"))))
    assert len(json.loads(path.read_text())["variants"]) == 3
    with pytest.raises(StoreError, match=r"another study: train.steps is 8 there, 9 here"):
        store.open_study(replace(design, train=replace(design.train, steps=9)))
    with pytest.raises(StoreError, match=r"another variant 'components': methods is \[\] there, .*SO\(3\).* here"):
        store.open_study(replace(design, variants=(variant("components", methods=(Augment("SO(3)"),)),)))
    with pytest.raises(StoreError, match="the training of 'components' differs"):
        store.open_study(replace(design, train_overrides={"components": {"learning_rate": 0.1}}))
    assert len(json.loads(path.read_text())["variants"]) == 3


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [("a", "a", "a"), ("a", "b", ""), ("", "a", ""), (None, "a", ""), ("a", "", "")],
    ids=["same", "other", "nameless before", "earlier version", "nameless now"],
)
def test_a_folder_has_the_name_of_a_study_while_it_is_of_no_other(
    tmp_path: Path, design: StudyDesign, before: str | None, now: str, kept: str
) -> None:
    """None is a file of an earlier version, whose study may be any of its task. No name makes it another study."""
    store, path = Store(tmp_path), tmp_path / "study.json"
    store.open_study(replace(design, name=before or ""))
    if before is None:
        path.write_text(
            json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "name"})
        )
    store.open_study(replace(design, name=now))
    assert json.loads(path.read_text())["name"] == kept


@pytest.mark.parametrize("order", [["equivariant", "components"], ["components", "equivariant"]])
def test_parts_of_a_study_make_the_whole(tmp_path: Path, design: StudyDesign, order: list[str]) -> None:
    """A variant that was run without its neighbor is compared with it as soon as that is there."""
    store = Store(tmp_path)
    for name in order:
        store.open_study(design.select([name]))
    grown, whole = json.loads((tmp_path / "study.json").read_text()), json.loads(json.dumps(design.to_dict()))
    assert {entry["name"]: entry for entry in grown["variants"]} == {
        entry["name"]: entry for entry in whole["variants"]
    }


def test_records_come_in_the_order_of_the_study(tmp_path: Path, design: StudyDesign) -> None:
    store = Store(tmp_path)
    for config in reversed(design.runs()):
        store.save(failed_record(config, "x"))
    cells = [(record["config"]["variant"]["name"], record["config"]["seed"]) for record in store.records()]
    assert cells == [("components", 0), ("components", 1), ("equivariant", 0), ("equivariant", 1)]
    store.open_study(design)
    cells = [(record["config"]["variant"]["name"], record["config"]["seed"]) for record in store.records()]
    assert cells == [("equivariant", 0), ("equivariant", 1), ("components", 0), ("components", 1)]


def test_a_damaged_design_is_set_aside_and_written_anew(tmp_path: Path, design: StudyDesign) -> None:
    store = Store(tmp_path)
    (tmp_path / "study.json").write_text('{"schema": 1, "ta')
    with pytest.warns(UserWarning, match=r"study.json.*set aside"):
        store.open_study(design)
    assert json.loads((tmp_path / "study.json").read_text())["task"] == "toy"


def test_keys_in_records_are_those_of_their_configurations(record) -> None:
    assert RunConfig.from_dict(record["config"]).key == record["key"]


def test_a_record_under_the_key_of_an_earlier_version_is_found_and_counts_once(
    tmp_path: Path, run, monkeypatch
) -> None:
    """Finished runs are not trained again, and no seed counts twice, when what makes the key has changed."""
    config, store = run(), Store(tmp_path)
    made = run_one(config, tmp_path)
    earlier = {**made, "key": "0123456789abcdef"}
    store.record_path(made["key"]).unlink()
    (tmp_path / "work" / made["key"]).rename(tmp_path / "work" / earlier["key"])
    store.save(earlier)
    monkeypatch.setattr("rapidash.train._training.Training._step", lambda *_: pytest.fail("it trains again"))
    assert run_one(config, tmp_path) == earlier
    assert Store(tmp_path).records() == [earlier]
    store.save(made)
    assert Store(tmp_path).records() == [made]
    assert Store(tmp_path).load(config.key) == made


def test_a_setting_without_effect_makes_no_other_study(tmp_path: Path, design: StudyDesign) -> None:
    overrides = {design.variants[0].name: {"checkpoint_every": 3}}
    Store(tmp_path).open_study(design)
    later = replace(design, train=replace(design.train, checkpoint_every=2, log_tensorboard=True))
    Store(tmp_path).open_study(later)
    Store(tmp_path).open_study(replace(later, train_overrides=overrides))
    Store(tmp_path).open_study(replace(later, train_overrides={design.variants[0].name: {"checkpoint_every": 4}}))
    with pytest.raises(StoreError, match=r"train\.learning_rate is"):
        Store(tmp_path).open_study(replace(later, train=replace(later.train, learning_rate=0.3)))
