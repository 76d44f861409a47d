"""Positions far from the origin, which have few digits left in float32 unless they are moved before."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_FAR = 100.0  # times the size of a cloud: nearer, float32 keeps distances to 1e-5 of it


def centers_far_away(pos: Float[Tensor, "N D"], num_points: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
    """The mean position of each cloud that lies more than 100 times its own size from the origin; 0 for the others.

    The size is the root mean square distance from the mean. Everything is computed in float64.
    """
    pos = pos.double()
    owner = torch.repeat_interleave(torch.arange(len(num_points), device=pos.device), num_points.to(pos.device))
    zeros = pos.new_zeros(len(num_points), pos.shape[1])
    count = num_points.to(pos)[:, None]
    mean = zeros.index_add(0, owner, pos / count[owner])
    square = zeros[:, :1].index_add(0, owner, (pos - mean[owner]).square().sum(dim=1, keepdim=True) / count[owner])
    is_far = (
        (mean.norm(dim=1, keepdim=True) > _FAR * square.sqrt())
        & (square > 0)
        & mean.isfinite().all(dim=1, keepdim=True)
    )
    return torch.where(is_far & mean.isfinite().all(dim=1, keepdim=True), mean, 0.0)


def rounded(pos: Float[Tensor, "N D"], num_points: Int[Tensor, " B"], dtype: torch.dtype) -> Float[Tensor, "N D"]:
    """Positions in a dtype; unless it is float64, clouds far from the origin are moved to it first."""
    if dtype == torch.float64:
        return pos.to(dtype)
    return (pos - torch.repeat_interleave(centers_far_away(pos, num_points), num_points, dim=0)).to(dtype)
