"""Representations on axes other than space: permuted rows, and signals on an orientation grid."""

from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rapidash.groups._representations import Representation, refuse_whole_numbers


@dataclass(frozen=True)
class Permutation(Representation):
    """Entries along one axis are permuted: (P x)_i = x_p(i), elements are permutation matrices P (n, n).

    Values of every type: numbers, elements, masks.

    Args:
        axis: the axis that moves; 0 for the points of one cloud, -1 for the columns of a table.
    """

    axis: int = 0

    def act(self, g: Float[Tensor, "n n"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """P x along the axis."""
        if g.dim() != 2 or g.shape[-1] != x.shape[self.axis]:
            raise ValueError(
                f"axis {self.axis} of x has {x.shape[self.axis]} entries, the element has shape {tuple(g.shape)}: "
                f"use Permutations({x.shape[self.axis]}), one element for all of x"
            )
        order = g.argmax(dim=-1).to(x.device)
        return x.index_select(self.axis, order)


@dataclass(frozen=True, eq=False)
class GridPermutation(Representation):
    """A signal (..., O, C) on an orientation grid that the group maps onto itself: (g f)(o) = f(g^-1 o), exactly.

    Values of every type.

    Args:
        grid: unit vectors (O, D).
    Raises: ValueError (act) for a signal of another size than the grid, or an element that does not map the grid onto
        itself; use `OrientationSignal` there.
    """

    grid: Float[Tensor, "O D"] = field(repr=False)

    def act(self, g: Float[Tensor, "D1 D1"], x: Shaped[Tensor, "... O C"]) -> Shaped[Tensor, "... O C"]:
        """The signal with its orientations permuted."""
        if x.dim() < 2 or x.shape[-2] != len(self.grid):
            raise ValueError(f"a signal (..., {len(self.grid)}, C) is needed on this grid, got shape {tuple(x.shape)}")
        grid = self.grid.double()
        moved = grid @ g[:-1, :-1].double().to(grid.device)  # rows are g^-1 o for orthogonal g
        distance = torch.cdist(moved, grid)
        if float(distance.amin(dim=-1).max()) > 1e-6:
            raise ValueError("the element does not map the orientation grid onto itself: use OrientationSignal")
        return x.index_select(-2, distance.argmin(dim=-1).to(x.device))


@dataclass(frozen=True, eq=False)
class OrientationSignal(Representation):
    r"""A signal (..., O, C) on an orientation grid under any rotation, through its polynomial part.

    .. math:: \rho(R) = Y(R^{-1} n)\, Y(n)^+ + (I - Y Y^+)

    with Y the polynomials of degree at most ``lmax`` on the sphere, evaluated at the grid vectors n; what they do not
    span stays where it is. Differentiable in R. Y is spanned by the monomials of degrees lmax and lmax - 1, which are
    independent on the sphere: no spherical harmonics or Wigner matrices are needed.

    Args:
        grid: unit vectors (O, D).
        lmax: largest degree; (lmax + 1)^2 <= O for D = 3 and 2 lmax + 1 <= O for D = 2.
    Raises: ValueError if the grid has too few orientations, or does not determine the polynomials.
    """

    grid: Float[Tensor, "O D"] = field(repr=False)
    lmax: int = 1

    def __post_init__(self) -> None:
        values = _polynomials(self.grid.double(), self.lmax)
        if self.lmax < 0 or values.shape[1] > len(self.grid):
            raise ValueError(f"lmax={self.lmax} needs at least {values.shape[1]} orientations, got {len(self.grid)}")
        if int(torch.linalg.matrix_rank(values, tol=1e-8)) < values.shape[1]:
            raise ValueError(f"the grid does not determine polynomials of degree {self.lmax}: choose a smaller lmax")
        object.__setattr__(self, "_inverse", torch.linalg.pinv(values))
        object.__setattr__(self, "_values", values)

    _inverse: Tensor = field(init=False, repr=False)
    _values: Tensor = field(init=False, repr=False)

    def act(self, g: Float[Tensor, "D1 D1"], x: Shaped[Tensor, "... O C"]) -> Shaped[Tensor, "... O C"]:
        """rho(R) x along the orientation axis."""
        refuse_whole_numbers(self, x)
        coefficients = self._inverse.to(x) @ x
        moved = self.grid.to(x) @ g[:-1, :-1].to(x)  # rows are R^-1 n
        return x + (_polynomials(moved, self.lmax) - self._values.to(x)) @ coefficients


def _polynomials(points: Float[Tensor, "O D"], lmax: int) -> Float[Tensor, "O M"]:
    """Monomials of degrees lmax and lmax - 1: on the unit sphere a basis of the polynomials of degree <= lmax."""
    columns: list[Tensor] = []
    for degree in (lmax, lmax - 1):
        if degree == 0:
            columns.append(torch.ones_like(points[:, 0]))
        elif degree > 0:
            axes = combinations_with_replacement(range(points.shape[1]), degree)
            columns += [points[:, list(chosen)].prod(dim=-1) for chosen in axes]
    return torch.stack(columns, dim=-1)
