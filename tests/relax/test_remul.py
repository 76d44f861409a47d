"""REMUL: its three terms by hand, its weights, and what it leaves alone."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, Field, RowBatch
from rapidash.groups import SO, Position, Scalar, Vector, cyclic
from rapidash.measure import Action, equivariance_error
from rapidash.methods import Augment, Step, StepView, Variant, build_model
from rapidash.models import DGCNNConfig, RapidashConfig
from rapidash.relax import REMUL, GradNorm
from rapidash.relax._gradnorm import BalancedWeights, gradnorm_step
from rapidash.tasks import get_task
from rapidash.train import TrainConfig, train

SMALL = RapidashConfig(grid="platonic", num_orientations=12, channels=8, num_layers=2, basis_dim=8, basis_hidden_dim=8)
TASK = get_task("nbody", num_train=40, num_val=20, num_test=8)
STEPS = TrainConfig(steps=12, batch_size=10, warmup_steps=2, eval_every=6, checkpoint_every=6, learning_rate=5e-3)
VECTOR = Field(Vector(), level="cloud")


class Shift(nn.Module):
    """f(x) = x + c: of all motions of the plane only those commute that keep c."""

    def __init__(self, *c: float) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.tensor(c, dtype=torch.float64))

    def forward(self, batch: Batch) -> Tensor:
        return batch["x"] + self.c


class Same:
    """The target is the input."""

    name, dim, output = "same", 0, VECTOR

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        return (prediction - batch["target"]).square().mean()


class Doubled(torch.autograd.Function):
    """2 x, without a derivative in forward mode."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return 2 * grad


class Points(Same):
    """The same, of points."""

    output = Field(Position(), level="cloud")


def plane(num: int = 64) -> RowBatch:
    x = torch.randn(num, 2, generator=seeded("plane"), dtype=torch.float64)
    return RowBatch({"x": x, "target": x}, {"x": VECTOR, "target": VECTOR})


def view_of(model: nn.Module, batch: Batch, task: object) -> StepView:
    prediction = model(batch)
    return StepView(0, 1, model, batch, Step(task.loss(prediction, batch), prediction), seeded("g"), task=task)


def terms(method: REMUL, model: nn.Module, batch: Batch, task: object) -> Mapping[str, Tensor]:
    control = method.control(model, 1)
    assert control is not None
    view = view_of(model, batch, task)
    found = control.terms(view)
    assert view.passes == 1
    return found


def test_the_functional_term_by_hand() -> None:
    """Under a half turn rho^-1 f(g x) - f(x) = -2 c, under the identity 0."""
    g = cyclic(2).sample(64, generator=seeded("g"))
    share = float((g[:, 0, 0] < 0).double().mean())
    assert 0.2 < share < 0.8
    found = terms(REMUL(3.0, "C2", "function"), Shift(0.5, 2.0), plane(), Same())
    assert float(found["remul equivariance"].detach()) == pytest.approx(3.0 * share * 4 * (0.25 + 4) / 2, rel=1e-12)
    assert list(found) == ["remul equivariance"]


def test_the_term_of_the_derivative_by_hand() -> None:
    """L_A f(x) = -A c, as long as c; E(2) has further directions, along which the shift commutes."""
    found = terms(REMUL(3.0, "SO(2)", "derivative"), Shift(0.5, 2.0), plane(), Same())
    assert float(found["remul equivariance"].detach()) == pytest.approx(3.0 * (0.25 + 4) / 2, rel=1e-12)
    points = RowBatch(plane().tensors, dict.fromkeys(("x", "target"), Points.output))
    found = terms(REMUL(3.0, "T(2)", "derivative"), Shift(0.5, 2.0), points, Points())
    assert float(found["remul equivariance"].detach()) == pytest.approx(0.0, abs=1e-12)


