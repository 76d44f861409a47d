"""The definition of a channel mixing whose maps act on the components of signals on orientations."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import gelu, linear

from rapidash.ops.channel_mlp.reference import any_order_layer_norm


def component_mlp_reference(
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
) -> Float[Tensor, "M O C2"]:
    """The definition: any device and dtype, differentiable to any order."""

    def mapped(signal: Tensor, weights: Tensor) -> Tensor:
        parts = torch.matmul(analysis.to(signal), signal).split(list(dims), dim=1)
        components = [linear(part, weight) for part, weight in zip(parts, weights, strict=True)]
        return torch.matmul(synthesis.to(signal), torch.cat(components, dim=1))

    hidden = gelu(mapped(any_order_layer_norm(x, norm_weight, norm_bias), w1) + b1)
    out = mapped(hidden, w2) + b2
    if scale is not None:
        out = scale * out
    return out if residual is None else residual + out
