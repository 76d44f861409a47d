"""channel_mlp with its forward-mode derivative: value and tangent from the same pre-activations."""

import torch
from torch import Tensor

from rapidash.ops._mlp_gradients import scaled
from rapidash.ops._products import chosen_products, products_for, row_chunks
from rapidash.ops.channel_mlp._fused import _gelu, _linear, _scratch, channel_mlp_forward
from rapidash.ops.channel_mlp.reference import EPS


def channel_mlp_jvp(
    features: tuple[Tensor, Tensor | None],
    added: tuple[Tensor | None, Tensor | None],
    norm_weight: Tensor,
    norm_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The output (M, C') and its tangent from features x (M, C) and a residual, each with its tangent; None is 0."""
    (x, dx), (residual, dresidual) = features, added
    if dx is None:
        assert dresidual is not None
        return channel_mlp_forward(
            x, residual, norm_weight, norm_bias, w1, b1, w2, b2, scale, False, chosen_products()
        )[0], dresidual
    w2, b2 = scaled(w2, b2, scale)
    out = b2.expand(len(x), -1).clone() if residual is None else residual + b2
    dout = torch.zeros_like(out) if dresidual is None else dresidual.clone()
    buffer, dbuffer = _scratch(x, len(w1), 2)
    products = products_for(x, weight=w1)
    for rows in row_chunks(len(x), len(w1), x):
        size = rows.stop - rows.start
        normalized, mean, inverse = torch.native_layer_norm(x[rows], x.shape[1:], norm_weight, norm_bias, EPS)
        # the Jacobian of x -> (x - mean) / std is symmetric: what a backward pass does to gradients suits tangents too
        dnormalized, _, _ = torch.ops.aten.native_layer_norm_backward(
            dx[rows], x[rows], x.shape[1:], mean, inverse, None, None, [True, False, False]
        )
        hidden = _linear(normalized, w1, b1, products, buffer[:size])
        dhidden = products.apply(dnormalized.mul_(norm_weight), w1, dbuffer[:size])
        torch.ops.aten.gelu_backward.grad_input(dhidden, hidden, grad_input=dhidden)
        products.add(dout[rows], dhidden, w2)
        products.add(out[rows], _gelu(hidden, hidden), w2)
    return out, dout
