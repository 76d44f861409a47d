"""Averages over rotations by a quadrature rule: exact for functions of a stated degree in the element."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import Batch
from rapidash.groups import MatrixGroup, motion
from rapidash.symmetrize._points import rotations_of
from rapidash.symmetry import GroupSamples

# degrees of the rules of Lebedev with positive weights
LEBEDEV_DEGREES = (*(3, 5, 7, 9, 11, 15, 17, 19, 21, 23, 29, 31), *range(35, 132, 6))


@dataclass(frozen=True)
class Quadrature:
    r"""Weighted elements of O(n) or SO(n) whose average is the Haar mean for every polynomial in g up to a degree.

    With reflections also for such a polynomial times det g.

    In space a rotation is a point n on the sphere, to which it takes the z axis, and an angle about it,
    :math:`g = R_n R_z(\gamma)`: the rule of Lebedev of at least this degree for n, and degree + 1 equal angles. The
    angles integrate :math:`D^l_{m m'}` with :math:`0 < |m'| \le` degree to 0; what remains, :math:`D^l_{m 0}`, is a
    spherical harmonic of n. In the plane degree + 1 equal angles. With reflections every element also follows -1 (in
    the plane: the mirror x -> -x).

    Symmetry: an average is as equivariant as the rule is exact: exactly for a function of g band-limited to the degree,
    approximately for networks with pointwise nonlinearities, which are not; see `quadrature_convergence`.

    Args:
        group: O(n) or SO(n), n = 2 or 3.
        degree: 0 to 131.
    Raises: ValueError for another group or degree.
    Source: Lebedev and Laikov, "A quadrature formula for the sphere of the 131st algebraic order of accuracy", 1999, as
        in scipy.
    """

    gives_all: ClassVar[bool] = True
    group: MatrixGroup
    degree: int
    elements: Float[Tensor, "K n n"] = field(init=False, repr=False, compare=False)
    weights: Float[Tensor, " K"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        dim, reflections = rotations_of(self.group)
        if not self.group.is_compact:
            raise ValueError(
                f"{self.group.name} is not compact and has no Haar probability measure: take .without_translations()"
            )
        if self.degree != int(self.degree) or not 0 <= self.degree <= LEBEDEV_DEGREES[-1]:
            raise ValueError(f"degree must be a whole number from 0 to {LEBEDEV_DEGREES[-1]}, got {self.degree}")
        rotations, weights = rotation_rule(dim, self.degree)
        if reflections:
            mirror = -torch.eye(3).double() if dim == 3 else torch.diag(torch.tensor([-1.0, 1.0])).double()
            rotations = torch.cat([rotations, rotations @ mirror])
            weights = torch.cat([weights, weights]) / 2
        object.__setattr__(self, "elements", motion(rotations, rotations.new_zeros(rotations.shape[:2])))
        object.__setattr__(self, "weights", weights)

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """Every node for every sample; ``num_samples`` and ``generator`` are not used."""
        g = self.elements.expand(batch.num_samples, -1, -1, -1)
        return GroupSamples(g, g.new_zeros(()), self.weights.expand(batch.num_samples, -1))


def rotation_rule(dim: int, degree: int) -> tuple[Float[Tensor, "K D D"], Float[Tensor, " K"]]:
    """Rotations with weights that add up to 1, exact up to a degree, float64."""
    angles = 2 * math.pi * torch.arange(degree + 1, dtype=torch.float64) / (degree + 1)
    cos, sin, zero, one = angles.cos(), angles.sin(), torch.zeros_like(angles), torch.ones_like(angles)
    if dim == 2:
        turns = torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))
        return turns, one / len(angles)
    turns = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=-1).unflatten(-1, (3, 3))
    nodes, weights = _lebedev(degree)
    rotations = _to(nodes)[:, None] @ turns
    return rotations.flatten(0, 1), (weights[:, None] / len(angles)).expand(-1, len(angles)).flatten()


def _lebedev(degree: int) -> tuple[Float[Tensor, "P 3"], Float[Tensor, " P"]]:
    from scipy.integrate import lebedev_rule  # slow to import, rarely needed

    nodes, weights = lebedev_rule(next(known for known in LEBEDEV_DEGREES if known >= degree))
    return torch.from_numpy(nodes.T.copy()), torch.from_numpy(weights / weights.sum())


def _to(n: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3 3"]:
    """A rotation for each direction that takes the z axis to it."""
    spare = torch.nn.functional.one_hot(n.abs().argmin(dim=1), 3).to(n)
    x = torch.nn.functional.normalize(spare - (spare * n).sum(dim=1, keepdim=True) * n, dim=1)
    return torch.stack([x, torch.linalg.cross(n, x, dim=1), n], dim=-1)