def test_without_a_forward_derivative_it_goes_twice_backward() -> None:
    """The step that finds out takes a pass more, and the others, also after a continuation, do not."""

    class Opaque(Shift):
        def forward(self, batch: Batch) -> Tensor:
            return batch["x"] + Doubled.apply(self.c + 0 * batch["x"])

    model, batch = Opaque(0.5, 2.0), plane()
    control = REMUL(3.0, "SO(2)", "derivative").control(model, 3)
    continued = REMUL(3.0, "SO(2)", "derivative").control(model, 3)
    for passes in (2, 1, 1):
        view = view_of(model, batch, Same())
        found = control.terms(view)["remul equivariance"]
        assert float(found.detach()) == pytest.approx(3.0 * 4 * (0.25 + 4) / 2, rel=1e-12)
        (gradient,) = torch.autograd.grad(found, model.c)
        torch.testing.assert_close(gradient, 3.0 * 4 * model.c.detach())  # of 3 * 4 |c|^2 / 2
        assert view.passes == passes
        if passes == 1:
            continued.load_state_dict(control.state_dict())
            control = continued


def test_the_anchored_term_is_the_loss_of_the_moved_sample() -> None:
    """Here the loss is |c|^2 / 2 wherever the sample is: the published term sees no broken symmetry in it."""
    found = terms(REMUL(3.0, "SO(2)", task_weight=0.25), Shift(0.5, 2.0), plane(), Same())
    assert float(found["remul equivariance"].detach()) == pytest.approx(3.0 * (0.25 + 4) / 2, rel=1e-12)
    assert float(found["remul task"].detach()) == pytest.approx(-0.75 * (0.25 + 4) / 2, rel=1e-12)


@pytest.mark.parametrize("anchor", ["target", "function", "derivative"])
def test_gradients_at_a_term_of_exactly_zero_are_finite(anchor: str) -> None:
    model = Shift(0.0, 0.0)
    found = terms(REMUL(1.0, "SO(2)", anchor, balance=None), model, plane(), Same())
    sum(found.values()).backward()
    assert float(found["remul equivariance"].detach()) < 1e-30
    assert model.c.grad.abs().max() < 1e-12


def trained(
    methods: tuple, run_dir: Path, model: object = None, steps: TrainConfig = STEPS, seed: int = 0
) -> tuple[nn.Module, object]:
    variant = Variant("a", model or DGCNNConfig(channels=8, num_layers=2), methods=methods)
    network = build_model(TASK, variant, seed=seed)
    sets = {"train_set": TASK.dataset("train"), "val_set": TASK.dataset("val"), "seed": seed, "run_dir": run_dir}
    return network, train(network, TASK, steps, methods=methods, progress=False, **sets)


def test_weight_zero_is_plain_training_bit_for_bit(tmp_path: Path) -> None:
    plain, _ = trained((), tmp_path / "plain")
    off, result = trained((REMUL(0.0),), tmp_path / "off")
    assert all(torch.equal(value, off.state_dict()[name]) for name, value in plain.state_dict().items())
    assert result.extra_passes == 0


def test_without_the_task_it_is_augmentation() -> None:
    """The gradients of alpha = 0 are those of the moved sample alone."""
    torch.manual_seed(0)
    model = build_model(TASK, Variant("a", SMALL)).double()
    batch = TASK.dataset("train").batch(torch.arange(6)).to(dtype=torch.float64)
    view = view_of(model, batch, TASK)
    loss = view.outcome.loss + sum(REMUL(1.0, "SO(3)", task_weight=0.0).control(model, 1).terms(view).values())
    found = torch.autograd.grad(loss, list(model.parameters()))
    moved = batch.transform(Augment("SO(3)").control(model, 1).group.sample(6, generator=seeded("g")))
    expected = torch.autograd.grad(TASK.loss(model(moved), moved), list(model.parameters()))
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)


