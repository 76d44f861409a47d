"""Channel mixing of a ConvNeXt block: LayerNorm, linear, GELU, linear, layer scale, residual."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.ops._backend import Backend, check_backend, transform_obstacle
from rapidash.ops._direct_op import direct_op
from rapidash.ops._forward_mode import has_tangent, join_dual, split_dual, tracks_gradients
from rapidash.ops._products import chosen_products, note_products, products_made
from rapidash.ops._second_order import has_no_kernel, needs_definition, partial_gradients, second_gradients
from rapidash.ops._wanted import wanted_gradients
from rapidash.ops.channel_mlp._fused import channel_mlp_backward, channel_mlp_forward
from rapidash.ops.channel_mlp._jvp import channel_mlp_jvp
from rapidash.ops.channel_mlp._second import channel_mlp_second
from rapidash.ops.channel_mlp.reference import channel_mlp_reference

__all__ = ["channel_mlp"]

FEW = 2**15
"""Hidden activations up to which torch's own operations, whose gradients are called from C++, take less time."""


def channel_mlp(
    x: Float[Tensor, "*points C"],
    residual: Float[Tensor, "*points C2"] | None,
    norm_weight: Float[Tensor, " C"],
    norm_bias: Float[Tensor, " C"],
    w1: Float[Tensor, "H C"],
    b1: Float[Tensor, " H"],
    w2: Float[Tensor, "C2 H"],
    b2: Float[Tensor, " C2"],
    scale: Float[Tensor, " C2"] | None = None,
    *,
    recompute: bool = False,
    backend: Backend = "auto",
) -> Float[Tensor, "*points C2"]:
    r"""residual + scale * (W2 GELU(W1 LayerNorm(x) + b1) + b2), with the exact GELU and eps = 1e-5.

    Where gradients may follow, and there are at most `FEW` hidden activations, it is torch's operations; few rows
    without gradients, in float32 on the CPU, are one compiled call, in which no row's bits depend on another row. Else,
    of all activations only x and the pre-activations (H per point) are kept for the backward pass; the rest is
    computed again there, in chunks of points that stay in the cache, with the matrix products of torch.

    Args:
        x: features; points are the leading axes.
        residual: added to the result; None adds nothing.
        norm_weight, norm_bias: of the LayerNorm.
        w1, b1: first linear map, C -> H.
        w2, b2: second linear map, H -> C2.
        scale: layer scale, a factor per output channel; None is 1.
        recompute: keep x only, and compute the pre-activations again in the backward pass: one more matrix product
            (of six), and nothing of size (points, H) is ever allocated.
        backend: "reference" is the definition. Every other name runs the one fused implementation, since its matrix
            products are torch's on every device. Under autocast and transforms of torch.func the definition runs.

    Differentiable to any order (the second one by the definition but for that of x, the third on by it), and in forward
    mode (by the parameters: the definition). The same bits in every run on the CPU.
    Raises: ValueError for shapes, dtypes or devices that do not fit, or an unknown backend.
    """
    check_backend(backend)
    parameters = norm_weight, norm_bias, w1, b1, w2, b2, scale
    is_cast = torch.is_autocast_enabled("cpu" if x.is_cpu else x.device.type)
    _check(x, residual, *parameters, is_cast)
    keep = not recompute and tracks_gradients(x, *parameters)
    obstacle = is_cast or transform_obstacle(x, residual, *parameters) or has_tangent(*parameters)
    if backend == "reference" or obstacle or (keep and _are_few(x, w1)):
        note_products("torch")
        return channel_mlp_reference(x, residual, *parameters)
    rows = x.reshape(-1, x.shape[-1])
    flat_residual = None if residual is None else residual.reshape(-1, len(w2))
    if has_tangent(x, residual):
        added = (None, None) if flat_residual is None else split_dual(flat_residual)
        dual = join_dual(channel_mlp_jvp(split_dual(rows), added, *parameters))
        return dual.view(*x.shape[:-1], len(w2))
    out: Tensor = _forward(rows, flat_residual, *parameters, keep, chosen_products())[0]
    return out.view(*x.shape[:-1], len(w2))


def _are_few(x: Tensor, w1: Tensor) -> bool:
    """Whether the hidden activations are so few that torch's own operations take less time, and none is rounded."""
    return x.numel() // x.shape[-1] * len(w1) <= FEW and chosen_products() != "bfloat16"


def _check(
    x: Tensor,
    residual: Tensor | None,
    norm_weight: Tensor,
    norm_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor | None,
    is_cast: bool,
) -> None:
    channels, (hidden, out) = x.shape[-1], (w1.shape[0], w2.shape[0])
    expected = (
        ("norm_weight", norm_weight, (channels,)),
        ("norm_bias", norm_bias, (channels,)),
        ("w1", w1, (hidden, channels)),
        ("b1", b1, (hidden,)),
        ("w2", w2, (out, hidden)),
        ("b2", b2, (out,)),
        ("scale", scale, (out,)),
        ("residual", residual, (*x.shape[:-1], out)),
    )
    dtype, is_cpu = x.dtype, x.is_cpu
    for name, tensor, shape in expected:
        if tensor is None:
            continue
        if tensor.shape != shape:
            raise ValueError(
                f"{name} must have shape {tuple(shape)} to fit x {tuple(x.shape)}, w1 {tuple(w1.shape)} and "
                f"w2 {tuple(w2.shape)}; got {tuple(tensor.shape)}"
            )
        if tensor.dtype != dtype and not is_cast:
            raise ValueError(f"{name} has dtype {tensor.dtype} but x has {x.dtype}: convert one of them with .to()")
        if tensor.is_cpu != is_cpu:
            raise ValueError(f"{name} is on {tensor.device} but x on {x.device}: move one of them with .to()")


