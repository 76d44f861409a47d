"""The definition of the channel mixing of a ConvNeXt block."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

from rapidash.ops._forward_mode import is_differentiated_again

EPS = 1e-5


def channel_mlp_reference(
    x: Float[Tensor, "*points C"],
    residual: Float[Tensor, "*points C2"] | None,
    norm_weight: Float[Tensor, " C"],
    norm_bias: Float[Tensor, " C"],
    w1: Float[Tensor, "H C"],
    b1: Float[Tensor, " H"],
    w2: Float[Tensor, "C2 H"],
    b2: Float[Tensor, " C2"],
    scale: Float[Tensor, " C2"] | None = None,
) -> Float[Tensor, "*points C2"]:
    """The definition: any device and dtype, differentiable to any order."""
    normalized = any_order_layer_norm(x, norm_weight, norm_bias)
    out = linear(gelu(linear(normalized, w1, b1)), w2, b2)
    if scale is not None:
        out = scale * out
    return out if residual is None else residual + out


def any_order_layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """torch's; by parts where a derivative of its tangent may follow, which torch gets wrong."""
    if not is_differentiated_again(x, weight, bias):
        return layer_norm(x, x.shape[-1:], weight, bias, EPS)
    centered = x - x.mean(dim=-1, keepdim=True)
    return centered * (centered.square().mean(dim=-1, keepdim=True) + EPS).rsqrt() * weight + bias
