"""The state of a generator: positions with zero mean, and scalars of the points beside them."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.data import CloudDataset, Field
from rapidash.geometry import centroids
from rapidash.groups import DirectSum, Scalar, Vector


@dataclass(frozen=True)
class StateSpace:
    r"""The space in which clouds are noised and generated: rows z = (x, h), of width W = D + F, one for each point.

    Positions x are in units of `unit_length` and lie in :math:`U = \{x : \sum_i x_i = 0\}`, of dimension D (n - 1), so
    that neither the noise nor a sampler moves a cloud away. Scalars h are centered numbers such as the kind of an atom.

    Args:
        dim: dimension D of space, 2 or 3.
        num_scalars: F, at least 0.
        spread: standard deviation of the positions in U, in the network's unit of length.
        scalar_spread: that of the scalars.
    Raises: ValueError for values outside the above, or spreads that are not positive.
    """

    dim: int
    num_scalars: int = 0
    spread: float = 1.0
    scalar_spread: float = 1.0

    def __post_init__(self) -> None:
        if self.dim not in (2, 3) or self.num_scalars < 0:
            raise ValueError(f"dim must be 2 or 3 and num_scalars at least 0, got {self.dim} and {self.num_scalars}")
        for name in ("spread", "scalar_spread"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")

    @property
    def field(self) -> Field:
        """The way a state, and a velocity of it, moves; its noise has no place in space."""
        if not self.num_scalars:
            return Field(Vector())
        return Field(DirectSum(((Vector(), self.dim), (Scalar(), self.num_scalars))))

    @property
    def width(self) -> int:
        """W, the numbers of a point."""
        return self.dim + self.num_scalars

    def spreads(self, like: Tensor) -> Float[Tensor, " W"]:
        """The standard deviation of every column in the data."""
        return like.new_tensor([self.spread] * self.dim + [self.scalar_spread] * self.num_scalars)

    def project(self, z: Float[Tensor, "*K N W"], batch: Int[Tensor, " N"], num_clouds: int) -> Float[Tensor, "*K N W"]:
        """The state without the mean of the positions of each cloud; several states at once along the axes before."""
        x = z[..., : self.dim].movedim(-2, 0)
        centered = x - centroids(x.flatten(1), batch, num_clouds).reshape(num_clouds, *x.shape[1:])[batch]
        return torch.cat([centered.movedim(0, -2), z[..., self.dim :]], dim=-1)

    def degrees_of_freedom(self, num_points: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """D (n - 1) + n F, by cloud."""
        return self.dim * (num_points - 1) + self.num_scalars * num_points

    def mean_square(self, z: Float[Tensor, "N W"], batch: Int[Tensor, " N"], num_clouds: int) -> Float[Tensor, " B"]:
        """|x|^2 / (D (n - 1)) + |h|^2 / (n F) of each cloud: the mean square of its positions, and of its scalars."""
        count = torch.bincount(batch, minlength=num_clouds)
        square = z.new_zeros(num_clouds, self.width).index_add(0, batch, z.square())
        total = square[:, : self.dim].sum(-1) / (self.dim * (count - 1))
        return total + square[:, self.dim :].sum(-1) / (self.num_scalars * count) if self.num_scalars else total


def check_sizes(num_points: Int[Tensor, " B"]) -> None:
    """Raise ValueError for a cloud of fewer than two points: positions with zero mean leave it no freedom."""
    if len(num_points) and (least := int(num_points.min())) < 2:
        raise ValueError(
            f"cloud {int(num_points.argmin())} has {least} point{'s' * (least != 1)}: a generated cloud needs at least "
            "2, since its mean stays at the origin"
        )


def unit_length(data: CloudDataset) -> float:
    r"""The length :math:`\sqrt{\sum |x|^2 / \sum D (n - 1)}` in which centered positions have standard deviation 1.

    Raises: ValueError for no cloud, a cloud of one point, or clouds whose points all coincide.
    """
    if not len(data):
        raise ValueError("the data have no clouds: there is no length to measure them in")
    check_sizes(data.num_points)
    pos = data.tensors["pos"].double()
    batch = torch.repeat_interleave(torch.arange(len(data)), data.num_points)
    offset = pos - centroids(pos, batch, len(data))[batch]
    found = math.sqrt(float(offset.square().sum()) / float((pos.shape[1] * (data.num_points - 1)).sum()))
    if not 0 < found < math.inf:
        raise ValueError(f"the clouds have the spread {found}: their points coincide, or are not finite")
    return found
