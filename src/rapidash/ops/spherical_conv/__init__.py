"""Depthwise convolution over the orientation grid."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.ops._backend import Backend, select_backend
from rapidash.ops._direct_op import direct_op
from rapidash.ops._forward_mode import has_tangent, join_dual, split_dual
from rapidash.ops._second_order import has_no_kernel, partial_gradients, second_gradients
from rapidash.ops._wanted import wanted_gradients
from rapidash.ops.spherical_conv.reference import spherical_conv_reference

__all__ = ["spherical_conv"]


def spherical_conv(
    x: Float[Tensor, "N O C"], kernel: Float[Tensor, "P O C"], *, backend: Backend = "auto"
) -> Float[Tensor, "N P C"]:
    r"""y[n, b] = (1/O) sum_a kernel[b, a] * x[n, a], per channel.

    Args:
        x: features on the input grid of O orientations.
        kernel: a factor per pair of output and input orientation, and channel.
        backend: "auto", or "reference", "numba", "triton", which then run or raise. "triton", for the tensors that
            Triton kernels take, is torch's batched matrix product: on a GPU a kernel of its own has nothing to gain.

    Differentiable to any order, its gradients being such convolutions in turn, and in forward mode. The same bits in
    every run with the same number of threads on the CPU.

    Raises: ValueError for shapes that do not fit or an unknown backend; RuntimeError if the named one cannot run.
    """
    if x.ndim != 3 or kernel.ndim != 3 or kernel.shape[1:] != x.shape[1:]:
        raise ValueError(
            "x must be (N, O, C) and kernel (P, O, C) with the same O and C, "
            f"got {tuple(x.shape)} and {tuple(kernel.shape)}"
        )
    if select_backend("spherical_conv", backend, x, kernel) == "numba":
        if has_tangent(x, kernel):
            return join_dual(_jvp(*split_dual(x), *split_dual(kernel)))
        out: Tensor = _forward(x, kernel)
        return out
    return spherical_conv_reference(x, kernel)


def _jvp(x: Tensor, x_tangent: Tensor | None, kernel: Tensor, kernel_tangent: Tensor | None) -> tuple[Tensor, Tensor]:
    """Value and tangent of a bilinear function: one term for each tangent."""
    pairs = (x_tangent, kernel), (x, kernel_tangent)
    terms = [_forward(first, second) for first, second in pairs if first is not None and second is not None]
    return _forward(x, kernel), terms[0] if len(terms) == 1 else terms[0] + terms[1]


@direct_op("rapidash::spherical_conv")
def _forward(x: Tensor, kernel: Tensor) -> Tensor:
    from rapidash.ops.spherical_conv.numba import spherical_conv_forward

    return spherical_conv_forward(x, kernel)


@_forward.register_fake
def _fake_forward(x: Tensor, kernel: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], kernel.shape[0], x.shape[2])


@direct_op("rapidash::spherical_conv_backward")
def _backward(grad: Tensor, x: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    from rapidash.ops.spherical_conv.numba import spherical_conv_backward

    return spherical_conv_backward(grad, x, kernel)


@_backward.register_fake
def _fake_backward(grad: Tensor, x: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), kernel.new_empty(kernel.shape)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _vector_jacobian(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, kernel = ctx.saved_tensors
    needs = wanted_gradients(ctx)
    if has_no_kernel(grad):  # the older vmap has no rule for a custom op, but for the parts of einsum
        grad_x, grad_kernel = partial_gradients(spherical_conv_reference, (x, kernel), needs, grad)
        return grad_x, grad_kernel
    grad_x, grad_kernel = _backward(grad, x, kernel)
    return grad_x if needs[0] else None, grad_kernel if needs[1] else None


_forward.register_autograd(_vector_jacobian, setup_context=_setup_context)


def _setup_second(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)
    ctx.set_materialize_grads(False)


def _second(ctx: Any, by_x: Tensor | None, by_kernel: Tensor | None) -> tuple[Tensor | None, ...]:
    """Of a trilinear function B(grad, x, kernel): B(grad, by_x, kernel) + B(grad, x, by_kernel) by its arguments."""
    grad, x, kernel = ctx.saved_tensors
    needs = wanted_gradients(ctx)
    if has_no_kernel(by_x, by_kernel):
        moved = by_x, by_kernel
        return tuple(second_gradients(spherical_conv_reference, (x, kernel), grad, moved, needs))
    terms = [
        _forward(*pair) for pair in ((by_x, kernel), (x, by_kernel)) if pair[0] is not None and pair[1] is not None
    ]
    of_grad = sum(terms[1:], start=terms[0]) if needs[0] and terms else None
    if by_x is None and by_kernel is None:
        return None, None, None
    of_x, of_kernel = _backward(
        grad,
        torch.zeros_like(x) if by_x is None else by_x,
        torch.zeros_like(kernel) if by_kernel is None else by_kernel,
    )
    return of_grad, of_x if needs[1] else None, of_kernel if needs[2] else None


_backward.register_autograd(_second, setup_context=_setup_second)
