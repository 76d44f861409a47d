"""The loop: it learns, it selects on validation, and its result is a function of its arguments."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from rapidash._seed import seeded
from rapidash.methods import Control, evaluate
from rapidash.train import TrainingDivergedError, WeightAverage


def test_training_learns_the_task_and_beats_the_start(tmp_path: Path, toy) -> None:
    start = evaluate(toy.Network(), toy.task, toy.task.dataset("val"), batch_size=8).mean
    _, result = toy.run(tmp_path, steps=300, batch_size=24, learning_rate=0.02, eval_every=50)
    assert result.best_val_error < 0.5 * start
    assert [row["step"] for row in result.history] == [50, 100, 150, 200, 250, 300]


def test_a_step_is_the_textbook_step(tmp_path: Path, toy) -> None:
    model = toy.EquivariantNetwork(0.5)
    toy.run(
        tmp_path,
        model=model,
        steps=1,
        warmup_steps=0,
        learning_rate=0.1,
        weight_decay=0.0,
        ema_decay=0.0,
        grad_clip=0.0,
    )
    assert float(model.factor.detach()) == pytest.approx(0.6, abs=1e-6)  # first step of Adam: the rate, towards 1


def test_every_step_raises_the_version_of_the_weights(tmp_path: Path, toy) -> None:
    """What is kept of a weight is made anew: fused steps leave the version as it is, the loop does not."""
    seen = []

    class Look(Control):
        def terms(self, view):
            seen.append(view.model.factor._version)
            return {}

    setting = {"steps": 4, "ema_decay": 0.0, "eval_every": 4, "methods": toy.acts(Look())}
    toy.run(tmp_path, model=toy.EquivariantNetwork(), **setting)
    assert sorted(set(seen)) == seen


def test_the_model_holds_the_best_weights_by_validation(tmp_path: Path, toy) -> None:
    class Spoil(Control):  # pulls the weights away from the second half on
        def before(self, step: int) -> None:
            self.weight = 100.0 if step >= 30 else 0.0

        def terms(self, view):
            return {"spoil": self.weight * view.model.head.weight.sum()}

    setting = {"steps": 60, "learning_rate": 0.02, "eval_every": 4, "dtype": "float64", "methods": toy.acts(Spoil())}
    model, result = toy.run(tmp_path, **setting)
    errors = [row["val_error"] for row in result.history]
    assert result.best_val_error == min(errors)
    assert result.best_step == result.history[errors.index(min(errors))]["step"]
    again = evaluate(model, toy.task, toy.task.dataset("val", size=10), batch_size=5)
    assert again.mean == pytest.approx(result.best_val_error, rel=1e-12)
    assert 4 <= result.best_step < 60, "the case must tell the best weights from the last"
    assert not model.training


def test_the_result_depends_on_the_seed_only(tmp_path: Path, toy) -> None:
    torch.manual_seed(1)
    first, _ = toy.run(tmp_path / "a", model=_fixed(toy))
    torch.manual_seed(2)  # the global generator plays no part once the weights are drawn
    second, _ = toy.run(tmp_path / "b", model=_fixed(toy))
    third, _ = toy.run(tmp_path / "c", model=_fixed(toy), seed=1)
    assert all(torch.equal(first.state_dict()[k], second.state_dict()[k]) for k in first.state_dict())
    assert not torch.equal(first.head.weight, third.head.weight)


def test_the_global_generator_is_left_as_it_was(tmp_path: Path, toy) -> None:
    model = _fixed(toy)
    before = torch.get_rng_state()
    toy.run(tmp_path, model=model)
    assert torch.equal(before, torch.get_rng_state())


def test_augmentation_draws_one_element_per_sample_and_changes_the_result(tmp_path: Path, toy) -> None:
    plain, _ = toy.run(tmp_path / "a")
    moved, _ = toy.run(tmp_path / "b", methods=toy.turned)
    assert not torch.equal(plain.head.weight, moved.head.weight)


def test_calibration_happens_once_and_not_on_a_resumed_run(tmp_path: Path, toy) -> None:
    model, _ = toy.run(tmp_path)
    assert model.num_calibrations == 1
    resumed, _ = toy.run(tmp_path)
    assert resumed.num_calibrations == 0


def test_the_history_has_the_declared_columns(tmp_path: Path, toy) -> None:
    _, result = toy.run(tmp_path, steps=10, eval_every=4)
    assert [row["step"] for row in result.history] == [4, 8, 10]
    assert [row["epoch"] for row in result.history] == [1.0, 2.0, 2.5]  # 24 clouds: 4 whole batches of 5
    columns = ["step", "epoch", "train_loss", "val_error", "learning_rate", "seconds"]
    assert all(list(row) == columns for row in result.history)
    assert 0 < result.seconds_per_step <= result.train_seconds
    assert result.train_seconds == result.history[-1]["seconds"]


@dataclass
class Penalty(Control):
    weight: float

    def terms(self, view) -> dict[str, torch.Tensor]:
        noise = torch.randn(3, generator=view.rng)
        return {"size": self.weight * (view.model.head.weight.square().sum() + noise.square().sum())}


def test_a_method_of_weight_zero_is_plain_training(tmp_path: Path, toy) -> None:
    plain, _ = toy.run(tmp_path / "a")
    zero, result = toy.run(tmp_path / "b", methods=toy.acts(Penalty(0.0)))
    some, _ = toy.run(tmp_path / "c", methods=toy.acts(Penalty(0.1)))
    assert torch.equal(plain.head.weight, zero.head.weight)
    assert not torch.equal(plain.head.weight, some.head.weight)
    assert all(row["loss/size"] == 0 for row in result.history)


def test_terms_of_methods_are_logged_apart_from_the_loss_of_the_task(tmp_path: Path, toy) -> None:
    _, plain = toy.run(tmp_path / "a", eval_every=1, steps=3)
    _, hooked = toy.run(tmp_path / "b", eval_every=1, steps=3, methods=toy.acts(Penalty(10.0)))
    assert plain.history[0]["train_loss"] == hooked.history[0]["train_loss"]
    assert hooked.history[0]["loss/size"] > 0


class Breaker(Control):
    """Makes the loss infinite in one step."""

    def __init__(self, step: int) -> None:
        self.bad, self.step = step, -1

    def before(self, step: int) -> None:
        self.step = step

    def terms(self, view) -> dict[str, torch.Tensor]:
        return {"broken": torch.tensor(float("nan") if self.step == self.bad else 0.0)}


def test_a_loss_that_is_not_a_number_stops_with_step_and_checkpoint(tmp_path: Path, toy) -> None:
    with pytest.raises(TrainingDivergedError, match=r"loss/broken is nan in step 8.*checkpoint\.pt"):
        toy.run(tmp_path, methods=toy.acts(Breaker(7)))
    model, _ = toy.run(tmp_path, methods=toy.acts(Breaker(-2)))  # the last checkpoint, of step 6, is good
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_the_step_is_named_also_when_losses_are_looked_at_seldom(
    tmp_path: Path, toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rapidash.train._training.steps_between_looks", lambda device: 32)
    with pytest.raises(TrainingDivergedError, match="loss/broken is nan in step 6"):
        toy.run(tmp_path, methods=toy.acts(Breaker(5)), eval_every=12, checkpoint_every=12)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path, toy) -> None:
    class Poison(Control):
        def terms(self, view):
            # finite value, infinite slope at 0
            return {"root": (view.model.head.bias * 0).abs().sum().sqrt()}

    with pytest.raises(TrainingDivergedError, match="a weight is not finite after step 1"):
        toy.run(tmp_path, methods=toy.acts(Poison()), eval_every=100, checkpoint_every=1, steps=3, warmup_steps=0)


def test_a_device_that_is_absent_is_named(tmp_path: Path, toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device='cuda'.*use device='cpu'"):
        toy.run(tmp_path, device="cuda")


def test_empty_data_and_models_without_parameters_are_refused(tmp_path: Path, toy) -> None:
    empty = toy.task.dataset("val", size=0)
    with pytest.raises(ValueError, match="val_set has no samples"):
        toy.run(tmp_path, val_set=empty)
    with pytest.raises(ValueError, match="train_set has no samples"):
        toy.run(tmp_path, train_set=empty)
    with pytest.raises(ValueError, match="no parameter that needs a gradient"):
        toy.run(tmp_path, model=toy.Network().requires_grad_(False))


def test_threads_hold_during_training_only(tmp_path: Path, toy) -> None:
    seen = []

    class Look(Control):
        def terms(self, view):
            seen.append(torch.get_num_threads())
            return {}

    toy.run(tmp_path, threads=2, steps=3, methods=toy.acts(Look()))
    assert set(seen) == {2}
    assert torch.get_num_threads() == 1


def test_the_average_starts_fast_and_follows_the_recurrence() -> None:
    layer = torch.nn.Linear(2, 2).double()
    average, expected = WeightAverage(layer, decay=0.5), layer.weight.detach().clone()
    rng = seeded("average")
    for step in range(12):
        with torch.no_grad():
            layer.weight.copy_(torch.randn(2, 2, generator=rng, dtype=torch.float64))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * layer.weight.detach()
    kept = layer.weight.detach().clone()
    with average.applied():
        torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(layer.weight.detach(), kept)
    assert not torch.equal(kept, expected)


def test_running_statistics_are_averaged_with_the_weights() -> None:
    norm = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).double()
    average, rng = WeightAverage(norm, decay=0.5), seeded("statistics")
    expected = {name: norm[1].get_buffer(name).clone() for name in ("running_mean", "running_var")}
    for step in range(6):
        norm(torch.randn(5, 2, generator=rng, dtype=torch.float64))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = {name: decay * old + (1 - decay) * norm[1].get_buffer(name) for name, old in expected.items()}
    kept = norm[1].running_mean.clone()
    with average.applied():
        for name, value in expected.items():
            torch.testing.assert_close(norm[1].get_buffer(name), value, rtol=1e-12, atol=1e-12)
        assert not torch.equal(norm[1].running_mean, kept)
    assert torch.equal(norm[1].running_mean, kept)
    weights_only = {name: value for name, value in average.state_dict().items() if "running" not in name}
    earlier = WeightAverage(norm, decay=0.5)  # a checkpoint of a version that did not average them
    earlier.load_state_dict(weights_only, num_updates=6)
    assert torch.equal(earlier.state_dict()["1.running_mean"], norm[1].running_mean)
    assert torch.equal(earlier.state_dict()["1.weight"], average.state_dict()["1.weight"])
    assert WeightAverage(torch.nn.BatchNorm1d(2, track_running_stats=False), decay=0.5).state_dict().keys() == {
        "weight",
        "bias",
    }


def test_an_average_of_decay_zero_is_the_weights_themselves(tmp_path: Path, toy) -> None:
    layer = torch.nn.Linear(2, 2)
    average = WeightAverage(layer, decay=0.0)
    before = layer.weight.detach().clone()
    average.update()
    with average.applied():
        assert torch.equal(layer.weight.detach(), before)
    assert average.state_dict() == {}


def _fixed(toy):
    model = toy.Network()
    rng = seeded("weights")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) / 4)
    return model
