"""Learned half-widths: values by hand, gradients, exact cases, ledgers, and what is refused."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, Field, RowBatch
from rapidash.groups import SO, Image, Position, Scalar, T, parse_matrix_group
from rapidash.learn import Augerino, LearnedWidths, beyond_the_box, half_periods, width_penalty
from rapidash.methods import Method, StepView, SymmetrizedModel, Variant, build_model, view_ledger
from rapidash.models import EGNNConfig, OrderedMLPConfig
from rapidash.symmetry import Symmetrized, symmetrized
from rapidash.tasks import get_task
from rapidash.testing import check_method

SIZES: dict[str, Any] = {"num_train": 24, "num_val": 12, "num_test": 8}
TASK = get_task("partial-symmetry", **SIZES)
MLP = OrderedMLPConfig(12, symmetry="T(2)", hidden_dim=8, num_layers=1)


@pytest.mark.parametrize(
    "method",
    [
        Augerino("SO(2) + scaling(2)", (0.2, 0.1), weight=0.05),
        Augerino("affine(2)", 0.1, weight=0.0, num_test=2),
        Augerino("SE(2)", math.pi / 2, learns=False, num_test=0),
    ],
    ids=repr,
)
def test_the_method_keeps_the_promises_of_methods(method: Method, tmp_path) -> None:
    check_method(method, TASK, Variant("a", MLP), tmp_path)


def test_the_penalty_is_that_of_full_widths_inside_the_safe_box() -> None:
    """Half-widths 3 and 4 are widths 6 and 8, whose norm is 10."""
    width = torch.tensor([3.0, 4.0], requires_grad=True)
    penalty = width_penalty(width, 0.1)
    assert penalty.item() == pytest.approx(-1.0)
    (gradient,) = torch.autograd.grad(penalty, width)
    torch.testing.assert_close(gradient, torch.tensor([-0.12, -0.16]))  # -0.1 * 2 * w / ||w||
    assert width_penalty(width, 0.1, max_width=4.0).item() == 0  # one of them has left the box
    at_zero = torch.zeros(2, requires_grad=True)
    (gradient,) = torch.autograd.grad(width_penalty(at_zero, 0.1), at_zero)
    assert torch.equal(gradient, torch.zeros(2))


def test_only_rotations_have_a_period() -> None:
    assert half_periods(parse_matrix_group("affine(2)")).tolist() == [math.pi] + 5 * [math.inf]
    assert half_periods(SO(3)).tolist() == 3 * [math.pi]


def one_cloud(num: int = 1) -> RowBatch:
    x = torch.randn(num, 2, generator=seeded("augerino"), dtype=torch.float64)
    return RowBatch({"x": x}, {"x": Field(Position(), level="cloud")})


class Sampled(nn.Module):
    """The elements of a law, as a module whose parameters are its."""

    def __init__(self, law: LearnedWidths) -> None:
        super().__init__()
        self.law = law

    def forward(self) -> Tensor:
        return self.law.sample(one_cloud(), 3, seeded(0)).g


@pytest.mark.parametrize("group", ["SO(2)", "SE(3)", "affine(2)"])
def test_gradients_reach_the_half_widths_through_the_elements(group: str) -> None:
    law = LearnedWidths(parse_matrix_group(group), 0.4).double()

    def drawn(raw: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(Sampled(law), {"law.raw_width": raw}, ())
        return found

    assert torch.autograd.gradcheck(drawn, law.raw_width.detach().clone().requires_grad_(), atol=1e-6)


class Bands(nn.Module):
    """cos(3 a) r + 2 sin(a) of the angle a and the radius r of a point of the plane: band-limited on the circle."""

    def forward(self, batch: Batch) -> Tensor:
        x = batch["x"]
        z = torch.complex(x[:, 0], x[:, 1])
        return ((z**3).real + 2 * z.imag)[:, None]


def test_with_closed_widths_the_model_is_the_backbone() -> None:
    law = LearnedWidths(parse_matrix_group("affine(2)"), 0.0).double()
    model = Symmetrized(Bands(), Field(Scalar(), level="cloud"), law, num_samples=4)
    batch = one_cloud(5)
    assert torch.equal(model(batch, seeded(0)), Bands()(batch))


def test_equispaced_copies_over_the_whole_circle_are_invariant() -> None:
    """Degrees 1 and 3 vanish in the mean over 5 equal turns; in that over 3 degree 3 does not."""
    batch, output = one_cloud(3), Field(Scalar(), level="cloud")

    def averaged(num: int, x: RowBatch) -> Tensor:
        angles = 2 * math.pi * torch.arange(num, dtype=torch.float64) / num
        g = SO(2).exponential(angles[:, None]).expand(x.num_samples, -1, -1, -1)
        return symmetrized(Bands(), x, output, g)

    turned = batch.transform(SO(2).exponential(torch.tensor([0.37], dtype=torch.float64)))
    torch.testing.assert_close(averaged(5, batch), torch.zeros(3, 1).double(), atol=1e-10, rtol=0)
    torch.testing.assert_close(averaged(5, turned), averaged(5, batch), atol=1e-10, rtol=0)
    assert float((averaged(3, turned) - averaged(3, batch)).abs().max()) > 0.1


def test_a_step_pushes_half_widths_and_a_period_ends_them() -> None:
    method = Augerino("SO(2) + scaling(2)", (3.0, 0.5), weight=0.1)
    model = build_model(TASK, Variant("a", MLP, methods=(method,)))
    assert isinstance(model, SymmetrizedModel)
    control = method.control(model, 10)
    assert control is not None
    (group,) = control.param_groups()
    assert (group.lr, group.weight_decay, group.is_averaged) == (0.01, 0.0, False)
    assert dict(control.values()) == pytest.approx({"half-width of rotation": 3.0, "half-width of scaling": 0.5})
    with torch.no_grad():
        model.distribution.raw_width += 1.0
    batch = TASK.dataset("train").batch(torch.arange(4))
    control.after(StepView(0, 10, model, batch, None))  # type: ignore[arg-type]
    values = dict(control.values())
    assert values["half-width of rotation"] == pytest.approx(math.pi)
    assert values["half-width of scaling"] > 1
    sentence = method.learned_ledger(model, TASK.ledger(Variant("a", MLP)), "full").reasons[-1]
    assert "rotation 3.14" in sentence


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_the_ledger_says_that_a_half_width_is_beyond_the_box(weight: float) -> None:
    """One of 6 at a box of 5, and what follows for the other ones where a penalty had opened them."""
    method = Augerino("SE(2)", 0.5, weight=weight)
    model = build_model(TASK, Variant("a", MLP, methods=(method,)))
    assert isinstance(model, SymmetrizedModel)
    with torch.no_grad():
        model.distribution.raw_width[1] = 6.0
    sentence = method.learned_ledger(model, TASK.ledger(Variant("a", MLP)), "full").reasons[-1]
    assert (
        "rotation 0.5, translation along x beyond the box (at least 5 length units), translation along y 0.5"
        in sentence
    )
    assert ("outside the box there is no penalty" in sentence) == (weight > 0)


def test_units_outside_the_box() -> None:
    assert beyond_the_box("rotation about z", 3.0) == "beyond the box (at least 3 radian)"
    assert beyond_the_box("translation along z", 2.5) == "beyond the box (at least 2.5 length units)"
    assert beyond_the_box("stretch in xy", 5.0) == "beyond the box (at least 5 in logarithms)"


def test_an_image_moved_by_more_than_its_box_has_no_penalty_and_a_gradient() -> None:
    """Translations of images, a half-width of 6 at a box of 5: the reward is 0, and the loss still brings it back."""
    law = LearnedWidths(parse_matrix_group("T(2)"), torch.tensor([1.0, 1.0]), weight=0.1).double()
    image = torch.rand(4, 1, 8, 8, generator=seeded("box"), dtype=torch.float64)
    batch = RowBatch({"x": image}, {"x": Field(Image(boundary="zeros"), level="cloud")})
    for width, penalty in ((1.0, -0.1 * math.sqrt(8.0)), (6.0, 0.0)):
        with torch.no_grad():
            law.raw_width.copy_(torch.full((2,), math.log(math.expm1(width)), dtype=torch.float64))
        found = law.sample(batch, 1, seeded(0))
        assert float(found.penalty.detach()) == pytest.approx(penalty)
        moved = batch.transform(found.g[:, 0])["x"]
        (gradient,) = torch.autograd.grad(moved.square().sum() + found.penalty, law.raw_width)
        assert bool(gradient.isfinite().all())


def test_in_training_one_copy_is_seen_and_in_the_test_as_many_as_said() -> None:
    seen: list[int] = []

    class Counts(nn.Module):
        def forward(self, batch: Batch) -> Tensor:
            seen.append(batch.num_samples)
            return batch["x"][:, :1]

    class Task:
        output = Field(Scalar(), level="cloud")

    for num_test, expected in ((4, 20), (0, 5)):
        model = Augerino("SO(2)", 0.5, num_test=num_test).modify(Counts(), Task())  # type: ignore[arg-type]
        model.train()(one_cloud(5), seeded(0))
        tested = model.eval()(one_cloud(5))
        assert seen == [5, expected]
        assert torch.equal(tested, one_cloud(5)["x"][:, :1]) == (num_test == 0)
        seen.clear()


def test_an_equivariant_output_is_moved_back() -> None:
    """The identity map of points is equivariant: every copy, moved back, is the point itself."""

    class Same(nn.Module):
        def forward(self, batch: Batch) -> Tensor:
            return batch["x"]

    class Task:
        output = Field(Position(), level="cloud")

    batch = one_cloud(4)
    model = Augerino("affine(2)", 0.8).modify(Same(), Task()).double()  # type: ignore[arg-type]
    torch.testing.assert_close(model.eval()(batch), batch["x"])


def test_images_are_moved_too() -> None:
    image = torch.randn(3, 1, 9, 9, generator=seeded("image"), dtype=torch.float64)
    batch = RowBatch({"image": image}, {"image": Field(Image(boundary="zeros"), level="cloud")})

    class Mean(nn.Module):
        def forward(self, batch: Batch) -> Tensor:
            return batch["image"][:, 0, :2, :2].flatten(1)

    class Task:
        output = Field(Scalar(), level="cloud")

    model = Augerino("affine(2)", 0.3).modify(Mean(), Task()).double().train()  # type: ignore[arg-type]
    model(batch, seeded(0)).sum().backward()
    assert bool((model.distribution.raw_width.grad != 0).all())


def test_the_ledger_adds_no_symmetry_and_keeps_what_the_moves_keep() -> None:
    def ledger(model: Any, group: str):
        return view_ledger(TASK, Variant("a", model, methods=(Augerino(group, 0.2),)), "full")

    egnn = EGNNConfig(symmetry="E(2)", channels=8, num_layers=1)
    for model, group, kept in (
        (MLP, "SO(2)", "T(2)"),
        (MLP, "affine(2)", "T(2)"),
        (egnn, "SO(2) + scaling(2)", "E(2)"),
        (egnn, "affine(2)", "T(2)"),  # a stretch turns rotations into something else
    ):
        found = ledger(model, group)
        assert (found.effective.name, found.exact) == (kept, True)
        assert "it is no group, and no symmetry is added" in found.reasons[-1]
        assert "0.2" in found.reasons[-1]
    assert ledger(MLP, "T(2)").effective == T(2)
    with pytest.raises(ValueError, match="they act on different data"):
        ledger(MLP, "SO(3)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": -0.1}, "weight must be at least 0"),
        ({"init_width": -0.1}, "init_width needs one number"),
        ({"init_width": (0.1, 0.2)}, "init_width needs one number, or one for each of \\('rotation',\\)"),
        ({"init_width": 3.5}, "half-widths end at half a turn"),
        ({"group": "scaling(2)", "init_width": 6.0}, "not below max_width 5"),
        ({"max_width": 0.0}, "not below max_width|max_width must be positive"),
        ({"num_test": -1}, "num_test must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"group": "C4"}, "C4 is finite"),
        ({"group": "SO(2) + SE(2)"}, "depend on each other"),
        ({"group": "SO(2) + SO(3)"}, "different sizes"),
        ({"group": "SO(2) + C4"}, "is finite: it has none"),
        ({"group": "rotations"}, "unknown symmetry"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augerino(**{"group": "SO(2)", **change})


def test_a_group_that_does_not_act_on_the_data_is_named() -> None:
    model = build_model(TASK, Variant("a", MLP, methods=(Augerino("SO(3)"),)))
    with pytest.raises(ValueError, match="pos"):
        model.eval()(TASK.dataset("val").batch(torch.arange(2)))
