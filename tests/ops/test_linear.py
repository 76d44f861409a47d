"""The linear map through oneDNN: values by float64, gradients of two orders, and torch's wherever torch looks."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rapidash.ops import counted_flops, linear, product_libraries, use_products
from rapidash.ops._products import SMALL_PRODUCT

pytestmark = pytest.mark.skipif("onednn" not in product_libraries(), reason="this build of torch has no oneDNN")


def operators(x: Tensor, weight: Tensor) -> set[str]:
    activities = [torch.profiler.ProfilerActivity.CPU]
    with use_products("onednn"), torch.profiler.profile(activities=activities) as profile:
        linear(x, weight)
    return {event.key for event in profile.key_averages()}


def problem(*, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    shapes = (64, 16, 24), (48, 24)
    assert SMALL_PRODUCT <= 64 * 16 * 24 * 48
    return [torch.randn(shape, generator=rng, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


def first_and_second(run: object, x: Tensor, weight: Tensor) -> list[Tensor]:
    """The value, its gradients, and the gradients of the sum of their squares."""
    out = run(x, weight)  # type: ignore[operator]
    first = torch.autograd.grad(out.sin().sum(), (x, weight), create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), (x, weight))
    return [out.detach(), *(g.detach() for g in first), *second]


def test_values_and_gradients_of_two_orders() -> None:
    want = first_and_second(functional.linear, *problem(dtype=torch.float64))
    with use_products("onednn"):
        got = first_and_second(linear, *problem())
        again = first_and_second(linear, *problem())
    for value, exact, same in zip(got, want, again, strict=True):
        assert float((value - exact).norm()) <= 1e-6 * float(exact.norm())
        assert torch.equal(value, same)


def test_who_multiplies() -> None:
    x, weight = (tensor.detach() for tensor in problem())
    assert "mkldnn::_linear_pointwise" in operators(x, weight)
    for other in ((x[:10], weight), (x.double(), weight.double())):
        assert "mkldnn::_linear_pointwise" not in operators(*other)
    with torch.autocast("cpu", torch.bfloat16):
        assert "mkldnn::_linear_pointwise" not in operators(x, weight)
    with use_products("torch"):
        assert torch.equal(linear(x, weight), functional.linear(x, weight))
    with use_products("bfloat16"):
        assert torch.equal(linear(x, weight), functional.linear(x, weight))
    bias = torch.ones(48)
    with use_products("onednn"):
        torch.testing.assert_close(linear(x, weight, bias), functional.linear(x, weight, bias))


def test_transforms_batches_and_counts() -> None:
    x, weight = problem()
    tangent = torch.randn_like(x)
    with use_products("onednn"):
        value, slope = torch.func.jvp(lambda x: linear(x, weight.detach()), (x.detach(),), (tangent,))
        torch.testing.assert_close(slope, functional.linear(tangent, weight.detach()))
        out = linear(x, weight)
        torch.testing.assert_close(out.detach(), value, rtol=1e-5, atol=1e-5)
        grads = torch.randn(2, *out.shape)
        batched = torch.autograd.grad(out, (x, weight), grads, is_grads_batched=True, retain_graph=True)
        one = torch.autograd.grad(out, (x, weight), grads[1])
        for many, single in zip(batched, one, strict=True):
            torch.testing.assert_close(many[1], single, rtol=1e-4, atol=1e-4)
        with counted_flops() as count:
            linear(x, weight).sum().backward()
    assert count.total == 3 * 2 * 64 * 16 * 24 * 48
    assert not count.missed
