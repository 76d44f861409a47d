"""A backward pass computes the gradients that it asks for, and no others."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rapidash.ops._wanted import wanted_gradients

seen: list[list[bool]] = []


class Product(torch.autograd.Function):
    """x * factor * weight, which notes what its backward pass was asked for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.factor = factor
        return x * factor * weight

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor]:
        x, weight = ctx.saved_tensors
        seen.append(wanted_gradients(ctx))
        return grad * ctx.factor * weight, None, grad * ctx.factor * x


def asked(x: Tensor, weight: Tensor, *by: Tensor) -> list[bool]:
    seen.clear()
    out = Product.apply(x, 2.0, weight).sum()
    if by:
        torch.autograd.grad(out, by)
    else:
        out.backward()
    (found,) = seen
    return found


def test_of_leaves_and_of_what_was_computed() -> None:
    leaves = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    for x, weight in (leaves, tuple(leaf * 1 for leaf in leaves)):
        assert asked(x, weight, x) == [True, False, False]
        assert asked(x, weight, weight) == [False, False, True]
        assert asked(x, weight, x, weight) == [True, False, True]
        assert asked(x, weight) == [True, False, True]
    x, weight = leaves
    assert asked(x * 1, weight * 1, x) == [True, False, False]
    assert asked(x, weight.detach()) == [True, False, False]


def test_of_the_same_tensor_twice() -> None:
    x = torch.ones(2, requires_grad=True)
    assert asked(x, x, x) == [True, False, True]


def test_of_tensors_on_the_way_and_of_leaves_by_name() -> None:
    x, weight = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    on_the_way = x * 1
    assert asked(on_the_way, weight * 1, on_the_way) == [True, False, False]
    seen.clear()
    Product.apply(x * 1, 2.0, weight).sum().backward(inputs=[weight])
    assert seen == [[False, False, True]]
    assert x.grad is None
    assert weight.grad is not None


@pytest.mark.parametrize("is_nested", [False, True])
def test_of_a_pass_within_a_pass(is_nested: bool) -> None:
    """A checkpoint that starts a pass of its own within the outer one, and one that only computes again there."""
    x, weight = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    seen.clear()
    first = checkpoint(lambda x: Product.apply(x, 2.0, weight), x, use_reentrant=is_nested)
    Product.apply(first, 3.0, weight.detach()).sum().backward()
    assert seen == [[True, False, False], [True, False, True]]
    torch.testing.assert_close([x.grad, weight.grad], 2 * [torch.full((2,), 6.0)])
