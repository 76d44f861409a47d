"""The studies of symmetrization: which arms they have, what these cost, and what a record of one says."""

from dataclasses import replace
from pathlib import Path

import pytest

from rapidash.methods import view_ledger
from rapidash.study import StudyDesign, get_design, run_one
from rapidash.study._budget import measured_costs
from rapidash.symmetrize import GroupAveraging, ProbabilisticSymmetrization
from rapidash.tasks import get_task

SMALL = {"num_train": 40, "num_val": 20, "num_test": 20}


def small(names: list[str]) -> StudyDesign:
    design = get_design("symmetrize-nbody").select(names)
    train = replace(design.train, steps=4, batch_size=10, warmup_steps=1, eval_every=2)
    return replace(design, train=train, seeds=(0,), task_options={**design.task_options, **SMALL})


def test_both_backbones_of_the_particles_have_the_same_arms() -> None:
    names = [variant.name for variant in get_design("symmetrize-nbody").variants]
    assert names[:3] == ["E(3) on R3xS2", "E(3) on R3", "T(3) on R3"]
    arms = ["augmented", "averaged over 8", "frames", "canonical", "probabilistic, 8"]
    for backbone in ("MLP", "transformer"):
        assert [name for name in names if name.startswith(backbone) and not name.endswith("1")] == [
            backbone,
            *(f"{backbone}, {arm}" for arm in arms),
        ]
    assert names[3:] == [name for name in names if name.startswith(("MLP", "transformer"))]
    one = {variant.name: variant.methods for variant in get_design("symmetrize-nbody").variants}
    assert one["MLP, averaged over 1"] == (GroupAveraging("O(3)", 1, 20),)
    assert one["MLP, probabilistic, 1"] == (ProbabilisticSymmetrization("E(3)", num=1, num_test=20),)


@pytest.mark.parametrize("name", ["symmetrize-nbody", "symmetrize-modelnet10"])
def test_the_ledger_of_every_arm(name: str) -> None:
    design = get_design(name)
    task = get_task(design.task, **design.task_options)
    group = {"symmetrize-nbody": "E(3)", "symmetrize-modelnet10": "SE(3)"}[name]
    for variant in design.variants:
        ledger = view_ledger(task, variant, "full")
        _, _, arm = variant.name.partition(", ")
        if arm.startswith(("averaged", "probabilistic")):
            assert (ledger.effective.name, ledger.exact) == (group, False), variant.name
        elif arm in ("frames", "canonical"):
            assert (ledger.effective.name, ledger.exact) == (group, True), variant.name
        else:
            assert ledger.effective.name == ("E(3)" if variant.name.startswith("E(3)") else "T(3)"), variant.name


def test_an_average_over_eight_elements_costs_eight_passes_and_one_pass_costs_one() -> None:
    design = small(["MLP", "MLP, averaged over 8", "MLP, averaged over 1", "MLP, frames"])
    bare, eight, one, frames = (cost.flops for cost in measured_costs(design.runs()))
    assert bare is not None
    assert one is not None
    assert eight == frames == 8 * one
    assert bare < one < 1.01 * bare  # moving positions and velocities counts too


def test_records_have_the_control_and_the_share_of_degenerate_frames(tmp_path: Path) -> None:
    runs = small(["MLP", "MLP, frames"]).runs()
    bare, frames = (run_one(run, tmp_path) for run in runs)
    assert bare is not None
    assert frames is not None
    assert frames["test_details"] == bare["test_details"]
    (inertia,) = frames["test_details"].values()
    assert 0.01 < inertia < 1
    assert frames["symmetry"]["effective"] == "E(3)"
    assert frames["symmetry"]["exact"]
    named = {entry["name"]: entry["value"] for entry in frames["measurements"]}
    assert 0 <= named["degenerate frames"] <= 1
    errors = [
        entry["value"]
        for entry in frames["measurements"]
        if entry["name"] == "equivariance error" and entry["moment"] == "after"
    ]
    assert max(errors) < 1e-4
