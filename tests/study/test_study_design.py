"""Designs and run configurations: which runs there are, by which name, and what is refused."""

import json
from dataclasses import dataclass, replace

import pytest
from toy_plugin import variant

from rapidash.groups import octahedral
from rapidash.methods import Augment, Average, OrbitAverage, Variant
from rapidash.models import RapidashConfig
from rapidash.registry import DESIGNS, METHODS
from rapidash.study import Run, RunConfig, StudyDesign, get_design
from rapidash.study._belongs import belongs
from rapidash.train import TrainConfig


def test_every_variant_has_every_seed_and_fraction_with_the_same_steps(design: StudyDesign) -> None:
    runs = replace(design, fractions=(0.5, 1.0)).runs()
    cells = {(run.variant.name, run.seed, run.fraction) for run in runs}
    assert len(runs) == len(cells) == 2 * 2 * 2
    assert {run.train.steps for run in runs} == {8}
    assert [run.seed for run in runs[:4]] == [0, 0, 1, 1]  # the first seed compares all variants


def test_the_key_depends_on_content_only(run) -> None:
    base = run()
    assert base.key == run().key
    assert len(base.key) == 16
    labelled = replace(base, variant=replace(base.variant, neighbor="x", knob="y"))
    assert labelled.key == base.key
    others = [
        run(seed=1),
        run(fraction=0.5),
        run(steps=9),
        run("equivariant"),
        replace(base, task_options={"size": 10}),
        replace(base, variant=replace(base.variant, model=RapidashConfig(channels=8))),
        replace(base, variant=replace(base.variant, methods=(Augment("SO(3)"),))),
    ]
    assert len({base.key, *(other.key for other in others)}) == len(others) + 1


@dataclass(frozen=True)
class TrainsAndAverages(Augment):
    """Augments the training, and averages at test time."""

    def average(self) -> OrbitAverage:
        return OrbitAverage(octahedral(), 0)


def test_the_training_is_that_without_an_average_but_not_without_what_trains(run, monkeypatch) -> None:
    monkeypatch.setitem(METHODS, "trains-and-averages", TrainsAndAverages)
    base = run()

    def training_key(*methods) -> str:
        return replace(base, variant=replace(base.variant, methods=methods)).training_key

    assert training_key(Average("SO(3)", 2)) == training_key(Average("octahedral")) == base.training_key
    trained = {training_key(TrainsAndAverages(group)) for group in ("SO(3)", "trivial")}
    assert len(trained | {base.training_key}) == 3


def test_a_configuration_survives_json() -> None:
    model = RapidashConfig(channels=(8, 16), edges=("knn-4", "fc"), layer_scale=1e-6)
    original = RunConfig(
        "toy", Variant("v", model, ("a", "b"), methods=(Augment("SO(3)"),)), 3, TrainConfig(threads=2), 0.5, {"size": 4}
    )
    restored = RunConfig.from_dict(json.loads(json.dumps(original.to_dict())))
    assert restored == original
    assert restored.key == original.key


def test_an_unknown_or_missing_field_of_a_record_is_named(run) -> None:
    plain = run().to_dict()
    plain["variant"]["model"]["chanels"] = 4
    with pytest.raises(ValueError, match=r"unknown RapidashConfig field 'chanels'.*did you mean 'channels'"):
        RunConfig.from_dict(plain)
    del plain["variant"]["model"]["chanels"], plain["seed"]
    with pytest.raises(ValueError, match="seed"):
        RunConfig.from_dict(plain)


def test_a_configuration_holds_finite_plain_values_only(run) -> None:
    with pytest.raises(ValueError, match="finite"):
        replace(run(), task_options={"scale": float("nan")}).to_dict()
    with pytest.raises(TypeError, match="plain"):
        replace(run(), task_options={"scale": object()}).to_dict()


def test_overrides_reach_their_variant_only(design: StudyDesign) -> None:
    runs = replace(design, train_overrides={"components": {"learning_rate": 0.1}}).runs()
    assert {(run.variant.name, run.train.learning_rate) for run in runs} == {("components", 0.1), ("equivariant", 1e-3)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": ()}, "at least one seed"),
        ({"seeds": (1, 1)}, "seed 1 occurs twice"),
        ({"seeds": (-1,)}, "at least 0"),
        ({"fractions": (1.5,)}, r"\(0, 1\], got 1.5"),
        ({"fractions": (0.0,)}, r"\(0, 1\]"),
        ({"variants": ()}, "at least one variant"),
        ({"variants": (variant("slow"), variant("slow"))}, "'slow' occurs twice"),
        ({"variants": (variant("slow", neighbor="slowly"), variant("dying"))}, "did you mean 'slow'"),
        ({"train_overrides": {"component": {}}}, "did you mean 'components'"),
        ({"train_overrides": {"components": {"steps": 3}}}, "which all variants of a study share"),
        ({"train_overrides": {"components": {"learning_rte": 3}}}, "did you mean 'learning_rate'"),
        ({"train_overrides": {"components": {"learning_rate": -3}}}, "learning_rate"),
    ],
)
def test_a_faulty_design_is_refused(design: StudyDesign, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(design, **change)


def test_select_keeps_the_order_asked_for_and_the_keys(design: StudyDesign) -> None:
    chosen = design.select(["components"])
    assert [entry.name for entry in chosen.variants] == ["components"]
    assert chosen.variants == design.variants[1:]  # with a neighbor that another part may have
    assert chosen.variants[0].neighbor == design.variants[0].name
    assert {run.key for run in chosen.runs()} < {run.key for run in design.runs()}
    with pytest.raises(ValueError, match=r"unknown variant 'componets'.*did you mean 'components'"):
        design.select(["componets"])


def test_an_unknown_study_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown study 'tooy'.*did you mean 'toy'"):
        get_design("tooy")
    assert "nbody" in DESIGNS
    assert get_design("toy", full=True).setting == "full"


def test_each_seed_has_data_of_its_own_where_the_design_says_so() -> None:
    plain = get_design("solids")
    own = replace(plain, task_options={"num_train": 50}, seeds=(3, 5), seed_option="data_seed")
    assert {(run.seed, run.task_options["data_seed"], run.task_options["num_train"]) for run in own.runs()} == {
        (3, 3, 50),
        (5, 5, 50),
    }
    assert plain.seed_option is None
    assert all("data_seed" not in run.task_options for run in plain.runs())
    run = Run({"config": own.runs()[0].to_dict()})
    assert belongs(run, own.to_dict())
    assert not belongs(run, {**own.to_dict(), "seed_option": None})
    with pytest.raises(ValueError, match=r"unknown option of task 'solids' in seed_option: 'data_sed'.*'data_seed'"):
        replace(plain, seed_option="data_sed")
    with pytest.raises(ValueError, match="seed_option 'data_seed' has the seed of every run"):
        replace(plain, task_options={"data_seed": 1}, seed_option="data_seed")
