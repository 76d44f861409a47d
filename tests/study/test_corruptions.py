"""Trained models on corrupted test data: what is tested, what is stored, and what is not computed again."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_plugin import ToyTask

from rapidash.data import MODELNET40_C, POINTCLOUD_C, SEVERITIES, corrupt_dataset
from rapidash.geometry import EdgeRule
from rapidash.methods import evaluate
from rapidash.models import EGNNConfig, Interface, RapidashConfig
from rapidash.study import (
    CorruptionPlan,
    Store,
    change_reference,
    load_run,
    plan_corruptions,
    read_robustness,
    run_corruptions,
    run_one,
)
from rapidash.study import _corruption_runs as corruption_runs
from rapidash.study._corruption_plan import read_plan
from rapidash.study._corruption_runs import read_results
from rapidash.study._weights import save_weights

TASK = ToyTask()


class Surfaces(ToyTask):
    corruption_kinds = ("rigid", "deformation", "noise", "points")


def trained(directory: Path, run, seeds: tuple[int, ...] = (0, 1)) -> list[str]:
    """Runs of the two toy variants; their keys."""
    runs = [run(kind, seed) for seed in seeds for kind in ("equivariant", "components")]
    for config in runs:
        assert run_one(config, directory)["status"] == "done"
    return [config.key for config in runs]


def test_only_corruptions_that_keep_the_targets_true_are_planned() -> None:
    plan = plan_corruptions(TASK, reference="components")
    assert (plan.names, plan.reference) == (("jitter", "rotate"), "components")
    assert set(plan.skipped) == set(POINTCLOUD_C) - {"jitter", "rotate"}
    assert "each point of toy has its own part in the target" in plan.skipped["add_local"]
    assert "deforms or rescales space" in plan.skipped["scale"]
    assert plan_corruptions(Surfaces()).names == tuple(POINTCLOUD_C)
    assert plan_corruptions(Surfaces(), ["modelnet40-c", "jitter"]).names == (*MODELNET40_C, "jitter")
    assert plan_corruptions(TASK, ["modelnet40-c"]).names == ("gaussian",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["jiter"], "unknown corruption 'jiter'.*did you mean 'jitter'"),
        (["jitter", "dropout_local"], "'dropout_local' makes no sense here: it removes or adds points.*jitter, rotate"),
        (["scale"], "'scale' makes no sense here: it deforms or rescales space"),
    ],
)
def test_a_corruption_that_makes_no_sense_is_an_error(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_corruptions(TASK, words)


def test_planes_and_tasks_without_any_corruption_are_refused() -> None:
    with pytest.raises(ValueError, match="in three dimensions, toy has 2"):
        plan_corruptions(replace(TASK, dim=2))

    class Nothing(ToyTask):
        corruption_kinds = ()

    with pytest.raises(ValueError, match=r"none of scale, .* makes sense for toy"):
        plan_corruptions(Nothing())


def test_plans_add_up() -> None:
    first = CorruptionPlan(("jitter", "rotate"), "a", {"scale": "why"})
    assert first + CorruptionPlan(("scale",)) == CorruptionPlan(("jitter", "rotate", "scale"), "a", {})
    later = CorruptionPlan((), "b", {"rotate": "too small"})
    assert first + later == CorruptionPlan(("jitter",), "b", {"scale": "why", "rotate": "too small"})


def test_the_stored_errors_are_those_of_the_trained_weights_on_the_corrupted_test_data(tmp_path: Path, run) -> None:
    keys = trained(tmp_path, run)
    plan = run_corruptions(tmp_path, plan_corruptions(TASK))
    assert read_plan(tmp_path) == plan
    model = load_run(Store(tmp_path).work_dir(keys[1])).model
    found = read_results(tmp_path, keys[1])
    assert set(found) == {"jitter", "rotate"}
    for name, row in found.items():
        for severity, error in zip(SEVERITIES, row, strict=True):
            data = corrupt_dataset(TASK.dataset("test"), name, severity, normalization="each")
            assert error == pytest.approx(evaluate(model, TASK, data, batch_size=5).mean)
    # what is equivariant is not affected by a rotation of input and target; noise it feels, more and more
    clean = Store(tmp_path).load(keys[0])["test_error"]
    exact = read_results(tmp_path, keys[0])
    assert exact["rotate"] == pytest.approx([clean] * 5, rel=1e-5)
    assert max(clean, exact["jitter"][0]) < exact["jitter"][4]
    assert abs(found["rotate"][4] - Store(tmp_path).load(keys[1])["test_error"]) > 1e-4


def test_what_is_there_is_not_computed_again(tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = trained(tmp_path, run, seeds=(0,))
    lines: list[str] = []
    run_corruptions(tmp_path, plan_corruptions(TASK, ["jitter"]), report=lines.append)
    assert lines == ["jitter: run 1 of 2", "jitter: run 2 of 2"]
    before = read_results(tmp_path, keys[0])
    lines.clear()
    run_corruptions(tmp_path, plan_corruptions(TASK), report=lines.append)
    assert lines == ["rotate: run 1 of 2", "rotate: run 2 of 2"]
    assert read_results(tmp_path, keys[0])["jitter"] == before["jitter"]
    monkeypatch.setattr(corruption_runs, "corrupt_dataset", lambda *_, **__: pytest.fail("computed again"))
    run_corruptions(tmp_path, plan_corruptions(TASK))


def test_a_damaged_result_or_one_of_other_weights_is_computed_again(tmp_path: Path, run) -> None:
    first, second = trained(tmp_path, run, seeds=(0,))
    plan = plan_corruptions(TASK, ["jitter"])
    run_corruptions(tmp_path, plan)
    before = [read_results(tmp_path, key)["jitter"] for key in (first, second)]
    path = tmp_path / "corruptions" / f"{first}.json"
    path.write_text(path.read_text()[:40])
    other = load_run(Store(tmp_path).work_dir(second))
    with torch.no_grad():
        other.model.linear.weight.mul_(2.0)
    save_weights(other.model, other.config, Store(tmp_path).work_dir(second))
    run_corruptions(tmp_path, plan)
    assert read_results(tmp_path, first)["jitter"] == before[0]
    assert read_results(tmp_path, second)["jitter"] != before[1]


def test_damaged_weights_are_an_error_and_not_a_reason_to_leave_a_corruption_out(tmp_path: Path, run) -> None:
    first, _ = trained(tmp_path, run, seeds=(0,))
    weights = Store(tmp_path).work_dir(first) / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:20])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        run_corruptions(tmp_path, plan_corruptions(TASK, ["jitter"]))


def test_a_run_that_another_process_holds_or_without_weights_is_left_out(tmp_path: Path, run) -> None:
    first, second = trained(tmp_path, run, seeds=(0,))
    plan = plan_corruptions(TASK, ["jitter"])
    with Store(tmp_path).claim(first) as is_mine:
        assert is_mine
        run_corruptions(tmp_path, plan)
    assert read_results(tmp_path, first) == {}
    assert read_results(tmp_path, second)
    shutil.rmtree(Store(tmp_path).work_dir(first))
    with pytest.warns(UserWarning, match=r"model.safetensors is missing"):
        run_corruptions(tmp_path, plan)
    shutil.rmtree(Store(tmp_path).work_dir(second))
    with pytest.warns(UserWarning, match="missing"), pytest.raises(FileNotFoundError, match="no finished run"):
        run_corruptions(tmp_path, plan)


def test_clouds_that_cannot_be_corrupted_are_a_reason_not_a_crash(tmp_path: Path, run) -> None:
    trained(tmp_path, run, seeds=(0,))
    wanted = CorruptionPlan(("jitter", "lidar"))
    with pytest.warns(UserWarning, match="lidar is left out: cloud 0: visibility needs at least 4 points"):
        plan = run_corruptions(tmp_path, wanted)
    assert plan.names == ("jitter",)
    assert "at least 4 points" in plan.skipped["lidar"]
    found = read_robustness(tmp_path, Store(tmp_path).records())
    assert found is not None
    assert found.corruptions == ("jitter",)


def test_the_reference_can_be_changed_afterwards(tmp_path: Path, run) -> None:
    trained(tmp_path, run, seeds=(0,))
    with pytest.raises(ValueError, match="no results under corruptions"):
        change_reference(tmp_path, "components", ["components"])
    assert read_robustness(tmp_path, Store(tmp_path).records()) is None
    run_corruptions(tmp_path, plan_corruptions(TASK))
    records = Store(tmp_path).records()
    assert read_robustness(tmp_path, records).reference == records[0]["config"]["variant"]["name"]
    for name in ("components", "equivariant"):
        change_reference(tmp_path, name, ["components", "equivariant"])
        found = read_robustness(tmp_path, records)
        assert found.reference == name
        assert {row.name: dict(row.mce) for row in found.rows}[name] == {0: 1.0}
    with pytest.raises(ValueError, match=r"unknown reference variant 'component'.*did you mean 'components'"):
        change_reference(tmp_path, "component", ["components", "equivariant"])


def test_errors_that_are_not_finite_are_null_in_the_file(tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    (key, _) = trained(tmp_path, run, seeds=(0,))
    infinite = type("Result", (), {"mean": torch.inf})
    monkeypatch.setattr(corruption_runs, "evaluate", lambda *_, **__: infinite)
    run_corruptions(tmp_path, plan_corruptions(TASK, ["jitter"]))
    assert read_results(tmp_path, key) == {"jitter": [None] * 5}
    found = read_robustness(tmp_path, Store(tmp_path).records())
    assert found.num_untested == 2
    assert found.rows == ()


@pytest.mark.parametrize("kind", ["Rapidash", "EGNN"])
def test_a_cloud_that_lost_points_is_connected_whole(kind: str) -> None:
    config = RapidashConfig(edges="knn-8") if kind == "Rapidash" else EGNNConfig(edges="knn-8")
    model = config.build(Interface(in_scalars=1))
    pos, batch = torch.randn(5, 3), torch.zeros(5, dtype=torch.int64)
    with pytest.raises(ValueError, match="k=8 neighbors asked for"):
        first_rule(model)(pos, batch)
    corruption_runs._connect_small_clouds(torch.nn.ModuleList([model]))
    assert first_rule(model)(pos, batch).shape == (2, 25)


def first_rule(model: torch.nn.Module) -> EdgeRule:
    return model.rules[0]
