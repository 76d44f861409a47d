"""The GELU's derivatives, against formulas in float64 and numbers worked out by hand."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rapidash.ops import gelu
from rapidash.ops.gelu import gelu_slope_and_curvature

pytest.importorskip("numba")


def derivatives(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x = x.detach().requires_grad_()
    value = gelu(x)
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    return value.detach(), slope.detach(), curvature


def test_by_hand() -> None:
    """At 0: 0, 1/2 and 2 phi(0). At sqrt(2) the slope is largest, and the second derivative 0."""
    value, slope, curvature = derivatives(torch.tensor([0.0, math.sqrt(2)]))
    phi = math.exp(-1) / math.sqrt(2 * math.pi)
    cdf = 0.5 * (1 + math.erf(1))
    torch.testing.assert_close(value, torch.tensor([0, math.sqrt(2) * cdf]), rtol=0, atol=1e-6)
    torch.testing.assert_close(slope, torch.tensor([0.5, cdf + math.sqrt(2) * phi]), rtol=0, atol=1e-6)
    torch.testing.assert_close(curvature, torch.tensor([2 / math.sqrt(2 * math.pi), 0.0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 15, 16, 33, 200_003])
def test_to_the_rounding_of_float32(size: int, threads: int) -> None:
    torch.set_num_threads(threads)
    x = torch.linspace(-13, 14, size)
    _, slope, curvature = derivatives(x)
    exact = x.double()
    phi = torch.exp(-exact.square() / 2) / math.sqrt(2 * math.pi)
    cdf = 0.5 * (1 + torch.erf(exact / math.sqrt(2)))
    torch.testing.assert_close(slope.double(), cdf + exact * phi, rtol=0, atol=6e-7)
    torch.testing.assert_close(curvature.double(), phi * (2 - exact.square()), rtol=0, atol=6e-7)


def test_factors_of_second_derivatives() -> None:
    """2 of the gradient and 3 of the output: 3 GELU'(x), and 6 GELU''(x), at 0."""
    x = torch.zeros(1)
    of_grad, of_x = gelu_slope_and_curvature(torch.full((1,), 3.0), torch.full((1,), 2.0), x)
    torch.testing.assert_close(of_grad, torch.tensor([1.5]))
    torch.testing.assert_close(of_x, torch.tensor([12 / math.sqrt(2 * math.pi)]))
    double = gelu_slope_and_curvature(*(torch.full((1,), value).double() for value in (3.0, 2.0, 0.0)))
    torch.testing.assert_close([t.float() for t in double], [of_grad, of_x])


def test_what_is_not_finite_and_large() -> None:
    x = torch.tensor([float("nan"), 1e30, -1e30])
    _, slope, curvature = derivatives(x)
    torch.testing.assert_close(slope, torch.tensor([float("nan"), 1, 0]), equal_nan=True)
    torch.testing.assert_close(curvature, torch.tensor([float("nan"), 0, 0]), equal_nan=True)


def test_third_and_batched_derivatives_are_those_of_torch() -> None:
    x = torch.linspace(-2, 2, 5)
    hessian = torch.autograd.functional.hessian
    total = [partial(lambda x, f: f(x).square().sum(), f=f) for f in (gelu, functional.gelu)]
    for vectorize in (False, True):
        got, expected = (hessian(f, x, vectorize=vectorize) for f in total)
        torch.testing.assert_close(got, expected)
    got, expected = (_third(f) for f in (gelu, functional.gelu))
    torch.testing.assert_close(got, expected)


def _third(function: object) -> Tensor:
    x = torch.linspace(-2, 2, 5, requires_grad=True)
    found = function(x).sum()  # type: ignore[operator]
    for _ in range(3):
        (found,) = torch.autograd.grad(found.sum(), x, create_graph=True)
    return found.detach()


def test_opcheck() -> None:
    x, grad = torch.randn(3, 5, requires_grad=True), torch.randn(3, 5, requires_grad=True)
    assert set(torch.library.opcheck(torch.ops.rapidash.gelu, (x,)).values()) == {"SUCCESS"}
    assert set(torch.library.opcheck(torch.ops.rapidash.gelu_backward, (grad, x)).values()) == {"SUCCESS"}
