"""Outputs that cannot be measured are named, and noise is told from broken symmetry."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import SO, Scalar, Vector
from rapidash.measure import (
    Action,
    assert_equivariant,
    empirical_equivariance_deviation,
    equivariance_error,
    equivariance_gap,
    invariance_scores,
    invariance_similarity,
    lie_derivative,
    relative_rms_deviation,
    symmetry_loss_share,
)

VECTORS = Action(SO(3), Vector(), Vector())
X = torch.randn(30, 3, generator=seeded(0), dtype=torch.float64)


@pytest.mark.usefixtures("shape_checks_off")
@pytest.mark.parametrize(
    ("fn", "outputs", "message"),
    [
        (lambda v: None, Vector(), r"returned nothing \(None, is a return statement missing\?\)"),
        (lambda v: {"a": v}, Vector(), r"1 output tensor\(s\) declared, the function returned a dict with \['a'\]"),
        (lambda v: v, {"a": Vector()}, r"\['a'\] are declared by name, the function returned one tensor of shape"),
        (lambda v: None, {"a": Vector()}, r"\['a'\] are declared by name, the function returned nothing"),
        (lambda v: {"a": None}, {"a": Vector()}, r"output 'a' is nothing \(None"),
        (lambda v: {"a": (v, v)}, {"a": Vector()}, "output 'a' is a tuple of 2, not a tensor"),
        (lambda v: {"a": 1.0}, {"a": Scalar()}, r"output 'a' is a float, not a tensor: .*without \.item\(\)"),
        (lambda v: {"a": v[:, :0]}, {"a": Scalar()}, r"output 'a' has no entries, shape \(30, 0\)"),
        (lambda v: {"a": v[:0]}, {"a": Scalar()}, r"output 'a' has no rows, shape \(0, 3\)"),
        (lambda v: v.sum().item(), Scalar(), "the output is a float, not a tensor"),
        (lambda v: v.numpy(), Vector(), r"the output is a ndarray, not a tensor: .*\.numpy\(\)"),
        (lambda v: (v, (v, v)), (Vector(), Vector()), "the second output is a tuple of 2, not a tensor"),
        (lambda v: (None, v), (Vector(), Vector()), r"the first output is nothing \(None"),
        (lambda v: (v, v, v, "x"), (Vector(),) * 4, "output number 4 is a str"),
        (lambda v: (v, v), Vector(), "returned a tuple of 2"),
    ],
)
def test_an_output_of_another_form_is_described(fn: Callable[[Tensor], Any], outputs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        equivariance_error(fn, X, Action(SO(3), Vector(), outputs))


def test_the_output_of_a_recurrent_network_is_described() -> None:
    action = Action(SO(3), Vector(), (Vector(), Vector()))
    with pytest.raises(ValueError, match="the second output is a tuple of 2, not a tensor"):
        equivariance_error(nn.LSTM(3, 3).eval(), torch.randn(2, 6, 3, generator=seeded(0)), action)


@pytest.mark.parametrize(
    "measure",
    [
        lambda f: equivariance_error(f, X, VECTORS),
        lambda f: empirical_equivariance_deviation(f, X, VECTORS),
        lambda f: relative_rms_deviation(f, X, VECTORS),
        lambda f: symmetry_loss_share(f, X, X, VECTORS),
        lambda f: equivariance_gap(f, X, lambda y: y.sum(), VECTORS),
        lambda f: invariance_similarity(f, X, VECTORS),
        lambda f: invariance_scores(f, X, Action(SO(3), Vector(), Scalar())),
    ],
    ids=["error", "deviation", "relative", "share", "gap", "features", "predictions"],
)
def test_rows_that_come_and_go_are_named_by_every_measure(measure: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError, match=r"number of rows of output '\w+' changes .*: \d+ for \d+\. Rows that"):
        measure(lambda v: v[v[:, 0] > 0])


def test_rows_that_come_and_go_are_named_by_the_derivative() -> None:
    x = torch.tensor([[1e-7, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="number of rows of output 'output' changes with g"):
        lie_derivative(lambda v: v[v[:, 0] > 0], x, VECTORS, method="difference")


def test_numbers_of_rows_and_columns_are_in_the_message() -> None:
    turn = torch.eye(4, dtype=torch.float64)[[1, 0, 2, 3]][None]  # swaps x and y
    x = torch.tensor([[1.0, -1.0, 0.0], [2.0, 1.0, 0.0], [3.0, -2.0, 0.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="the number of rows of output 'output' changes with g: 1 for 3"):
        equivariance_error(lambda v: v[v[:, 0] > 0], x, VECTORS, elements=turn)
    action = Action(SO(3), Vector(), Scalar())
    with pytest.raises(ValueError, match=r"the shape of output 'output' changes with g: \(3, 1\) for \(3, 2\)"):
        equivariance_error(lambda v: v[:, : 1 + int(v[0, 0] > 0)], x, action, elements=turn)
    rows = iter([3, 2])
    with pytest.raises(ValueError, match="changes between two evaluations of the same input: 2 for 3"):
        equivariance_error(lambda v: v[: next(rows)], x, VECTORS)


def test_the_report_has_the_noise_and_a_warning_says_so() -> None:
    steps = itertools.cycle([0.0, 1.0])  # every second call adds the vector (1, 1, 1)
    with pytest.warns(RuntimeWarning, match=r"evaluations of output 'output' on the same input differ by 1, the error"):
        error = equivariance_error(lambda v: v + next(steps), X, VECTORS)
    (row,) = error.report().rows
    assert row["repeat noise"] == error.noise_floor == pytest.approx((3 / X.square().sum(dim=1).mean()) ** 0.5)
    assert row["mean"] == pytest.approx(row["repeat noise"] / 2)  # half of the elements meet the vector


def test_dropout_that_is_no_module_is_noticed_for_each_output() -> None:
    torch.manual_seed(0)
    outputs = {"a": Vector(), "b": Vector()}
    with pytest.warns(RuntimeWarning, match="output 'b'") as found:
        error = equivariance_error(
            lambda v: {"a": v, "b": nn.functional.dropout(v, 0.5)}, X, Action(SO(3), Vector(), outputs)
        )
    assert len(found) == 1
    assert [row["repeat noise"] > 0.5 for row in error.report().rows] == [False, True]


def test_no_warning_where_the_noise_is_less_than_the_error_or_rounding() -> None:
    generator = seeded(1)
    almost = lambda v: v + 1e-6 * torch.randn(30, 3, generator=generator).to(v)  # noqa: E731
    error = equivariance_error(almost, X, VECTORS)  # as sums on a GPU: all of the error is noise
    assert 1e-7 < error.noise_floor < 1e-5
    scale = 1e6
    error = equivariance_error(lambda v: scale * almost(v), X, VECTORS, normalization="none")
    assert error.noise_floor > 1
    broken = lambda v: v.square() + 0.1 * torch.randn(30, 3, generator=generator).to(v)  # noqa: E731
    assert 0.01 < equivariance_error(broken, X, VECTORS).noise_floor < 0.5


def test_the_check_says_it_in_its_own_way() -> None:
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match=r"repeat noise[\s\S]*fix the function's random draws"):
        assert_equivariant(lambda v: nn.functional.dropout(v, 0.5), X, VECTORS)


def test_a_field_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"with shape \(30, 2\) cannot be moved .*\(output 'b'\)"):
        equivariance_error(
            lambda v: {"a": v, "b": v[:, :2]}, X, Action(SO(3), Vector(), {"a": Vector(), "b": Vector()})
        )
