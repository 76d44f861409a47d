"""The exact GELU, whose second derivatives take one pass: torch's take a dozen, in every training of forces."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from rapidash.ops._backend import is_traced, numba_obstacle
from rapidash.ops._direct_op import direct_op
from rapidash.ops._forward_mode import has_tangent
from rapidash.ops._second_order import has_no_kernel, needs_definition, partial_gradients, second_gradients
from rapidash.ops._wanted import wanted_gradients

__all__ = ["gelu", "gelu_slope", "gelu_slope_and_curvature"]


def gelu(x: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """x P(X < x) of a standard normal X: torch's value, and in float32 on the CPU derivatives in one pass each.

    Differentiable to any order, from the third on by torch; in forward mode, in transforms and in traced graphs by
    torch too. The same bits in every run.
    """
    if not x.requires_grad or is_traced() or not _is_compiled(x) or has_tangent(x):
        return functional.gelu(x)
    out: Tensor = _forward(x)
    return out


def gelu_slope(grad: Tensor, x: Tensor) -> Tensor:
    """grad * GELU'(x), without a graph."""
    if _is_compiled(x):
        from rapidash.ops.gelu.numba import gelu_backward

        return gelu_backward(grad, x)
    return torch.ops.aten.gelu_backward(grad, x)


def gelu_slope_and_curvature(moved: Tensor, grad: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """moved * GELU'(x) and moved * grad * GELU''(x), without a graph."""
    if _is_compiled(x):
        from rapidash.ops.gelu.numba import gelu_second

        return gelu_second(moved, grad, x)
    density = torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)
    return torch.ops.aten.gelu_backward(moved, x), moved * grad * density * (2 - x.square())


def _is_compiled(x: Tensor) -> bool:
    return x.dtype == torch.float32 and not numba_obstacle(x)


@direct_op("rapidash::gelu")
def _forward(x: Tensor) -> Tensor:
    return functional.gelu(x)


@_forward.register_fake
def _fake_forward(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@direct_op("rapidash::gelu_backward")
def _backward(grad: Tensor, x: Tensor) -> Tensor:
    return gelu_slope(grad, x)


@_backward.register_fake
def _fake_backward(grad: Tensor, x: Tensor) -> Tensor:
    return x.new_empty(x.shape)


@direct_op("rapidash::gelu_second")
def _second(moved: Tensor, grad: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    return gelu_slope_and_curvature(moved, grad, x)


@_second.register_fake
def _fake_second(moved: Tensor, grad: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(x.shape)


def _setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx: Any, grad: Tensor) -> Tensor | None:
    (x,) = ctx.saved_tensors
    if has_no_kernel(grad):
        return partial_gradients(functional.gelu, (x,), [True], grad)[0]
    found: Tensor = _backward(grad, x)
    return found


def _gradients_of_gradient(ctx: Any, moved: Tensor) -> tuple[Tensor | None, Tensor | None]:
    grad, x = ctx.saved_tensors
    if needs_definition(moved):
        of_grad, of_x = second_gradients(functional.gelu, (x,), grad, (moved,), wanted_gradients(ctx))
    else:
        of_grad, of_x = _second(moved, grad, x)
    return of_grad, of_x


_forward.register_autograd(_gradient, setup_context=_setup_context)
_backward.register_autograd(_gradients_of_gradient, setup_context=_setup_context)
