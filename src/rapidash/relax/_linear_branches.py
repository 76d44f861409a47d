"""Free linear maps that say how the group acts on both sides, so that what they break can be computed."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import (
    FiniteGroup,
    GridPermutation,
    Group,
    MatrixGroup,
    Representation,
    Scalar,
    Vector,
    permutation_action,
)
from rapidash.models import Rapidash
from rapidash.nn import ConvNextBlock, EdgeKernel
from rapidash.symmetry import orbit_assignment, orbit_means


class LinearBranch(nn.Module, ABC):
    """A free branch that is linear in what it sees: ``map(features(x, ...))`` with one matrix W, ``weight``.

    Derive from it to relax layers of your own by methods that need a linear branch. It is called as the layer beside
    it, and ``features`` takes what it is called with.

    Args:
        group: that acts.
        inputs, outputs: how it acts on the features, one row each, and on the output.
    """

    weight: nn.Parameter

    def __init__(self, group: MatrixGroup, inputs: Representation, outputs: Representation) -> None:
        super().__init__()
        self.group, self.inputs, self.outputs = group, inputs, outputs
        self.is_averaged = False  # whether the map is that of `averaged_weight`

    @abstractmethod
    def features(self, *args: Any, **kwargs: Any) -> Tensor:
        """The features that W is applied to, a row per sample."""

    @abstractmethod
    def map(self, features: Tensor) -> Tensor:
        """W on every row of the features."""

    @abstractmethod
    def averaged_weight(self) -> Float[Tensor, "Out In"]:
        """P W, the average of rho_out(g) W rho_in(g)^-1 over the group: the nearest equivariant map."""

    @property
    def used_weight(self) -> Float[Tensor, "Out In"]:
        """W, or P W while ``is_averaged``."""
        return self.averaged_weight() if self.is_averaged else self.weight

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """See the class."""
        return self.map(self.features(*args, **kwargs))


class FiberLinear(LinearBranch):
    """x_i -> W x_i on orientations and channels of a point side by side, under the rotations of the grid.

    Args:
        grid: the orientations (O, D).
        channels: C.
        group: finite, of motions that permute the grid.
        scale: standard deviation of the initial W.
    Shape: x (N, O, C) -> (N, O, C).
    Raises: ValueError for a group that is not finite, or does not permute the grid.
    """

    orbits: Tensor

    def __init__(self, grid: Float[Tensor, "O D"], channels: int, group: Group, *, scale: float) -> None:
        signals = GridPermutation(grid.detach().cpu().double())
        super().__init__(group, signals, signals)
        elements = group.elements()
        if elements is None:
            raise ValueError(f"{group.name} is not finite: it cannot act on a grid of {len(grid)} orientations")
        size = len(grid) * channels
        self.num_orientations = len(grid)
        self.weight = nn.Parameter(scale * torch.randn(size, size))
        action = permutation_action(signals, elements, (len(grid), 1))
        self.register_buffer("orbits", orbit_assignment(action, action), persistent=False)  # of pairs of orientations

    def features(self, x: Float[Tensor, "N O C"], edges: EdgeKernel) -> Float[Tensor, "N O C"]:
        """X itself; the edges are not used."""
        return x

    def map(self, features: Float[Tensor, "N O C"]) -> Float[Tensor, "N O C"]:
        """W on the features of every point."""
        return nn.functional.linear(features.flatten(1), self.used_weight).view_as(features)

    def averaged_weight(self) -> Float[Tensor, "OC OC"]:
        """Of each pair of channels the mean over the orbits of pairs of orientations."""
        num = self.num_orientations
        by_channels = self.weight.unflatten(0, (num, -1)).unflatten(2, (num, -1)).permute(1, 3, 0, 2)  # (C, C, O, O)
        pairs = by_channels.flatten(0, 1)
        means = torch.func.vmap(lambda values: orbit_means(values, self.orbits)[self.orbits])(pairs)
        return means.unflatten(0, by_channels.shape[:2]).permute(2, 0, 3, 1).reshape(self.weight.shape)


class OffsetLinear(LinearBranch):
    r"""x_i -> W m_i on the components of :math:`m_i = \sum_j d_{ij}\,(K \phi(a_{ij})) * f_j`, for scalar features.

    The group acts on m as on vectors and on the output not at all, so that an equivariant W would see only directions
    that the group leaves where they are.

    Args:
        channels: C.
        dim: D.
        basis_dim: number of kernel basis functions of the network.
        group: of motions of R^D.
        scale: standard deviation of the initial W.
    Shape: x (N, 1, C) -> (N, 1, C).
    """

    def __init__(self, channels: int, dim: int, group: Group, *, basis_dim: int, scale: float) -> None:
        super().__init__(group, Vector(), Scalar())
        self.kernel = nn.Linear(basis_dim, channels, bias=False)
        self.weight = nn.Parameter(scale * torch.randn(channels, channels * dim))
        self.fixed = fixed_directions(group)  # no buffer: it stays float64

    def features(self, x: Float[Tensor, "N 1 C"], edges: EdgeKernel) -> Float[Tensor, "N C D"]:
        """The moments m."""
        return edges.vector_conv(x, self.kernel.weight).squeeze(2).permute(1, 2, 0)

    def map(self, features: Float[Tensor, "N C D"]) -> Float[Tensor, "N 1 C"]:
        """W on the moments of every point."""
        return nn.functional.linear(features.flatten(1), self.used_weight).unsqueeze(1)

    def averaged_weight(self) -> Float[Tensor, "C CD"]:
        """W on the components along directions that the group leaves where they are."""
        return (self.weight.unflatten(1, (-1, len(self.fixed))) @ self.fixed.to(self.weight)).flatten(1)


def fixed_directions(group: Group) -> Float[Tensor, "D D"]:
    """The orthogonal projection on the vectors that a group of motions leaves where they are."""
    linear = group.without_translations()
    elements = linear.elements()
    if elements is None:
        elements = linear.sample(16, generator=seeded("fixed directions"))
    identity = torch.eye(group.dim, dtype=torch.float64)
    moves = (elements[:, : group.dim, : group.dim].double() - identity).flatten(0, 1)
    _, sizes, directions = torch.linalg.svd(torch.cat([moves, torch.zeros_like(identity)]), full_matrices=False)
    kept = directions[sizes < 1e-9]
    return kept.T @ kept


def make_linear(network: Rapidash, block: ConvNextBlock, *, scale: float) -> LinearBranch:
    """A linear free branch for a block: `FiberLinear`, on R^D `OffsetLinear`.

    Raises: ValueError for a grid of orientations that no motion but the identity permutes.
    """
    channels = block.norm.normalized_shape[0]
    if not network.invariants.has_orientations:
        group = network.symmetry.without_translations()
        return OffsetLinear(channels, network.dim, group, basis_dim=network.config.basis_dim, scale=scale)
    group = network.exact_symmetry.without_translations()
    assert isinstance(group.linear, FiniteGroup)
    if len(group.linear.elements) < 2:
        raise ValueError(
            f"{network.symmetry} cannot act on this grid of {len(network.grid)} orientations ({network.config.grid}), "
            "which no motion but the identity permutes: choose grid='platonic'"
        )
    return FiberLinear(network.grid, channels, group, scale=scale)
