"""The definition of the depthwise convolution over edges."""

from jaxtyping import Float, Int
from torch import Tensor

from rapidash.ops._backend import accumulation_dtype
from rapidash.ops._flops import note_uncounted


def edge_conv_reference(
    x: Float[Tensor, "S O C"],
    kernel: Float[Tensor, "E O C"],
    source: Int[Tensor, " E"],
    target: Int[Tensor, " E"],
    num_targets: int,
    *,
    edge_weight: Float[Tensor, " E"] | None = None,
) -> Float[Tensor, "T O C"]:
    """The definition: any device and dtype, differentiable to any order."""
    note_uncounted("edge_conv")
    dtype = accumulation_dtype(x, kernel, edge_weight)
    message = kernel.to(dtype) * x.to(dtype)[source]
    if edge_weight is not None:
        message = edge_weight.to(dtype)[:, None, None] * message
    return message.new_zeros(num_targets, *x.shape[1:]).index_add(0, target, message).to(x.dtype)
