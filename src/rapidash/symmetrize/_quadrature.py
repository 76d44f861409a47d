"""Averages over rotations by a quadrature rule: exact for functions of a stated degree in the element."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import Batch
from rapidash.groups import LEBEDEV_DEGREES, MatrixGroup, motion, rotation_rule
from rapidash.symmetrize._points import rotations_of
from rapidash.symmetry import GroupSamples


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
