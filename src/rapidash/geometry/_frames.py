"""Frames of a cloud: D orthonormal vectors."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def centroids(pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"], num_clouds: int) -> Float[Tensor, "B D"]:
    """The mean position of each cloud."""
    count = torch.bincount(batch, minlength=num_clouds).clamp(min=1).to(pos)
    return pos.new_zeros(num_clouds, pos.shape[1]).index_add(0, batch, pos) / count[:, None]


def canonical_frame(pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"], num_clouds: int) -> Float[Tensor, "B D D"]:
    """Principal axes of each cloud, rows by falling variance, each pointing to the side of the heavier tail.

    The sign of an axis a is that of sum_i ((x_i - centroid) . a)^3. For a cloud whose variances differ and whose third
    moments do not vanish the frame is equivariant: rotated or mirrored with the cloud, unchanged by translations. For
    a symmetric cloud no equivariant frame exists, and the choice made here is arbitrary.
    """
    offset = pos - centroids(pos, batch, num_clouds)[batch]
    outer = (offset[:, :, None] * offset[:, None]).flatten(1)
    moments = pos.new_zeros(num_clouds, outer.shape[1]).index_add(0, batch, outer).unflatten(1, (pos.shape[1], -1))
    axes = torch.linalg.eigh(moments).eigenvectors.transpose(-1, -2).flip(1)
    skewness = pos.new_zeros(num_clouds, pos.shape[1]).index_add(
        0, batch, torch.einsum("nkd,nd->nk", axes[batch], offset) ** 3
    )
    return axes * torch.where(skewness < 0, -1.0, 1.0).to(pos)[..., None]