@direct_op("rapidash::channel_mlp")
def _forward(
    x: Tensor,
    residual: Tensor | None,
    norm_weight: Tensor,
    norm_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor | None,
    keep: bool,
    kind: str,
) -> tuple[Tensor, Tensor]:
    return channel_mlp_forward(x, residual, norm_weight, norm_bias, w1, b1, w2, b2, scale, keep, kind)


@_forward.register_fake
def _fake_forward(
    x: Tensor,
    residual: Tensor | None,
    norm_weight: Tensor,
    norm_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor | None,
    keep: bool,
    kind: str,
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[0], w2.shape[0]), x.new_empty(x.shape[0] if keep else 0, w1.shape[0])


@direct_op("rapidash::channel_mlp_backward")
def _backward(
    grad: Tensor,
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor | None,
    kept: Tensor,
    needs: list[bool],
    kind: str,
) -> list[Tensor]:
    return channel_mlp_backward(grad, x, norm_weight, norm_bias, w1, b1, w2, b2, scale, kept, needs, kind)


@_backward.register_fake
def _fake_backward(
    grad: Tensor,
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor | None,
    kept: Tensor,
    needs: list[bool],
    kind: str,
) -> list[Tensor]:
    parameters = norm_weight, norm_bias, w1, b1, w2, b2, scale
    wanted = [needs[0], *(needs[1] and tensor is not None for tensor in parameters)]
    pairs = zip((x, *parameters), wanted, strict=True)
    return [torch.empty_like(t) if want and t is not None else x.new_empty(0) for t, want in pairs]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, residual, *parameters, _, ctx.kind = inputs  # a backward pass may run in another thread
    ctx.made = products_made()
    ctx.has_residual = residual is not None
    ctx.save_for_backward(x, *parameters, output[1])
    ctx.set_materialize_grads(False)  # or a gradient of the size of the pre-activations is made of zeros


def _vector_jacobian(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 11
    *inputs, kept = ctx.saved_tensors
    wanted = wanted_gradients(ctx)
    needs = [wanted[0], *wanted[2:9]]
    grad_residual = grad if ctx.has_residual and wanted[1] else None
    may_follow = torch.is_grad_enabled() and (any(needs[1:]) or ctx.kind == "bfloat16")
    if has_no_kernel(grad) or may_follow:
        ctx.made.add("torch")
        grads = partial_gradients(_definition, inputs, needs, grad)
    else:
        grads = _backward(grad.contiguous(), *inputs, kept.detach(), [needs[0], any(needs[1:])], ctx.kind)
        grads = [g if need else None for g, need in zip(grads, needs, strict=True)]
    return grads[0], grad_residual, *grads[1:], None, None


def _definition(x: Tensor, *parameters: Any) -> Tensor:
    return channel_mlp_reference(x, None, *parameters)


_forward.register_autograd(_vector_jacobian, setup_context=_setup_context)


@direct_op("rapidash::channel_mlp_second")
def _second(
    by_x: Tensor,
    grad: Tensor,
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor | None,
    kept: Tensor,
    kind: str,
) -> list[Tensor]:
    return channel_mlp_second(by_x, grad, x, norm_weight, norm_bias, w1, b1, w2, b2, scale, kept, kind)


@_second.register_fake
def _fake_second(
    by_x: Tensor,
    grad: Tensor,
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor | None,
    kept: Tensor,
    kind: str,
) -> list[Tensor]:
    like = [torch.empty_like(tensor) for tensor in (grad, x, norm_weight, norm_bias, w1, b1, w2)]
    return [*like, x.new_empty(0) if scale is None else torch.empty_like(scale)]


def _setup_second(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *tensors, _, ctx.kind = inputs
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _second_vector_jacobian(ctx: Any, *moved: Any) -> tuple[Tensor | None, ...]:
    """The gradients of the gradients: by the kernel where only that of x was used, as it is for forces."""
    by_x, *others = moved[0] if isinstance(moved[0], list | tuple) else moved
    grad, *inputs, kept = ctx.saved_tensors
    needs = wanted_gradients(ctx)[:9]
    if needs_definition(by_x, *others) or any(other is not None for other in others):
        factors = by_x, *others[: len(inputs) - 1]
        found = second_gradients(_definition, inputs, grad, factors, needs)
    elif by_x is None:
        found = [None] * 9
    else:
        computed = _second(by_x.contiguous(), grad, *inputs, kept, ctx.kind)
        computed.insert(7, None)  # the gradient of x does not depend on b2
        found = [g if need else None for g, need in zip(computed, needs, strict=True)]
    return *found, None, None, None


_backward.register_autograd(_second_vector_jacobian, setup_context=_setup_second)
