"""Channel mixing of a ConvNeXt block whose linear maps act on the components of signals on orientations."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._compilers import HAS_NUMBA
from rapidash.ops._backend import Backend, check_backend, transform_obstacle
from rapidash.ops._direct_op import direct_op
from rapidash.ops._forward_mode import has_tangent, tracks_gradients
from rapidash.ops._products import chosen_products, note_products, products_made
from rapidash.ops._second_order import needs_definition, partial_gradients
from rapidash.ops._wanted import wanted_gradients
from rapidash.ops.component_mlp._fused import component_mlp_backward, component_mlp_forward
from rapidash.ops.component_mlp.reference import component_mlp_reference

__all__ = ["component_mlp"]

LANES = 16  # of a vector of the compiled code
MOST_COMPONENTS = 32


def component_mlp(
    x: Float[Tensor, "M O C"],
    residual: Float[Tensor, "M O C2"] | None,
    norm_weight: Float[Tensor, " C"],
    norm_bias: Float[Tensor, " C"],
    w1: Float[Tensor, "P H C"],
    b1: Float[Tensor, " H"],
    w2: Float[Tensor, "P C2 H"],
    b2: Float[Tensor, " C2"],
    scale: Float[Tensor, " C2"] | None,
    analysis: Float[Tensor, "K O"],
    synthesis: Float[Tensor, "O K"],
    dims: Sequence[int],
    *,
    recompute: bool = False,
    backend: Backend = "auto",
) -> Float[Tensor, "M O C2"]:
    r"""residual + scale * (S W2 A GELU(S W1 A LayerNorm(x) + b1) + b2), with the exact GELU and eps = 1e-5.

    A takes a signal on the O orientations apart into K components, in parts that follow each other, and S puts them
    together; each map has a matrix for every part, which acts on the channels of its components. Where there are fewer
    components than orientations there are as many fewer products, and signals of the hidden layer, with H channels at
    every orientation, are in registers only.

    Args:
        x, residual, norm_weight, norm_bias, b1, b2, scale: as of `channel_mlp`, for signals on orientations.
        w1, w2: the matrices of all parts.
        analysis, synthesis: A and S, of any floating point type; no gradients are taken by them.
        dims: number of components of each part, K in all.
        recompute: keep x only, and compute the pre-activations again in the backward pass.
        backend: "reference" is the definition. Every other name runs compiled code in float32 on the CPU, for widths
            that are multiples of 16 and at most 32 components; otherwise, under autocast and in transforms, the
            definition.

    Differentiable to any order (from the second on by the definition). The same bits in every run with the same number
    of threads.
    Raises: ValueError for shapes that do not fit, or an unknown backend.
    """
    check_backend(backend)
    parameters = norm_weight, norm_bias, w1, b1, w2, b2, scale
    _check(x, residual, *parameters, analysis, synthesis, dims)
    widths = x.shape[2], w1.shape[1], w2.shape[1]
    fits = len(analysis) <= MOST_COMPONENTS and not any(width % LANES for width in widths)
    if backend == "reference" or not fits or not _can_compile(x, residual, *parameters):
        note_products("torch")
        return component_mlp_reference(x, residual, *parameters, analysis, synthesis, dims)
    keep = not recompute and tracks_gradients(x, *parameters)
    out: Tensor = _forward(x, residual, *parameters, analysis, synthesis, list(dims), keep, chosen_products())[0]
    return out


def _can_compile(*tensors: Tensor | None) -> bool:
    """Whether the compiled code can run on these tensors."""
    given = [tensor for tensor in tensors if tensor is not None]
    if not HAS_NUMBA or not all(tensor.is_cpu and tensor.dtype == torch.float32 for tensor in given):
        return False
    return not (transform_obstacle(*given) or has_tangent(*given) or torch.is_autocast_enabled("cpu"))


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
    analysis: Tensor,
    synthesis: Tensor,
    dims: Sequence[int],
) -> None:
    if x.ndim != 3 or analysis.shape != (sum(dims), x.shape[1]) or synthesis.shape != (x.shape[1], sum(dims)):
        raise ValueError(
            f"x must be (M, O, C), analysis (K, O) and synthesis (O, K) with K = {sum(dims)} components of parts "
            f"{tuple(dims)}, got {tuple(x.shape)}, {tuple(analysis.shape)} and {tuple(synthesis.shape)}"
        )
    if w1.ndim != 3 or w2.ndim != 3 or len(w1) != len(dims) or len(w2) != len(dims) or w1.shape[2] != x.shape[2]:
        raise ValueError(
            f"w1 must be (P, H, C) and w2 (P, C', H) with P = {len(dims)} parts and C = {x.shape[2]}, got "
            f"{tuple(w1.shape)} and {tuple(w2.shape)}"
        )
    if w2.shape[2] != w1.shape[1]:
        raise ValueError(f"w2 must take the {w1.shape[1]} channels that w1 gives, got {tuple(w2.shape)}")
    channels, hidden, out = x.shape[2], w1.shape[1], w2.shape[1]
    expected = (
        ("residual", residual, (*x.shape[:2], out)),
        ("norm_weight", norm_weight, (channels,)),
        ("norm_bias", norm_bias, (channels,)),
        ("b1", b1, (hidden,)),
        ("b2", b2, (out,)),
        ("scale", scale, (out,)),
    )
    for name, tensor, shape in expected:
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{name} must be {shape} to fit x, w1 and w2, got {tuple(tensor.shape)}")


@direct_op("rapidash::component_mlp")
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
    analysis: Tensor,
    synthesis: Tensor,
    dims: list[int],
    keep: bool,
    kind: str,
) -> tuple[Tensor, Tensor]:
    return component_mlp_forward(
        x, residual, norm_weight, norm_bias, w1, b1, w2, b2, scale, analysis, synthesis, dims, keep, kind
    )


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
    analysis: Tensor,
    synthesis: Tensor,
    dims: list[int],
    keep: bool,
    kind: str,
) -> tuple[Tensor, Tensor]:
    kept = x.new_empty(sum(dims), x.shape[0] if keep else 0, w1.shape[1])
    return x.new_empty(x.shape[0], x.shape[1], w2.shape[1]), kept


@direct_op("rapidash::component_mlp_backward")
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
    analysis: Tensor,
    synthesis: Tensor,
    dims: list[int],
    kept: Tensor,
    needs: list[bool],
    kind: str,
) -> list[Tensor]:
    return component_mlp_backward(
        grad, x, norm_weight, norm_bias, w1, b1, w2, b2, scale, analysis, synthesis, dims, kept, needs, kind
    )


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
    analysis: Tensor,
    synthesis: Tensor,
    dims: list[int],
    kept: Tensor,
    needs: list[bool],
    kind: str,
) -> list[Tensor]:
    like = [torch.empty_like(tensor) for tensor in (norm_weight, norm_bias, w1, b1, w2, b2)]
    grad_x = torch.empty_like(x) if needs[0] else x.new_empty(0)
    return [grad_x, *like, x.new_empty(0) if scale is None else torch.empty_like(scale)]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, residual, *tensors, ctx.dims, _, ctx.kind = inputs  # a backward pass may run in another thread
    ctx.made = products_made()
    ctx.has_residual = residual is not None
    ctx.save_for_backward(x, *tensors, output[1])
    ctx.set_materialize_grads(False)  # or a gradient of the size of the pre-activations is made of zeros


def _vector_jacobian(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 14
    *inputs, analysis, synthesis, kept = ctx.saved_tensors
    wanted = wanted_gradients(ctx)
    needs = [wanted[0], *wanted[2:9]]
    grad_residual = grad if ctx.has_residual and wanted[1] else None
    if needs_definition(grad):
        ctx.made.add("torch")

        def definition(x: Tensor, *parameters: Any) -> Tensor:
            given = x, None, *parameters, analysis, synthesis, ctx.dims
            return component_mlp_reference(*given)

        grads = partial_gradients(definition, inputs, needs, grad)
    else:
        groups = [needs[0], any(needs[1:])]
        grads = _backward(grad.contiguous(), *inputs, analysis, synthesis, ctx.dims, kept, groups, ctx.kind)
        grads = [g if need else None for g, need in zip(grads, needs, strict=True)]
    return grads[0], grad_residual, *grads[1:], None, None, None, None, None


_forward.register_autograd(_vector_jacobian, setup_context=_setup_context)
