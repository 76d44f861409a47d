"""A linear map of features through the fastest library of products, differentiable to any order."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from rapidash.ops import _forward_mode as forward_mode
from rapidash.ops._batching import is_batched
from rapidash.ops._direct_op import direct_op
from rapidash.ops._probe import onednn_product
from rapidash.ops._products import SMALL_PRODUCT, product_kind
from rapidash.ops._second_order import has_no_kernel, partial_gradients
from rapidash.ops._wanted import wanted_gradients


def linear(
    x: Float[Tensor, "*B K"], weight: Float[Tensor, "N K"], bias: Float[Tensor, " N"] | None = None
) -> Float[Tensor, "*B N"]:
    """x W^T + b, as torch's, with the products of float32 on the CPU through the library that `use_products` names.

    Products that are small, or of operands in bfloat16 inside channel MLPs, stay with torch here; so does all that is
    traced, transformed, batched or cast. In forward mode it is one product more, where torch also adds the zeros that a
    constant weight contributes. The same bits in every run.
    """
    if not _gains(x, weight):
        return forward_mode.linear(x, weight) if bias is None else functional.linear(x, weight, bias)
    out: Tensor = _onednn(x.reshape(-1, x.shape[-1]), weight)
    out = out.view(*x.shape[:-1], len(weight))
    return out if bias is None else out + bias


def _gains(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN multiplies these."""
    if not x.is_cpu or x.dtype != torch.float32 or weight.dtype != torch.float32 or x.ndim < 2:
        return False
    if torch.compiler.is_compiling() or forward_mode.is_active() or is_batched(x, weight):
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None or torch.is_autocast_enabled("cpu"):
        return False
    return x.numel() * len(weight) >= SMALL_PRODUCT and product_kind() == "onednn"


@direct_op("rapidash::linear")
def _onednn(x: Tensor, weight: Tensor) -> Tensor:
    return onednn_product(x, weight)


@_onednn.register_fake
def _fake(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(len(x), len(weight))


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _vector_jacobian(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, weight = ctx.saved_tensors
    needs = wanted_gradients(ctx)
    if has_no_kernel(grad):
        grad_x, grad_weight = partial_gradients(functional.linear, (x, weight), needs, grad)
        return grad_x, grad_weight
    # each gradient is such a map in turn, and so has gradients itself
    return _onednn(grad, weight.T) if needs[0] else None, _onednn(grad.T, x.T) if needs[1] else None


_onednn.register_autograd(_vector_jacobian, setup_context=_setup_context)
