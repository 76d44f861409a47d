"""The pose of clouds: one that they are turned into, random turns of samples, and left and right."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.geometry import centroids
from rapidash.groups import SO

_FLAT = 1e-4  # a third moment along an axis, over the cubed spread of the cloud, that is nothing but rounding


def canonical_rotations(pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"], num_clouds: int) -> Float[Tensor, "B D D"]:
    """The rotation R of every cloud that turns it into its own pose: R x is the same for all turned copies of a cloud.

    The rows of R are the principal axes, the longest first, each but the last in the direction in which the third
    moment is positive; the last makes R a proper rotation, so a mirror image keeps its hand. Clouds with
    equal axes, or without such a moment, have some such pose.
    """
    return _axes(pos, batch, num_clouds)[0]


def handedness(pos: Float[Tensor, "N 3"], batch: Int[Tensor, " N"], num_clouds: int) -> Int[Tensor, " B"]:
    """1 or -1 for a cloud and its mirror image; 0 for one that is flat, or like its mirror image, up to rounding.

    It is the sign of the third moment along the last axis of the pose of `canonical_rotations`: rotations leave it, and
    mirrors turn it about. Clouds that are not finite have 0.
    """
    _, last = _axes(pos, batch, num_clouds)
    return torch.where(last.abs() > _FLAT, last.sign(), torch.zeros_like(last)).long()


def _axes(pos: Tensor, batch: Tensor, num_clouds: int) -> tuple[Tensor, Tensor]:
    """Rows of axes (B, D, D), and the third moment along the last one over the cubed spread (B,)."""
    offset = (pos - centroids(pos, batch, num_clouds)[batch]).double()
    dim = offset.shape[1]
    square = offset.new_zeros(num_clouds, dim, dim).index_add(0, batch, offset[:, :, None] * offset[:, None, :])
    square = torch.where(torch.isfinite(square), square, torch.zeros_like(square))
    axes = torch.linalg.eigh(square).eigenvectors.flip(-1).mT
    moments = _moments(offset, axes, batch)
    axes = torch.where(moments[..., None] < 0, -axes, axes)
    axes[:, -1] = axes[:, -1] * torch.linalg.det(axes)[:, None]
    spread = square.diagonal(dim1=1, dim2=2).sum(-1)
    last = _moments(offset, axes, batch)[:, -1] / spread.clamp(min=1e-300) ** 1.5
    return axes.to(pos), last


def _moments(offset: Tensor, axes: Tensor, batch: Tensor) -> Tensor:
    """Sums of the cubed components along every axis, (B, D)."""
    along = torch.einsum("nd,nkd->nk", offset, axes[batch])
    found = offset.new_zeros(axes.shape[:2]).index_add(0, batch, along**3)
    return found.nan_to_num(0.0, 0.0, 0.0)


def random_turns(dim: int, indices: Sequence[int], seed: int) -> Float[Tensor, "B D D"]:
    """A random rotation for each of some samples, float64: that of sample i from ``seeded(seed, "turn", i)``."""
    turns = [SO(dim).sample(1, generator=seeded(seed, "turn", index))[0, :dim, :dim] for index in indices]
    return torch.stack(turns).double()