def test_of_an_equivariant_network_the_moved_loss_is_the_loss_and_the_other_terms_vanish() -> None:
    torch.manual_seed(0)
    model = build_model(TASK, Variant("a", replace(SMALL, space="R3")))
    batch = TASK.dataset("train").batch(torch.arange(6)).to(dtype=torch.float32)
    loss = float(view_of(model, batch, TASK).outcome.loss.detach())
    size = float((model(batch) - batch.pos).detach().square().mean())  # of the displacement that is predicted
    found = {
        anchor: float(terms(REMUL(1.0, None, anchor), model, batch, TASK)["remul equivariance"].detach())
        for anchor in ("target", "function", "derivative")
    }
    assert found["target"] == pytest.approx(loss, rel=1e-5)
    assert found["function"] < 1e-10 * max(1.0, size)
    assert found["derivative"] < 1e-10 * max(1.0, size)


def test_gradnorm_by_hand() -> None:
    """G = (1, 3), mean 2; the second loss has fallen to half, the first has not, whose target is larger."""
    settings = GradNorm(exponent=1.0, lr=0.1)
    found = gradnorm_step([0.5, 1.5], [2.0, 2.0], [1.0, 0.5], settings)
    # targets 2 * 1 / 0.75 = 2.67 > 1 and 2 * 0.5 / 0.75 = 1.33 < 3: w moves by 0.1 * 2 up and down
    assert found == pytest.approx([0.7, 1.3])
    # a step that would pass 0 ends at a thousandth, before both are scaled to sum 2
    found = gradnorm_step([1.9, 0.1], [1.0, 100.0], [1.0, 0.1], settings)
    assert found == pytest.approx([2 * 2.0 / 2.001, 2 * 0.001 / 2.001])
    # losses that have vanished leave equal sizes as the target, and nothing is divided by zero
    assert gradnorm_step([1.0, 1.0], [0.0, 0.0], [0.0, 0.0], settings) == [1.0, 1.0]
    assert gradnorm_step([1.0, 1.0], [1.0, 3.0], [0.0, 0.0], settings) == pytest.approx([1.1 * 2 / 1.8, 0.7 * 2 / 1.8])


def test_gradnorm_leaves_the_gradients_of_the_network_alone() -> None:
    """They are those of the same weights held fixed; the weights sum to 2 and stay positive."""
    torch.manual_seed(0)
    model = build_model(TASK, Variant("a", DGCNNConfig(channels=8, num_layers=2))).double().eval()
    batch = TASK.dataset("train").batch(torch.arange(6)).to(dtype=torch.float64)
    control = REMUL(1.0, balance=GradNorm(lr=0.5)).control(model, 4)
    parameters = list(model.parameters())
    for _ in range(4):
        before = list(control.weights)
        assert sum(before) == pytest.approx(2.0)
        assert min(before) > 0
        view = view_of(model, batch, TASK)
        found = control.terms(view)
        gradients = torch.autograd.grad(view.outcome.loss + sum(found.values()), parameters)
        again = view_of(model, batch, TASK)
        moved = batch.transform(control.group.of(again).sample(6, generator=seeded("g")))
        alpha, beta = before
        loss = alpha * again.outcome.loss + beta * TASK.loss(model(moved), moved)
        for one, other in zip(gradients, torch.autograd.grad(loss, parameters)):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert control.balance.names == ["backbone.head.4.weight"]
    assert control.weights != [1.0, 1.0]


def test_a_layer_that_gradnorm_cannot_use_is_said() -> None:
    class Beside(Shift):
        def __init__(self) -> None:
            super().__init__(1.0, 2.0)
            self.used, self.unused = nn.Linear(2, 2).double(), nn.Linear(2, 2)

        def forward(self, batch: Batch) -> Tensor:
            return self.used(super().forward(batch))

    model = Beside()
    with pytest.raises(ValueError, match=r"'unused.weight', which no loss reaches.*layer='used.weight'"):
        terms(REMUL(1.0, "C2", balance=GradNorm(layer="unused")), model, plane(), Same())
    with pytest.raises(ValueError, match=r"unknown layer with parameters, for GradNorm: 'usd'.*did you mean 'used'"):
        terms(REMUL(1.0, "C2", balance=GradNorm(layer="usd")), model, plane(), Same())
    with pytest.raises(ValueError, match=r"needs a matrix that the losses task and equivariance all reach"):
        terms(REMUL(1.0, "C2", balance=GradNorm()), Shift(1.0, 2.0), plane(), Same())
    weights = BalancedWeights(GradNorm(layer="used"), model, {"task": 1.0, "other": 1.0})
    with pytest.raises(ValueError, match=r"looks at 'used', which the other loss misses"):
        weights.step([model(plane()).sum(), model.unused(torch.zeros(1, 2)).sum()])
    with pytest.raises(ValueError, match=r"exponent must be at least 0 and lr above 0, got 1.5 and 0.0"):
        GradNorm(lr=0.0)


