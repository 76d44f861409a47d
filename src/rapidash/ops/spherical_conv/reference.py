"""The definition of the depthwise convolution over the orientation grid."""

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.ops._backend import accumulation_dtype


def spherical_conv_reference(x: Float[Tensor, "N O C"], kernel: Float[Tensor, "P O C"]) -> Float[Tensor, "N P C"]:
    """The definition: any device and dtype, differentiable to any order."""
    dtype = accumulation_dtype(x, kernel)
    out = torch.einsum("bac,nac->nbc", kernel.to(dtype), x.to(dtype)) / max(x.shape[1], 1)
    return out.to(x.dtype)
