"""Wishes that samples are to meet, beside their number."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Asked:
    """Conditions and sizes of samples, in place of those that the task would draw for them.

    Args:
        condition: (num, 1), NaN for a sample without one.
        num_points: (num,) at least 2 each; sizes that training did not have are allowed to those who name them.
    Raises: ValueError for a size below 2, another shape, or an infinite condition.
    """

    condition: Float[Tensor, "num 1"] | None = None
    num_points: Int[Tensor, " num"] | None = None

    def __post_init__(self) -> None:
        if self.num_points is not None and self.num_points.dim() != 1:
            raise ValueError(f"num_points must have one axis, got the shape {tuple(self.num_points.shape)}")
        if self.num_points is not None and len(self.num_points) and (least := int(self.num_points.min())) < 2:
            raise ValueError(f"num_points must be at least 2 for each sample, got {least}")
        if self.condition is not None and bool(self.condition.isinf().any()):
            raise ValueError("condition must be finite, or NaN for a sample without one, got an infinite one")

    def check(self, num: int) -> None:
        """Raises: ValueError for another number of samples."""
        if self.condition is not None and self.condition.shape != (num, 1):
            raise ValueError(f"condition must have the shape ({num}, 1), got {tuple(self.condition.shape)}")
        if self.num_points is not None and self.num_points.shape != (num,):
            raise ValueError(f"num_points must have the shape ({num},), got {tuple(self.num_points.shape)}")

    def check_sizes(self, size: int, what: str) -> None:
        """Raises: ValueError for another size than the only one that a task has."""
        if self.num_points is not None and bool((self.num_points != size).any()):
            raise ValueError(f"{what} have {size} points, got num_points {sorted({*self.num_points.tolist()})}")

    def padded(self, whole: int) -> "Asked":
        """The same for more samples, of which the last ones are like the last that was asked for."""

        def longer(values: Tensor | None) -> Tensor | None:
            return (
                None
                if values is None
                else torch.cat([values, values[-1:].expand(whole - len(values), *values.shape[1:])])
            )

        return Asked(longer(self.condition), longer(self.num_points))
