"""The clouds of a batch as ranges of rows."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Cloud b holds the rows ``start[b] : start[b] + count[b]``.

    Args:
        start: first row of each cloud.
        count: number of points of each cloud.
        largest: number of points of the largest cloud.
    """

    start: Int[Tensor, " B"]
    count: Int[Tensor, " B"]
    largest: int

    @classmethod
    def from_batch(cls, batch: Int[Tensor, " N"], num_clouds: int | None = None) -> "Segments":
        """The clouds of a sorted batch; clouds without points have count 0."""
        count = torch.bincount(batch, minlength=num_clouds or 0)
        return cls(torch.cumsum(count, 0) - count, count, int(count.max()) if len(count) else 0)

    def __len__(self) -> int:
        return self.count.shape[0]


def ranges(start: Int[Tensor, " R"], count: Int[Tensor, " R"]) -> tuple[Int[Tensor, " E"], Int[Tensor, " E"]]:
    """The integers of several ranges in turn, and for each of them the number of its range.

    Range r holds ``start[r], start[r] + 1, ..., start[r] + count[r] - 1``.
    """
    row = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    first = torch.cumsum(count, 0) - count
    return torch.arange(len(row), device=row.device) + (start - first)[row], row