def test_settings_that_make_no_sense_are_said() -> None:
    with pytest.raises(ValueError, match=r"weight and task_weight must be at least 0 .*got -1.0 and 1.0"):
        REMUL(-1.0)
    with pytest.raises(ValueError, match=r"unknown symmetry 'SO\(4\)'"):
        REMUL(1.0, "SO(4)")
    with pytest.raises(ValueError, match=r"anchor must be one of .* got 'targets'"):
        REMUL(1.0, anchor="targets")
    with pytest.raises(ValueError, match=r"is finite and has no derivative: use anchor='function'"):
        REMUL(1.0, "C4", "derivative")
    with pytest.raises(ValueError, match=r"leave task_weight at 1"):
        REMUL(0.0, task_weight=0.5)
    with pytest.raises(ValueError, match=r"task_weight must be above 0"):
        REMUL(1.0, task_weight=0.0, balance=GradNorm())


@pytest.mark.usefixtures("shape_checks_off")
def test_a_group_that_does_not_fit_the_data_is_said() -> None:
    with pytest.raises(ValueError, match=r"SO\(3\) cannot move the data: field 'x': .*R\^3.*Name a group by which"):
        terms(REMUL(1.0, "SO(3)"), Shift(1.0, 2.0), plane(), Same())
    with pytest.raises(ValueError, match=r"SO\(3\) cannot move the data"):
        terms(REMUL(1.0, "SO(3)", "derivative"), Shift(1.0, 2.0), plane(), Same())
    still = RowBatch(plane().tensors, dict.fromkeys(("x", "target"), Field(Scalar(), level="cloud")))
    with pytest.raises(
        ValueError, match=r"SO\(2\) moves nothing: the fields \['target', 'x'\] are declared as scalars"
    ):
        terms(REMUL(1.0, "SO(2)"), Shift(1.0, 2.0), still, Same())
    with pytest.raises(ValueError, match=r"the task 'same' does not say which group moves its data: name one"):
        terms(REMUL(1.0), Shift(1.0, 2.0), plane(), Same())


def error(model: nn.Module) -> float:
    batch = TASK.dataset("val").batch(torch.arange(20)).to(dtype=torch.float64)
    return equivariance_error(model.double().eval(), batch, Action(SO(3), outputs=TASK.output), num_elements=16).mean


@pytest.mark.slow
@pytest.mark.parametrize("anchor", ["target", "function", "derivative"])
def test_the_measured_error_falls_with_the_weight(anchor: str, tmp_path: Path) -> None:
    steps = TrainConfig(
        steps=150, batch_size=20, warmup_steps=10, eval_every=150, checkpoint_every=150, learning_rate=5e-3
    )
    flat = RapidashConfig(symmetry="T(3)", space="R3", channels=8, num_layers=2, basis_dim=8, basis_hidden_dim=8)
    means = []
    for weight in (0.0, 0.1, 1.0, 10.0):
        runs = [trained((REMUL(weight, None, anchor),), tmp_path / f"{weight} {s}", flat, steps, s) for s in (0, 1)]
        means.append(math.fsum(error(model) for model, _ in runs) / 2)
    print(anchor, means)
    assert all(less < more for more, less in pairwise(means))
