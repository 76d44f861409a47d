"""Errors, their scales and their standard errors on two samples in the plane, worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from rapidash.groups import SE, SO, Position, Scalar, T, Vector, motion
from rapidash.measure import Action, defect, equivariance_error, lie_derivative, local_equivariance_error
from rapidash.measure._norms import cosines, norm, rms

# f(x, y) = (x, -y) = W x under the turn A = [[0, -1], [1, 0]]: L f = (W A - A W) x = -2 (y, x)
X = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
PLANE = Action(SO(2), Vector(), Vector())
QUARTER = motion(torch.tensor([[0.0, -1.0], [1.0, 0.0]]).double(), torch.zeros(2).double())
# f(X) = (1, 0), (0, -2) has the mean (0.5, -1), from which every component is 0.5 or 1 away
DEVIATION = math.sqrt((2 * 0.25 + 2 * 1.0) / 4)


def mirrored(x: Tensor) -> Tensor:
    return x * torch.tensor([1.0, -1.0]).to(x)


def test_the_lie_derivative_of_a_mirror() -> None:
    derivative = lie_derivative(mirrored, X, PLANE)
    assert derivative.method == "forward"
    torch.testing.assert_close(derivative.value, torch.tensor([[[0.0, -2.0], [-4.0, 0.0]]]).double())
    as_scalars = lie_derivative(mirrored, X, Action(SO(2), Vector(), Scalar())).value  # W A x alone
    torch.testing.assert_close(as_scalars, torch.tensor([[[0.0, -1.0], [-2.0, 0.0]]]).double())
    shifts = lie_derivative(mirrored, X, Action(T(2), Position(), Position())).value  # W e - e
    torch.testing.assert_close(shifts, torch.tensor([[[0.0, 0.0]] * 2, [[0.0, -2.0]] * 2]).double())


@pytest.mark.parametrize(
    ("reduction", "per_pair", "error", "standard_error"),
    [
        ("sq", [2.0, 8.0], 5.0, 3.0),  # means over two components; deviation 3 sqrt(2) over sqrt(2)
        ("rms", [2.0, 8.0], math.sqrt(5.0), 3.0 / (2 * math.sqrt(5.0))),
        ("abs", [1.0, 2.0], 1.5, 0.5),
    ],
)
@pytest.mark.parametrize("relative", [False, True])
def test_local_errors_and_their_standard_errors(
    reduction: str, per_pair: list[float], error: float, standard_error: float, relative: bool
) -> None:
    found = local_equivariance_error(mirrored, X, PLANE, reduction=reduction, relative=relative)
    scale = DEVIATION if relative else 1.0
    squared = scale if reduction == "abs" else scale**2
    unit = scale**2 if reduction == "sq" else scale
    assert found.scale == {"output": pytest.approx(scale)}
    assert found.per_pair["output"].tolist() == [pytest.approx([value / squared for value in per_pair])]
    assert found.per_generator().tolist() == pytest.approx([error / unit])
    assert found.standard_error().tolist() == pytest.approx([standard_error / unit])
    assert found.total() == pytest.approx(error / unit)
    row = found.report().rows[0]
    assert (row["error"], row["stderr"]) == (pytest.approx(error / unit), pytest.approx(standard_error / unit))


def test_the_total_is_over_generators_as_well() -> None:
    """Under T(2) the squares are 0 along x and (0 + 4) / 2 along y."""
    action = Action(T(2), Position(), Position())
    totals = {
        name: local_equivariance_error(mirrored, X, action, reduction=name).total() for name in ("sq", "rms", "abs")
    }
    assert totals == {"sq": pytest.approx(1.0), "rms": pytest.approx(1.0), "abs": pytest.approx(0.5)}


def test_the_defect_under_a_quarter_turn() -> None:
    """x goes to (-y, x), f to (-y, -x), and back by the inverse turn to (-x, y): the defect is -2 f(x)."""
    found = defect(mirrored, X, PLANE, QUARTER)["output"]
    assert found.tolist() == [pytest.approx([-2.0, 0.0]), pytest.approx([0.0, 4.0])]
    height = defect(lambda v: v[:, 1], X, Action(SO(2), Vector(), Scalar()), QUARTER)["output"]
    assert height.tolist() == pytest.approx([1.0, -2.0])  # x - y: signs and order of before and after


@pytest.mark.parametrize(
    ("normalization", "scale"),
    [("none", 1.0), ("norm", math.sqrt((1.0 + 4.0) / 2)), ("variance", math.sqrt((1.25 + 1.25) / 2))],
)
def test_the_equivariance_error_and_what_it_is_divided_by(normalization: str, scale: float) -> None:
    half = QUARTER @ QUARTER  # which the mirror commutes with
    elements = torch.stack([QUARTER, half])
    found = equivariance_error(mirrored, X, PLANE, elements=elements, normalization=normalization)
    assert found.scale == pytest.approx(scale)
    torch.testing.assert_close(found.per_pair, torch.tensor([[2.0, 4.0], [0.0, 0.0]]).double() / scale)
    largest = math.sqrt((4.0 + 16.0) / 2) / scale
    assert found.per_element.tolist() == pytest.approx([largest, 0.0])
    assert found.per_sample.tolist() == pytest.approx([math.sqrt(2.0) / scale, math.sqrt(8.0) / scale])
    assert (found.max, found.mean) == (pytest.approx(largest), pytest.approx(largest / 2))
    assert found.standard_error == pytest.approx(largest / 2)  # (deviation largest / sqrt 2) / sqrt 2
    assert found.output_norm == pytest.approx(math.sqrt(2.5))


def test_the_error_of_several_outputs_is_their_root_mean_square() -> None:
    action = Action(SO(2), Vector(), {"wrong": Vector(), "right": Vector()})
    both = equivariance_error(
        lambda v: {"wrong": mirrored(v), "right": v}, X, action, elements=QUARTER[None], normalization="none"
    )
    torch.testing.assert_close(both.per_pair, torch.tensor([[2.0, 4.0]]).double() / math.sqrt(2.0))
    assert both.output_norm == pytest.approx(math.sqrt(5.0))
    assert both.fields["right"].mean == pytest.approx(0.0)


def test_translations_have_the_scale_asked_for() -> None:
    """|x| changes with where the origin is; the error of x itself is the translation."""
    errors = [
        equivariance_error(
            lambda v: v, X, Action(T(2), Position(), Vector()), translation_scale=scale, normalization="none"
        ).per_element
        for scale in (1.0, 3.0)
    ]
    torch.testing.assert_close(errors[1], 3.0 * errors[0])
    assert len(errors[0]) == 16
    assert SE(2).dim == 2


def test_norms_by_hand() -> None:
    value = torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    assert norm(value) == pytest.approx(5.0)
    assert float(rms(value)) == pytest.approx(2.5)
    assert rms(value, dim=0).tolist() == pytest.approx([math.sqrt(4.5), math.sqrt(8.0)])
    assert cosines(value, torch.tensor([[4.0, -3.0], [1.0, 0.0]])).tolist() == pytest.approx([0.96, 0.0])
