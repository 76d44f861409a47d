"""Baselines in studies: trained, recorded and read back like any variant; a missing library is noticed before a run."""

import sys
from pathlib import Path

import pytest
import torch

from rapidash.methods import Variant
from rapidash.models import BaselineConfig, DGCNNConfig, EGNNConfig
from rapidash.study import RunConfig, StudyDesign, get_design, load_run, run_one, run_study
from rapidash.train import TrainConfig

SMALL = EGNNConfig(channels=8, num_layers=1)
VARIANTS = {
    "EGNN": Variant("EGNN", SMALL),
    "DGCNN": Variant("DGCNN", DGCNNConfig(channels=8, num_layers=1, norm="batch")),
}
STEPS = TrainConfig(steps=3, batch_size=4, warmup_steps=0, eval_every=3, checkpoint_every=3)
SIZES = {"num_train": 8, "num_val": 4, "num_test": 4}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_run_is_recorded_and_its_model_read_back(tmp_path: Path, name: str) -> None:
    run = RunConfig("nbody", VARIANTS[name], 0, STEPS, task_options=SIZES)
    record = run_one(run, tmp_path)
    assert record is not None
    assert record["status"] == "done", record["error"]
    assert RunConfig.from_dict(record["config"]) == run
    assert record["symmetry"]["effective"] == ("E(3)" if name == "EGNN" else "T(3)")
    rotations = record["equivariance"]["after"]["mean"]
    assert rotations < 1e-5 if name == "EGNN" else rotations > 1e-3
    trained = load_run(tmp_path / "work" / run.key)
    assert record["parameters"] == sum(p.numel() for p in trained.model.parameters())
    batch = trained.task.dataset("test").batch(torch.arange(4)).to(dtype=torch.float32)
    with torch.no_grad():
        error = float(trained.task.errors(trained.model(batch), batch).mean())
    assert error == pytest.approx(record["test_error"], rel=1e-5)


def test_a_study_without_the_library_stops_before_its_first_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "egnn_pytorch", None)
    design = StudyDesign("nbody", tuple(VARIANTS.values()), STEPS, task_options=SIZES)
    with pytest.raises(ImportError, match="EGNN needs egnn-pytorch"):
        run_study(design, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("full", [False, True], ids=["quick", "full"])
@pytest.mark.parametrize("task", ["qm9", "md", "shapes"])
def test_studies_on_real_data_have_two_baselines_with_the_budget_of_the_others(task: str, full: bool) -> None:
    design = get_design(task, full=full)
    names = [variant.name for variant in design.variants if isinstance(variant.model, BaselineConfig)]
    assert names == ["EGNN", "DGCNN"]
    _assert_one_budget(design)


def test_studies_of_motion_and_particles_have_an_egnn_too() -> None:
    for design in (get_design("cmu"), get_design("cmu", full=True), get_design("nbody", full=True)):
        assert [v.name for v in design.variants if isinstance(v.model, BaselineConfig)] == ["EGNN"]
        _assert_one_budget(design)


def _assert_one_budget(design: StudyDesign) -> None:
    budgets = {(run.train.steps, run.train.batch_size) for run in design.runs()}
    assert len(budgets) == 1
