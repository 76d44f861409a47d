"""From values of points to one value per cloud."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Pool = Literal["sum", "mean", "max"]


def pool_points(
    values: Float[Tensor, " N *F"], batch: Int[Tensor, " N"], num_clouds: int, pool: Pool
) -> Float[Tensor, " B *F"]:
    """The sum, mean or largest value over the points of each cloud; a cloud without points gives 0."""
    pooled = values.new_zeros(num_clouds, *values.shape[1:])
    if pool == "max":
        index = batch.reshape(-1, *[1] * (values.dim() - 1)).expand_as(values)
        return pooled.scatter_reduce(0, index, values, "amax", include_self=False)
    total = pooled.index_add(0, batch, values)
    if pool == "sum":
        return total
    count = torch.bincount(batch, minlength=num_clouds).to(values).clamp(min=1)
    return total / count.reshape(-1, *[1] * (total.dim() - 1))
