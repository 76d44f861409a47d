"""The Lie derivative along one direction for each sample, with gradients to the weights: what a penalty needs."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from rapidash.data import Batch, Field
from rapidash.measure._derivative import differentiable_kernels, dual_level, make_dual, uncompiled

SlopeMethod = Literal["forward", "double_backward"]


def lie_slope(
    fn: Callable[[Batch], Tensor],
    batch: Batch,
    output: Field,
    algebra: Float[Tensor, "B n n"],
    *,
    method: SlopeMethod = "forward",
) -> Tensor:
    r"""d/dt rho_out(exp(-t A_b)) f(rho_in(exp(t A_b)) x) at t = 0 for sample b, differentiable in the weights of f.

    `lie_derivative` is the measurement; this is the same value with a graph, at the price of one pass in dual numbers.
    Where gradients may follow, the operations of this package run by their definition, and so do normalizations,
    softmax and attention, of whose derivatives torch 2.13 has wrong ones or none.

    Args:
        fn: f, called with a batch once.
        batch: x, whose fields declare rho_in.
        output: representation and level of what f returns.
        algebra: A, an element of the Lie algebra for each sample.
        method: ``"forward"``: dual numbers; ``"double_backward"``: twice backward, for a function that has an
            operation without forward-mode derivative, or that differentiates itself.
    Shape: as what f returns.
    Raises: ValueError for an unknown method; NotImplementedError or RuntimeError if an operation lacks the derivative.
    """
    if method not in get_args(SlopeMethod):
        raise ValueError(f"method must be one of {get_args(SlopeMethod)}, got {method!r}")
    run = _forward if method == "forward" else _double_backward
    device = next(iter(batch.tensors.values())).device
    with uncompiled(), differentiable_kernels(), _by_definition():
        return run(fn, batch, output, algebra.to(device))


def _moved(fn: Callable[[Batch], Tensor], batch: Batch, output: Field, algebra: Tensor, t: Tensor) -> Tensor:
    """rho_out(1 - t A) f(rho_in(1 + t A) x), which has at t = 0 the value and the derivative of the exponentials."""
    eye = torch.eye(algebra.shape[-1], dtype=algebra.dtype, device=algebra.device)
    return batch.act(output, eye - t * algebra, fn(batch.transform(eye + t * algebra)))


def _forward(fn: Callable[[Batch], Tensor], batch: Batch, output: Field, algebra: Tensor) -> Tensor:
    zero = algebra.new_zeros(())
    with dual_level():
        value = _moved(fn, batch, output, algebra, make_dual(zero, torch.ones_like(zero)))
        dual = forward_ad.unpack_dual(value)
        slope: Tensor = torch.zeros_like(dual.primal) if dual.tangent is None else dual.tangent
        return slope.clone()


def _double_backward(fn: Callable[[Batch], Tensor], batch: Batch, output: Field, algebra: Tensor) -> Tensor:
    t = algebra.new_zeros(()).requires_grad_()
    value = _moved(fn, batch, output, algebra, t)
    covector = torch.zeros_like(value, requires_grad=True)
    slope = None
    if value.requires_grad:
        slope = torch.autograd.grad(value, t, covector, create_graph=True, allow_unused=True)[0]
    if slope is None or not slope.requires_grad:
        return torch.zeros_like(value)
    return torch.autograd.grad(slope, covector, create_graph=True)[0]


def _layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    centered = input - input.mean(axes, keepdim=True)
    normalized = centered * (centered.square().mean(axes, keepdim=True) + eps).rsqrt()
    normalized = normalized if weight is None else normalized * weight
    return normalized if bias is None else normalized + bias


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    shape = (1, -1, *(1,) * (input.dim() - 2))
    if training or running_mean is None or running_var is None:
        axes = tuple(axis for axis in range(input.dim()) if axis != 1)
        mean, var = input.mean(axes), input.var(axes, correction=0)
        if running_mean is not None and running_var is not None:
            count = input.numel() / input.shape[1]
            with torch.no_grad():
                value, spread = (forward_ad.unpack_dual(found).primal.detach() for found in (mean, var))
                running_mean.lerp_(value, momentum)
                running_var.lerp_(spread * count / max(1.0, count - 1), momentum)
    else:
        mean, var = running_mean, running_var
    normalized = (input - mean.reshape(shape)) * (var.reshape(shape) + eps).rsqrt()
    normalized = normalized if weight is None else normalized * weight.reshape(shape)
    return normalized if bias is None else normalized + bias.reshape(shape)


def _group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    grouped = input.unflatten(1, (num_groups, -1)).flatten(2)
    normalized = _layer_norm(grouped, grouped.shape[-1:], eps=eps).view_as(input)
    shape = (1, -1, *(1,) * (input.dim() - 2))
    normalized = normalized if weight is None else normalized * weight.reshape(shape)
    return normalized if bias is None else normalized + bias.reshape(shape)


def _softmax(input: Tensor, dim: int, *others: Any, dtype: torch.dtype | None = None, **more: Any) -> Tensor:
    x = input if dtype is None else input.to(dtype)
    shifted = (x - x.detach().amax(dim, keepdim=True)).exp()
    return shifted / shifted.sum(dim, keepdim=True)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if enable_gqa:
        raise NotImplementedError("attention with groups of queries has no definition here")
    scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return functional.dropout(_softmax(scores, -1), dropout_p) @ value


_DEFINITIONS: Mapping[Any, Callable[..., Tensor]] = {
    functional.layer_norm: _layer_norm,
    functional.batch_norm: _batch_norm,
    functional.group_norm: _group_norm,
    functional.scaled_dot_product_attention: _attention,
    functional.softmax: _softmax,
    torch.softmax: _softmax,
    Tensor.softmax: _softmax,
}


class _ByDefinition(TorchFunctionMode):
    """Normalizations, softmax and attention from elementary operations, whose derivatives of every order are right."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _DEFINITIONS.get(func, func)(*args, **(kwargs or {}))


@contextmanager
def _by_definition() -> Iterator[None]:
    """Within the block the definitions run, also inside of `torch.nn.functional`, which a mode does not see."""
    inside = {name: getattr(functional, name) for name in ("softmax", "scaled_dot_product_attention")}
    for name, fast in inside.items():
        setattr(functional, name, _DEFINITIONS[fast])
    try:
        with _ByDefinition():
            yield
    finally:
        for name, fast in inside.items():
            setattr(functional, name, fast)
