"""channel_mlp in chunks of rows that stay in the cache, keeping the least for the backward pass."""

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

from rapidash._compilers import HAS_NUMBA
from rapidash.ops._mlp_gradients import NormGradients, scaled, unscaled_gradients
from rapidash.ops._products import Products, is_small_product, note_products, products_for, row_chunks
from rapidash.ops.channel_mlp.reference import EPS


def _scratch(x: Tensor, hidden: int, num: int) -> tuple[Tensor, Tensor]:
    """Two buffers of one chunk of hidden activations (one buffer twice, if one is enough), used again by every chunk:
    memory that is new to the process costs as much time as the GELU that fills it."""
    longest = max((rows.stop - rows.start for rows in row_chunks(len(x), hidden, x)), default=0)
    buffers = [x.new_empty(longest, hidden) for _ in range(num)]
    return buffers[0], buffers[-1]


def _gelu(hidden: Tensor, out: Tensor) -> Tensor:
    """The exact GELU into a buffer."""
    return torch.ops.aten.gelu.out(hidden, out=out)


def _has_numba_gelu(x: Tensor) -> bool:
    """Whether the compiled GELU can run: float32 on the CPU."""
    return HAS_NUMBA and x.device.type == "cpu" and x.dtype == torch.float32


def _linear(x: Tensor, weight: Tensor, bias: Tensor, products: Products, hidden: Tensor) -> Tensor:
    """x weight^T + bias into a buffer."""
    return torch.add(products.apply(x, weight, hidden), bias, out=hidden)


def _linear_gelu(normalized: Tensor, w1: Tensor, b1: Tensor, products: Products, hidden: Tensor, out: Tensor) -> Tensor:
    """Pre-activations and their GELU, into buffers."""
    if not _has_numba_gelu(hidden):
        return _gelu(_linear(normalized, w1, b1, products, hidden), out)
    from rapidash.ops.channel_mlp.numba import add_bias_gelu

    add_bias_gelu(products.apply(normalized, w1, hidden), b1.contiguous(), hidden, out)
    return out


def _gelu_gradient(hidden: Tensor, grad: Tensor, out: Tensor) -> Tensor:
    """grad *= GELU'(hidden), out = GELU(hidden). Returns: grad summed over the rows."""
    if not _has_numba_gelu(hidden):
        torch.ops.aten.gelu_backward.grad_input(grad, hidden, grad_input=grad)
        _gelu(hidden, out)
        return grad.sum(dim=0)
    from rapidash.ops.channel_mlp.numba import gelu_gradient

    return gelu_gradient(hidden, grad, out)


def _small(
    x: Tensor, norm_weight: Tensor, norm_bias: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> tuple[Tensor, Tensor]:
    """Without scale and residual, and the pre-activations: few calls, each on few numbers."""
    hidden = linear(layer_norm(x, x.shape[1:], norm_weight, norm_bias, EPS), w1, b1)
    return linear(gelu(hidden), w2, b2), hidden


def channel_mlp_forward(
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
    """The output (M, C') and, if kept, the pre-activations (M, H), otherwise an empty tensor; x is (M, C)."""
    if is_small_product(len(x), w1) and kind != "bfloat16":
        note_products("torch")
        if not keep and _has_numba_gelu(x):
            from rapidash.ops.channel_mlp._few_rows import LANES, few_rows

            if is_small_product(len(x) + LANES - 1, w1):  # of the last vector all lanes but one may be empty
                return few_rows(x, residual, norm_weight, norm_bias, w1, b1, w2, b2, scale), x.new_empty(0, len(w1))
        out, hidden = _small(x, norm_weight, norm_bias, w1, b1, w2, b2)
        out = out if scale is None else scale * out
        return out if residual is None else residual + out, hidden if keep else x.new_empty(0, len(w1))
    w2, b2 = scaled(w2, b2, scale)
    kept = x.new_empty(len(x) if keep else 0, len(w1))
    out = b2.expand(len(x), -1).clone() if residual is None else residual + b2
    before, activated = _scratch(x, len(w1), 1 if keep else 2)
    products = products_for(x, kind, weight=w1)
    for rows in row_chunks(len(x), len(w1), x):
        count = rows.stop - rows.start
        normalized = layer_norm(x[rows], x.shape[1:], norm_weight, norm_bias, EPS)
        hidden = kept[rows] if keep else before[:count]
        products.add(out[rows], _linear_gelu(normalized, w1, b1, products, hidden, activated[:count]), w2)
    return out, kept


def channel_mlp_backward(
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
    """Gradients of x, norm_weight, norm_bias, w1, b1, w2, b2 and scale.

    ``needs`` says whether those of x and of any parameter are wanted; what is not comes back empty.
    """
    for_x, for_parameters = needs
    scaled_w2, _ = scaled(w2, b2, scale)
    of_norm = NormGradients(x, norm_weight, norm_bias, for_x, for_parameters)
    grad_w1_transposed, grad_b1, grad_w2, grad_b2 = (
        x.new_zeros(t.shape if for_parameters else 0) for t in (w1.T, b1, w2, b2)
    )
    ones = x.new_ones(len(x) if for_parameters else 0)
    before, after = _scratch(x, len(w1), 2)
    recomputed = before if len(kept) else x.new_empty(before.shape)
    narrow = x.new_empty(len(before), x.shape[1])
    products = products_for(x, kind, weight=w1)
    for rows in row_chunks(len(x), len(w1), x):
        size = rows.stop - rows.start
        normalized, mean, inverse = torch.native_layer_norm(x[rows], x.shape[1:], norm_weight, norm_bias, EPS)
        hidden = kept[rows] if len(kept) else _linear(normalized, w1, b1, products, recomputed[:size])
        grad_rows = grad[rows]
        grad_hidden = products.apply(grad_rows, scaled_w2.T, before[:size])
        activated = after[:size]
        grad_bias = _gelu_gradient(hidden, grad_hidden, activated)
        if for_parameters:
            grad_w2 = products.with_columns(grad_w2, grad_rows, activated)
            grad_b2.addmv_(grad_rows.T, ones[rows])
            grad_w1_transposed = products.with_columns(grad_w1_transposed, normalized, grad_hidden)
            grad_b1 += grad_bias
        grad_normalized = products.apply(grad_hidden, w1.T, narrow[:size])
        of_norm.add(grad_normalized, rows, mean, inverse)
    if not for_parameters:
        return [of_norm.of_x, *(x.new_empty(0) for _ in range(7))]
    grad_w2, grad_b2, grad_scale = unscaled_gradients(grad_w2, grad_b2, w2, b2, scale)
    grad_w1 = grad_w1_transposed.T.contiguous()
    return [of_norm.of_x, of_norm.of_weight, of_norm.of_bias, grad_w1, grad_b1, grad_w2, grad_b2, grad_scale]
