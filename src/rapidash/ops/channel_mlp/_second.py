"""The gradients of the gradient that channel_mlp gives its features: what the training of forces needs.

Of a row x write a for its normalized entries, r for one over its deviation, J for the derivative r (1 - 1 1^T / C - a
a^T / C) of a by x, which is symmetric, n = gamma a + beta, h = W1 n + b1, p = W2^T g and q = p GELU'(h). The gradient
of x is J (gamma W1^T q). Its sum with a factor v is S = u . (gamma m), with u = J v and m = W1^T q; all derivatives
follow from it, those by x through h, and through J.
"""

import torch
from torch import Tensor

from rapidash.ops._mlp_gradients import scaled, unscaled_gradients
from rapidash.ops._products import Products, products_for, row_chunks
from rapidash.ops.channel_mlp.reference import EPS
from rapidash.ops.gelu import gelu_slope, gelu_slope_and_curvature


def _applied(products: Products, x: Tensor, weight: Tensor) -> Tensor:
    return products.apply(x, weight, x.new_empty(len(x), len(weight)))


def channel_mlp_second(
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
    """Gradients of sum(by_x * gradient of x), by grad, x, norm_weight, norm_bias, w1, b1, w2 and scale.

    Args:
        by_x: a factor for every entry of that gradient, (M, C).
        grad: of the output.
        kept: the pre-activations, or nothing.
        kind: of the products.
    Other arguments are those of `channel_mlp_backward`. That by a scale which is None comes back empty.
    """
    scaled_w2, _ = scaled(w2, b2, scale)
    of_grad, of_x = torch.empty_like(grad), torch.empty_like(x)
    of_norm_weight, of_norm_bias = torch.zeros_like(norm_weight), torch.zeros_like(norm_bias)
    of_w1, of_b1, of_w2 = w1.new_zeros(w1.T.shape), torch.zeros_like(b1), torch.zeros_like(w2)
    products, channels = products_for(x, kind, weight=w1), x.shape[1]
    for rows in row_chunks(len(x), len(w1), x):
        given, factor, grad_rows = x[rows], by_x[rows], grad[rows]
        normalized, mean, inverse = torch.native_layer_norm(given, x.shape[1:], norm_weight, norm_bias, EPS)
        hidden = kept[rows] if len(kept) else _applied(products, normalized, w1) + b1
        standard = (given - mean) * inverse
        moved = _norm_gradient(factor, given, mean, inverse)
        weighted = moved * norm_weight

        by_activated = _applied(products, grad_rows, scaled_w2.T)
        by_hidden = gelu_slope(by_activated, hidden)
        by_normalized = _applied(products, by_hidden, w1.T)
        of_activated, of_hidden = gelu_slope_and_curvature(_applied(products, weighted, w1), by_activated, hidden)
        of_grad[rows] = _applied(products, of_activated, scaled_w2)
        of_normalized = _applied(products, of_hidden, w1.T)

        of_w2 = products.with_columns(of_w2, grad_rows, of_activated)
        of_w1 = products.with_columns(products.with_columns(of_w1, weighted, by_hidden), normalized, of_hidden)
        of_b1 += of_hidden.sum(dim=0)
        of_norm_weight += (moved * by_normalized + of_normalized * standard).sum(dim=0)
        of_norm_bias += of_normalized.sum(dim=0)

        slope = by_normalized * norm_weight
        along_slope, along_factor = (_row_dot(standard, other) * inverse / channels for other in (slope, factor))
        through = of_normalized * norm_weight - along_slope * factor - along_factor * slope
        shrinks = _row_dot(moved, slope) * inverse / channels
        of_x[rows] = _norm_gradient(through, given, mean, inverse) - shrinks * standard
    of_w2, _, of_scale = unscaled_gradients(of_w2, torch.zeros_like(b2), w2, b2, scale)
    return [of_grad, of_x, of_norm_weight, of_norm_bias, of_w1.T.contiguous(), of_b1, of_w2, of_scale]


def _row_dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=1, keepdim=True)


def _norm_gradient(grad: Tensor, x: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:
    """J grad, with J of the rows x.

    A GPU has the mean and the deviation of rows of half precision in float32, and so what is computed with them.
    """
    backward = torch.ops.aten.native_layer_norm_backward
    found: Tensor = backward(grad.to(x.dtype), x, x.shape[1:], mean, inverse, None, None, [True, False, False])[0]
    return found
