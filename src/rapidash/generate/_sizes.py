"""The law of the number of points of clouds, alone or given a condition, as numbers that a network keeps."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._seed import seeded

PARTS = 10  # of the range of a condition, each with as many clouds


@dataclass(frozen=True)
class SizeLaw:
    """p(n | c): a number of points is as likely as it is frequent among the clouds with a condition like this one.

    The range of the condition is cut into parts by quantiles; without a condition there is one part.

    Args:
        counts: (K, S + 1) clouds of 0 to S points in each of K parts.
        edges: (K + 1,) ends of the parts, ascending.
    """

    counts: Float[Tensor, "K sizes"]
    edges: Float[Tensor, " edges"]

    @classmethod
    def of(cls, num_points: Int[Tensor, " B"], largest: int, condition: Float[Tensor, " B"] | None = None) -> "SizeLaw":
        """The law of data, with 10 parts where there is a condition.

        Raises: ValueError for a cloud of more points than ``largest``.
        """
        if len(num_points) and int(num_points.max()) > largest:
            raise ValueError(f"the largest cloud has {int(num_points.max())} points, more than {largest}")
        edges = torch.zeros(2, dtype=torch.float64)
        part = torch.zeros_like(num_points)
        if condition is not None:
            edges = condition.double().quantile(torch.linspace(0, 1, PARTS + 1, dtype=torch.float64))
            part = torch.searchsorted(edges[1:-1].contiguous(), condition.double(), right=True)
        num_parts = len(edges) - 1
        counts = torch.bincount(part * (largest + 1) + num_points, minlength=num_parts * (largest + 1))
        return cls(counts.view(num_parts, largest + 1).double(), edges)

    @staticmethod
    def num_numbers(largest: int, *, has_condition: bool) -> int:
        """How many `numbers` there are."""
        parts = PARTS if has_condition else 1
        return parts * (largest + 1) + parts + 1

    def numbers(self) -> Float[Tensor, " M"]:
        """The law as a row of numbers: edges, then counts."""
        return torch.cat([self.edges, self.counts.flatten()])

    @classmethod
    def from_numbers(cls, numbers: Float[Tensor, " M"], largest: int) -> "SizeLaw":
        """The law of `numbers`. Raises: ValueError for numbers that no cloud was counted in."""
        parts = (len(numbers) - 1) // (largest + 2)
        law = cls(numbers[parts + 1 :].view(parts, largest + 1), numbers[: parts + 1])
        if not bool((law.counts.sum(1) > 0).all()):
            raise ValueError("the model knows no numbers of points: it was not calibrated on its data")
        return law

    def draw(self, seed: int, index: int, condition: float | None = None) -> tuple[int, float]:
        """Number of points and condition of the cloud with a number.

        Without a condition its own is drawn from the law of the data; with NaN, no condition, the number of points is
        drawn from all clouds. Beyond the range of the data that of the nearest part is taken.
        """
        for_condition, for_size = torch.rand(2, generator=seeded(seed, "size", index), dtype=torch.float64).tolist()
        num_parts = len(self.counts)
        if condition is None:
            place = for_condition * num_parts
            part = int(place)
            low, high = (float(edge) for edge in self.edges[part : part + 2])
            condition = low + (place - part) * (high - low)
            counts = self.counts[part]
        elif condition != condition:
            counts = self.counts.sum(0)
        else:
            counts = self.counts[int(torch.searchsorted(self.edges[1:-1].contiguous(), condition, right=True))]
        total = counts.double().cumsum(0)
        return int(torch.searchsorted(total, for_size * float(total[-1]), right=True)), condition
