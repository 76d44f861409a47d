"""Records, studies and saved models of the first version are read as what they meant.

The files in ``earlier`` were written at commit 4da3294, before networks, methods and tasks were registered, by
``rapidash train nbody`` with tiny sizes (E(3) on R3xS2; T(3) on R3 with augmentation and an average of two rotations at
test time; the EGNN of the full setting) and by ``rapidash study nbody``.
"""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rapidash._plain import content_key, from_plain, to_plain, with_absent
from rapidash.methods import Augment, Average, Variant, evaluate, modern_variant
from rapidash.models import EGNNConfig, NetworkConfig, RapidashConfig
from rapidash.predict import TrainedModel
from rapidash.registry import NETWORKS
from rapidash.study import RunConfig, Store, StoreError, get_design, load_run, read_study
from rapidash.study._belongs import belongs
from rapidash.train import TrainConfig

EARLIER = Path(__file__).parent / "earlier"
TINY = {"channels": 4, "num_layers": 1, "basis_dim": 4, "basis_hidden_dim": 4, "ratios": 0.5}
STEPS = {"steps": 4, "batch_size": 8, "warmup_steps": 1, "eval_every": 2, "checkpoint_every": 2}
EXPECTED = {
    "E(3) on R3xS2": (RapidashConfig(grid="platonic", num_orientations=4, **TINY), ()),
    "T(3) on R3 + rotations": (
        RapidashConfig(symmetry="T(3)", space="R3", grid="platonic", num_orientations=8, **TINY),
        (Augment("SO(3)"), Average("SO(3)", 2)),
    ),
    "EGNN": (EGNNConfig(channels=4, num_layers=1), ()),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(shutil.copytree(EARLIER, tmp_path / "study"))


def test_configurations_mean_what_they_meant(store: Store) -> None:
    found = {record["config"]["variant"]["name"].partition(" [")[0]: record for record in store.records()}
    assert found.keys() == EXPECTED.keys()
    for name, (model, methods) in EXPECTED.items():
        config = RunConfig.from_dict(found[name]["config"])
        assert config.variant.model == model
        assert config.variant.methods == methods
        assert (config.task, config.seed, config.fraction) == ("nbody", 0, 1.0)
        assert config.task_options == {"num_train": 16, "num_val": 8, "num_test": 8}
        assert {key: getattr(config.train, key) for key in STEPS} == STEPS


def test_the_run_of_an_earlier_record_is_not_run_again(store: Store) -> None:
    """Its key is another one today; it is found under that, and counts once."""
    for record in store.records():
        config = RunConfig.from_dict(record["config"])
        assert config.key != record["key"]
        assert store.load(config.key) == record
    assert len(store.records()) == 3
    study = read_study(store.directory)
    assert {run.text("key") for run in study.done} == {record["key"] for record in store.records()}


def test_saved_models_give_the_errors_on_record(store: Store) -> None:
    for record in store.records():
        folder = store.work_dir(record["key"])
        trained = TrainedModel.from_pretrained(folder)
        assert trained.view == "full"
        data = trained.task.dataset("test")
        plain = evaluate(trained.model, trained.task, data, batch_size=8)
        assert plain.mean == pytest.approx(record["test_error"], rel=1e-6)
        average = trained.variant.average
        assert (average is None) == (record["test_error_tta"] is None)
        if average is not None:
            averaged = evaluate(trained.model, trained.task, data, batch_size=8, average=average)
            assert averaged.mean == pytest.approx(record["test_error_tta"], rel=1e-6)
        assert load_run(folder).config == RunConfig.from_dict(record["config"])


def test_a_study_of_the_first_version_goes_on(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text((EARLIER / "nbody-study.json").read_text())
    store, design = Store(tmp_path), get_design("nbody")
    store.open_study(design)
    grown = replace(design, seeds=(0, 1, 2, 3))
    store.open_study(grown)
    plain = replace(grown, name="").to_dict()  # it does not say of which study of its task it is
    assert json.loads((tmp_path / "study.json").read_text()) == json.loads(json.dumps(plain))
    small = replace(design.variants[1], model=replace(design.variants[1].model, channels=8))
    changed = replace(design, variants=(design.variants[0], small, *design.variants[2:]))
    with pytest.raises(StoreError, match=r"another variant 'E\(3\) on R3': model.channels is 32 there, 8 here"):
        store.open_study(changed)


def test_earlier_runs_belong_to_the_design_of_today_which_has_more_settings(store: Store) -> None:
    """The records know no schedule of the learning rate: it was a cosine, and no run of another one is theirs."""
    (run, *_) = read_study(store.directory).done
    assert "schedule" not in run.raw["config"]["train"]
    train = dict(run.raw["config"]["train"])
    assert belongs(run, {"train": {**train, "schedule": "cosine"}})
    assert not belongs(run, {"train": {**train, "schedule": "constant"}})


def test_what_a_file_says_stands_and_only_what_it_lacks_is_filled_in() -> None:
    assert with_absent(TrainConfig, {"steps": 3}) == {"steps": 3, "schedule": "cosine", "precision": "float32"}
    assert with_absent(TrainConfig, {"schedule": "constant"}) == {"schedule": "constant", "precision": "float32"}


def test_configurations_within_configurations_are_those_of_today_too() -> None:
    """A network of streams has networks of its own, whose fields have grown since."""
    variant = next(v for v in get_design("invariants-streams").variants if v.model.kind == "scale-stream")
    today = to_plain(variant)
    earlier = json.loads(json.dumps(today))
    assert earlier["model"]["network"].pop("subgroups") == []
    assert modern_variant(earlier) == today
    assert modern_variant({**earlier, "methods": 5})["methods"] == 5


@dataclass(frozen=True)
class Older(NetworkConfig):
    """A network of a package before a field was added."""

    width: int = 4
    symmetry: str = "T(3)"
    space: str = "R3"
    takes = "components"

    def build(self, io: object) -> None:
        raise NotImplementedError


def test_a_field_that_is_added_later_changes_no_meaning_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without the field means its value ``absent`` for ever, whatever the default is by then."""
    from dataclasses import field

    def newer(default: int) -> type[NetworkConfig]:
        made = field(default=default, metadata={"absent": 0})
        cls = type("Newer", (Older,), {"__annotations__": {"depth": int}, "depth": made, "__module__": __name__})
        return dataclass(frozen=True)(cls)

    def run(model: NetworkConfig) -> RunConfig:
        return RunConfig("nbody", Variant("a", model), 0, TrainConfig())

    monkeypatch.setitem(NETWORKS, "grown", Older)
    plain = run(Older()).to_dict()
    old_key = run(Older()).key
    for default in (0, 5):
        grown = newer(default)
        monkeypatch.setitem(NETWORKS, "grown", grown)
        found = RunConfig.from_dict(plain)
        assert found.variant.model == grown(depth=0)
        assert found.key == old_key
        assert run(grown()).key == (old_key if default == 0 else run(grown(depth=5)).key)
        assert run(grown(depth=5)).key != old_key
        assert from_plain(NetworkConfig, {"kind": "grown"}) == grown(depth=default)  # settings of today: the default
    with pytest.raises(ValueError, match="lacks 'symmetry', 'width'"):
        from_plain(NetworkConfig, {"kind": "grown", "space": "R3"}, complete=True)


def test_the_key_is_the_hash_of_what_decides() -> None:
    """By hand: labels and settings without effect are not in it, nor what has the value that its absence means."""
    config = RunConfig("nbody", Variant("a", RapidashConfig(), neighbor="b", knob="c"), 3, TrainConfig())
    plain = to_plain(config)
    del plain["measures"], plain["level"], plain["init"]
    del (
        plain["variant"]["methods"],
        plain["variant"]["objective"],
        plain["variant"]["neighbor"],
        plain["variant"]["knob"],
    )
    for name in ("checkpoint_every", "log_tensorboard", "schedule", "precision"):
        del plain["train"][name]
    later = {name: plain["variant"]["model"].pop(name) for name in ("subgroups", "orientation_mlp", "bandlimit")}
    assert later == {"subgroups": [], "orientation_mlp": "pointwise", "bandlimit": 1}
    assert plain["variant"]["model"]["kind"] == "rapidash"
    assert config.key == content_key(plain)
