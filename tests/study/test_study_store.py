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

from rapidash.study import RunConfig, Store, StoreError, StudyDesign, run_one
from rapidash.study._run import failed_record


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
    with pytest.raises(StoreError, match=r"another variant 'components': augment is None there, 'SO\(3\)' here"):
        store.open_study(replace(design, variants=(variant("components", augment="SO(3)"),)))
    with pytest.raises(StoreError, match="the training of 'components' differs"):
        store.open_study(replace(design, train_overrides={"components": {"learning_rate": 0.1}}))
    assert len(json.loads(path.read_text())["variants"]) == 3


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
    monkeypatch.setattr("rapidash.train._run.Run._step", lambda *_: pytest.fail("it trains again"))
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
