"""Designs as grids of named factors: which runs there are, what they are called, and that levels are never mixed."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_plugin import variant

from rapidash.models import RapidashConfig
from rapidash.study import (
    RunConfig,
    Store,
    StoreError,
    StudyDesign,
    get_design,
    read_study,
    run_study,
    study_of,
    summarize,
)
from rapidash.study._build import check_networks
from rapidash.study._factors import at_level
from rapidash.study._judge import judge
from rapidash.study._level import row_name
from rapidash.train import TrainConfig

WIDTHS = {"model.channels": (16, 32)}


def test_every_combination_of_levels_is_run(design: StudyDesign) -> None:
    grown = replace(design, fractions=(0.5, 1.0), factors={**WIDTHS, "train.steps": (8, 4), "task.size": (20,)})
    runs = grown.runs()
    cells = [
        (
            run.fraction,
            run.seed,
            run.variant.model.channels,
            run.train.steps,
            run.variant.name,
            run.task_options["size"],
        )
        for run in runs
    ]
    names = ("equivariant", "components")
    assert cells == [
        (fraction, seed, width, steps, name, 20)
        for fraction in (1.0, 0.5)
        for seed in (0, 1)
        for width in (16, 32)
        for steps in (8, 4)
        for name in names
    ]
    assert len({run.key for run in runs}) == 2 * 2 * 2 * 2 * 2
    assert runs[2].level == {"model.channels": 16, "train.steps": 4, "task.size": 20}
    assert runs[2].label == "equivariant, channels 16, steps 4, size 20 · seed 0"


def test_seed_and_fraction_are_factors_too(design: StudyDesign) -> None:
    design = replace(design, seeds=(0, 1, 2))
    named = replace(design, factors={"seed": [3, 4], "fraction": [0.5, 1.0]})
    assert named == replace(design, seeds=(3, 4), fractions=(0.5, 1.0))
    assert named.factors == {}
    assert [run.key for run in named.runs()] == [
        run.key for run in replace(design, seeds=(3, 4), fractions=(0.5, 1.0)).runs()
    ]


@pytest.mark.parametrize(
    ("settings", "factors", "message"),
    [
        ({"seeds": (5,)}, {"seed": (0, 1)}, r"factor 'seed' has the values \[0, 1\], but seeds is \(5,\): give one"),
        ({"fractions": (0.5,)}, {"fraction": (0.1, 1.0)}, r"factor 'fraction' has .*, but fractions is \(0.5,\)"),
        ({"task_options": {"size": 10}}, {"task.size": (10, 20)}, r"'task.size' has .*task_options\['size'\] is 10"),
        ({"task_options": {"size": 10}}, {"task.size": (20,)}, r"'task.size' has .*task_options\['size'\] is 10"),
    ],
)
def test_what_is_set_twice_is_refused(
    design: StudyDesign, settings: dict[str, Any], factors: dict[str, Any], message: str
) -> None:
    """Unless both say the same, or the one is what every design has that says nothing."""
    with pytest.raises(ValueError, match=message):
        replace(design, **settings, factors=factors)


def test_what_is_set_twice_alike_is_one_setting(design: StudyDesign) -> None:
    twice = replace(
        design, seeds=(3,), fractions=(0.5,), task_options={"size": 10},
        factors={"seed": (3,), "fraction": (0.5,), "task.size": (10,)},
    )  # fmt: skip
    assert [run.key for run in twice.runs()] == [
        run.key for run in replace(design, seeds=(3,), fractions=(0.5,), task_options={"size": 10}).runs()
    ]


def test_a_level_of_the_task_is_what_is_run_whatever_the_options_say() -> None:
    """Also where the options are those of another level, as of a run on record."""
    found = at_level({"task.size": 20}, variant("components"), TrainConfig(), {"size": 10, "other": 1})
    assert found[2] == {"size": 20, "other": 1}


def test_a_factor_overwrites_no_knob_in_which_variants_differ(design: StudyDesign) -> None:
    nbody = get_design("nbody")
    for name in ("model.space", "model.symmetry"):
        value = getattr(nbody.variants[0].model, name.removeprefix("model."))
        with pytest.raises(ValueError, match=rf"factor '{name}' would overwrite .*: it is '{re.escape(value)}' in"):
            replace(nbody, factors={name: (value,)})
    names = [variant.name for variant in nbody.variants if variant.model.space == "R3"]
    part = replace(nbody.select(names), factors={"model.space": ("R3", "R3xS2")})
    assert {run.variant.model.space for run in part.runs()} == {"R3", "R3xS2"}
    with pytest.raises(ValueError, match=r"factor 'model.space' would overwrite"):  # also of the first of the whole
        replace(part, equal="time")


def test_a_level_changes_no_key(design: StudyDesign) -> None:
    """A run of a grid is the run of a design whose variants have that width."""
    wide = [replace(v, model=RapidashConfig(channels=32)) for v in design.variants]
    plain = [run.key for run in replace(design, variants=tuple(wide)).runs()]
    assert [run.key for run in replace(design, factors=WIDTHS).runs() if run.level["model.channels"] == 32] == plain


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("nbody", "b73beb42208f219f", "25e1c9ae27f836e5"),
        ("nbody-methods", "7cb72c55eb6ee9ea", "865c42eec5d98231"),
        ("qm9", "a9508264cdf2ae68", "3e2393c6f5efd4e5"),
    ],
)
def test_keys_of_designs_without_factors_are_what_they_were(name: str, first: str, last: str) -> None:
    """By the version before there were factors, in which the study of QM9 had six orientations."""
    runs = get_design(name).runs()
    if name == "qm9":
        variant = runs[0].variant
        model = replace(variant.model, num_orientations=6)  # type: ignore[type-var]
        runs[0] = replace(runs[0], variant=replace(variant, model=model))
    assert (runs[0].key, runs[-1].key) == (first, last)
    if name == "nbody":
        assert replace(get_design(name), fractions=(1.0, 0.1)).runs()[-1].key == "a7725c6e78c55784"


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (
            {"width": (1, 2)},
            r"unknown factor 'width': expected seed, fraction, model.FIELD, train.FIELD or task.OPTION",
        ),
        ({"model.chanels": (1,)}, r"network of variant 'equivariant' in factor 'model.chanels'.*mean 'channels'"),
        ({"model.channels": ("wide",)}, r"factor 'model.channels': expected a whole number .* got 'wide'"),
        ({"train.steps": (1.5,)}, r"factor 'train.steps': expected a whole number for the training, got 1.5"),
        ({"train.steps": (1,)}, r"factors \{'train.steps': 1\} of variant 'equivariant': warmup_steps"),
        ({"train.log_tensorboard": (True, False)}, "unknown knob of the training in factor 'train.log_tensorboard'"),
        ({"task.sise": (3,)}, r"unknown knob of task 'toy' in factor 'task.sise'.*did you mean 'size'"),
        ({"task.size": (3.5,)}, r"factor 'task.size': expected a whole number for task 'toy', got 3.5"),
        ({"task.size": ()}, "at least one value of factor 'task.size'"),
        ({"task.size": (3, 4, 3)}, "value of factor 'task.size': 3 occurs twice"),
        ({"task.size": 3}, "factor 'task.size': expected a list of values, got 3"),
        ({"seed": (0.5,)}, "seed must be a whole number of at least 0, got 0.5"),
        ({"fraction": (2.0,)}, r"\(0, 1\], got 2.0"),
    ],
)
def test_a_wrong_factor_is_named(design: StudyDesign, factors: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(design, seeds=(0, 1, 2), factors=factors)


def test_a_whole_number_is_one_level_with_its_float(tmp_path: Path, design: StudyDesign) -> None:
    factors = {"train.learning_rate": (1, 0.1), "model.layer_scale": (None, 1), "model.ratios": (1, (0.5, 1))}
    whole = replace(design, fractions=(1, 0.5), factors=factors)
    floats = {"train.learning_rate": (1.0, 0.1), "model.layer_scale": (None, 1.0), "model.ratios": (1.0, (0.5, 1.0))}
    same = replace(design, fractions=(1.0, 0.5), factors=floats)
    assert json.dumps(whole.to_dict()) == json.dumps(same.to_dict())
    assert [run.key for run in whole.runs()] == [run.key for run in same.runs()]
    assert whole.runs()[0].label == same.runs()[0].label
    assert RunConfig.from_dict({**whole.runs()[0].to_dict(), "fraction": 1}).key == whole.runs()[0].key
    store = Store(tmp_path)
    store.open_study(whole)
    store.open_study(same)
    assert (
        json.dumps(json.loads((tmp_path / "study.json").read_text())["factors"]["train.learning_rate"]) == "[1.0, 0.1]"
    )


@pytest.mark.parametrize(
    ("factor", "values", "message"),
    [
        ("channels", (16, -8), r"{'model.channels': -8} of variant 'E(3) on R3': channels and num_layers must be at"),
        ("grid", ("foo",), r"{'model.grid': 'foo'} of variant 'E(3) on R3xS2': unknown grid 'foo', expected one of"),
        (
            "num_orientations",
            (4, 7),
            r"{'model.num_orientations': 7} of variant 'E(3) on R3xS2': grid='platonic' needs",
        ),
        (
            "symmetry",
            ("E(3)", "foo"),
            r"{'model.symmetry': 'foo'} of variant 'E(3) on R3': unknown symmetry 'foo', exp",
        ),
        ("channels", (10**9,), r"GB are asked for, and "),
    ],
)
@pytest.mark.parametrize("equal", ["steps", "time"])
def test_a_value_that_a_network_refuses_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: str, values: tuple[Any, ...], message: str, equal: Any
) -> None:
    monkeypatch.setattr("rapidash.study._build.machine_memory", lambda: 2**30)
    planned = get_design("nbody").select(["E(3) on R3", "E(3) on R3xS2"])
    planned = replace(planned, task_options={"num_train": 4, "num_val": 4, "num_test": 4}, equal=equal)
    with pytest.raises(ValueError, match=f"^factors .*{re.escape(message)}"):
        run_study(replace(planned, factors={f"model.{factor}": values}), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_each_network_is_built_once_and_none_without_factors_of_it(design: StudyDesign, toy_log) -> None:
    check_networks(replace(design, factors={**WIDTHS, "train.steps": (8, 4)}).runs())
    assert toy_log() == ["equivariant", "components"] * 2
    wrong = replace(get_design("nbody"), factors={"model.channels": (-8,), "train.learning_rate": (0.1, 0.2)})
    with pytest.raises(ValueError, match=r"^factors \{'model.channels': -8\} of variant"):
        check_networks(wrong.runs())


def test_a_factor_and_an_override_of_one_setting_are_refused(design: StudyDesign) -> None:
    overrides = {"components": {"learning_rate": 0.1}}
    with pytest.raises(ValueError, match="sets 'learning_rate', which is a factor"):
        replace(design, train_overrides=overrides, factors={"train.learning_rate": (0.1, 0.2)})


def test_a_study_grows_by_values_but_not_by_factors(tmp_path: Path, design: StudyDesign) -> None:
    store = Store(tmp_path)
    store.open_study(replace(design, factors=WIDTHS))
    store.open_study(replace(design, factors={"model.channels": (64, 32)}))
    assert json.loads((tmp_path / "study.json").read_text())["factors"] == {"model.channels": [16, 32, 64]}
    with pytest.raises(StoreError, match=r"its factors are \['model.channels'\] there, \[\] here"):
        store.open_study(design)
    with pytest.raises(StoreError, match="equal is 'steps' there, 'time' here"):
        store.open_study(replace(design, factors=WIDTHS, equal="time"))


def test_names_of_rows() -> None:
    assert row_name("a", {}) == "a"
    assert row_name("a", {"model.channels": (16, 32), "model.kernel": "exact"}) == "a, channels [16, 32], kernel exact"
    assert row_name("a", {"train.size": 1e-3, "task.size": 1000001}) == "a, train.size 0.001, task.size 1000001"


def records_of(design: StudyDesign, errors: dict[tuple[str, int], list[float]]) -> list[dict[str, Any]]:
    """The records of the runs of a design, with an error for each (variant, width) and seed."""
    return [
        {
            "schema": 1,
            "key": run.key,
            "status": "done",
            "config": json.loads(json.dumps(run.to_dict())),
            "test_error": errors[run.variant.name, run.level["model.channels"]][run.seed],
            "seconds_per_step": 0.1,
        }
        for run in design.runs()
    ]


ERRORS = {
    ("equivariant", 16): [1.0, 3.0],
    ("components", 16): [2.0, 5.0],
    ("equivariant", 32): [10.0, 30.0],
    ("components", 32): [9.0, 28.0],
}


def test_a_width_is_never_averaged_over(design: StudyDesign) -> None:
    grid = replace(design, factors=WIDTHS)
    plain = json.loads(json.dumps(grid.to_dict()))
    for summary in (
        summarize(study_of(records_of(grid, ERRORS), plain)),
        summarize(study_of(records_of(grid, ERRORS))),  # without a design: the records say their level
    ):
        means = {row.name: row.test.mean for row in summary.variants if row.test is not None}
        assert means == {
            "equivariant, channels 16": 2.0,
            "components, channels 16": 3.5,
            "equivariant, channels 32": 20.0,
            "components, channels 32": 18.5,
        }
        assert summary["components, channels 32"].level == {"model.channels": 32}
        assert summary["components, channels 32"].neighbor == "equivariant, channels 32"
        assert summary.study.missing == ()


def test_an_older_run_in_the_grid_has_the_level_of_its_settings(design: StudyDesign) -> None:
    grid = replace(design, factors=WIDTHS)
    records = records_of(grid, ERRORS)
    for record in records:
        del record["config"]["level"]
    summary = summarize(study_of(records, json.loads(json.dumps(grid.to_dict()))))
    assert [row.test.mean for row in summary.variants if row.test is not None] == [2.0, 3.5, 20.0, 18.5]
    assert not summary.study.set_aside
    other = records_of(
        replace(design, factors={"model.channels": (8,)}), {(v.name, 8): [1, 1] for v in design.variants}
    )
    known = study_of([*records, *other], json.loads(json.dumps(grid.to_dict())))
    assert [run.level for run in known.set_aside] == [{"model.channels": 8}] * 4  # not of this study


def test_comparisons_and_p_values_are_within_a_level(design: StudyDesign) -> None:
    grid = replace(design, factors=WIDTHS)
    summary = summarize(study_of(records_of(grid, ERRORS), json.loads(json.dumps(grid.to_dict()))))
    assert len(summary.judgments) == 2
    for width, judgment in zip((16, 32), summary.judgments, strict=True):
        names = {name: f"{name}, channels {width}" for name in ("equivariant", "components")}
        errors = {names[name]: dict(enumerate(ERRORS[name, width])) for name in names}
        alone = judge(errors, neighbors=[(names["components"], names["equivariant"])])
        assert judgment == alone
        assert summary[names["components"]].to_neighbor == alone.comparisons[names["components"], names["equivariant"]]
    assert summary.best is not None
    assert summary.best.name == "equivariant, channels 16"
    assert {row.name for row in summary.undecided} == {"components, channels 16"}  # nothing of width 32


def test_a_curve_goes_over_the_values_of_a_factor(design: StudyDesign) -> None:
    grid = replace(design, factors={**WIDTHS, "train.steps": (8, 4)})
    records = records_of(grid, ERRORS)
    for record in records:
        record["test_error"] /= record["config"]["level"]["train.steps"]
    summary = summarize(study_of(records, json.loads(json.dumps(grid.to_dict()))))
    found = {
        (row.name, factor): {at: estimate.mean for at, estimate in curve.items()}
        for row in summary.variants
        for factor, curve in row.by_factor.items()
        if row.variant == "equivariant"
    }
    assert found == {
        ("equivariant, channels 16, steps 4", "model.channels"): {16.0: 0.5, 32.0: 5.0},
        ("equivariant, channels 16, steps 8", "model.channels"): {16.0: 0.25, 32.0: 2.5},
        ("equivariant, channels 16, steps 4", "train.steps"): {4.0: 0.5, 8.0: 0.25},
        ("equivariant, channels 32, steps 4", "train.steps"): {4.0: 5.0, 8.0: 2.5},
    }


def test_the_level_of_a_run_is_on_record_and_read_back(tmp_path: Path, design: StudyDesign) -> None:
    run = replace(design, factors=WIDTHS).runs()[-1]
    plain = json.loads(json.dumps(run.to_dict()))
    assert plain["level"] == {"model.channels": 32}
    assert RunConfig.from_dict(plain) == run
    del plain["level"]
    assert RunConfig.from_dict(plain).key == run.key


def test_a_design_of_an_earlier_version_has_no_factors(tmp_path: Path, design: StudyDesign) -> None:
    store = Store(tmp_path)
    store.open_study(design)
    path = tmp_path / "study.json"
    plain = json.loads(path.read_text())
    del plain["factors"], plain["equal"]
    path.write_text(json.dumps(plain))
    store.open_study(design)
    study = read_study(tmp_path)
    assert [row.name for row in study.rows] == ["equivariant", "components"]
    assert len(study.missing) == 4
