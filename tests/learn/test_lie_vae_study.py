"""The study of learned groups: what it compares, what records hold, and (slow) what the penalty does in training."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rapidash.learn import ACTIVE, HESSIAN, MIG, TRAVERSALS
from rapidash.report import terminal_table
from rapidash.study import StudyDesign, get_design, read_study, run_one, run_study, summarize

BOUND = "test error, minus the evidence lower bound"


@pytest.mark.parametrize("full", [False, True])
def test_variants_differ_in_what_their_knob_says(full: bool) -> None:
    design = get_design("lie-vae", full=full)
    by_name = {variant.name: variant for variant in design.variants}
    changed = {}
    for variant in design.variants:
        if variant.neighbor is not None:
            assert variant.knob
            own, other = (vars(v.objective) for v in (variant, by_name[variant.neighbor]))
            changed[variant.name] = {name: value for name, value in own.items() if value != other[name]}
    assert changed == {
        "beta-VAE": {"beta": 4.0},
        "learned group": {},
        "learned group, Hessian": {"hessian": 40.0},
        "learned group, commutator": {"commutator": 40.0},
    }
    assert design.setting == ("full" if full else "quick")
    assert len(design.runs()) == 5 * 2 * len(design.seeds)


def tiny(design: StudyDesign) -> StudyDesign:
    steps = {"steps": 6, "eval_every": 3, "checkpoint_every": 6, "batch_size": 16, "warmup_steps": 2}
    small = (replace(v, model=replace(v.model, hidden_dim=8, num_layers=1)) for v in design.variants)  # type: ignore[type-var]
    return replace(design, variants=tuple(small), train=replace(design.train, **steps), seeds=(0,))


def test_records_hold_figures_and_a_small_picture(tmp_path: Path) -> None:
    design = tiny(get_design("lie-vae")).select(["VAE", "learned group, Hessian"])
    design = replace(design, factors={"task.shapes": ("squares",)})
    run_study(design, tmp_path / "study", progress=False)
    study = read_study(tmp_path / "study")
    assert len(study.done) == 2
    for run in study.done:
        moments = {m["moment"] for m in run.measurements if m["name"] == MIG}
        assert moments == {"before", "after"}
        (picture,) = run.get("pictures")
        assert (picture["name"], picture["moment"], picture["view"]) == (TRAVERSALS, "after", "full")
        assert len(json.dumps(run.raw)) < 100_000
    assert "Factors and latents" in terminal_table(summarize(study))


def trained(name: str, seed: int, folder: Path) -> dict[str, Any]:
    runs = [r for r in get_design("lie-vae").runs() if (r.variant.name, r.seed) == (name, seed)]
    record = run_one(next(r for r in runs if r.level["task.shapes"] == "squares"), folder)
    assert record is not None
    assert record["status"] == "done", record["error"]
    return {m["name"]: m["value"] for m in record["measurements"] if m["moment"] == "after"}


@pytest.mark.slow
def test_the_penalty_acts(tmp_path: Path) -> None:
    """Two seeds on squares: the penalty ends below 0.2 of that of the control, and the bound hardly suffers."""
    control, penalized = (
        [trained(name, seed, tmp_path) for seed in (0, 1)] for name in ("learned group", "learned group, Hessian")
    )
    assert sum(found[HESSIAN] for found in penalized) < 0.2 * sum(found[HESSIAN] for found in control)
    bounds = [sum(found[BOUND] for found in runs) / 2 for runs in (control, penalized)]
    assert bounds[1] < bounds[0] + 2
    assert min(found[ACTIVE] for found in (*control, *penalized)) >= 3  # as many as there are factors


@pytest.mark.slow
def test_the_group_with_its_penalty_is_ahead_of_a_plain_autoencoder(tmp_path: Path) -> None:
    """Squares, three seeds: measured 0.471 against 0.257, from 0.157 to 0.639 against 0.055 to 0.383."""
    plain, group = (
        [trained(name, seed, tmp_path)[MIG] for seed in (0, 1, 2)] for name in ("VAE", "learned group, Hessian")
    )
    assert sum(group) / 3 > sum(plain) / 3 + 0.1
