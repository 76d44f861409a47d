"""Representations on axes other than space: permuted rows, and signals on an orientation grid."""

from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from rapidash.groups._representations import Representation, check_elements, refuse_whole_numbers


@dataclass(frozen=True)
class Permutation(Representation):
    """Entries along one axis are permuted: (P x)_i = x_p(i), elements are permutation matrices P (n, n).

    Values of every type: numbers, elements, masks. A matrix that needs gradients multiplies real and complex values, so
    that soft and straight-through permutations can be learned; any other one picks entries by the largest number of
    each row.

    Args:
        axis: the axis that moves: 0 for the points of a cloud, -1 for the columns of a table. From 0 upward it counts
            the axes of what one element moves: of x under one element (n, n), of the sample x[b] under elements
            (B, n, n). From -1 downward both are the same.
    Raises: ValueError (act) for an axis that x does not have, or one with another number of entries than the element.
    """

    axis: int = 0

    @property
    def acts_on_rows(self) -> bool:
        """The axis may be that of the points."""
        return True

    def act(self, g: Float[Tensor, "*B n n"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """P x along the axis."""
        axis = axis_of(self.axis, g, x)
        if g.shape[-1] != x.shape[axis]:
            raise ValueError(
                f"axis {self.axis} has {x.shape[axis]} entries in x {tuple(x.shape)}, the element has shape "
                f"{tuple(g.shape)}: use Permutations({x.shape[axis]})"
            )
        if g.requires_grad and (x.is_floating_point() or x.is_complex()):
            product = "bij,b...j->b...i" if g.dim() == 3 else "ij,...j->...i"
            return torch.einsum(product, g.to(x), x.movedim(axis, -1)).movedim(-1, axis)
        return permuted(x, g.argmax(dim=-1), axis)


@dataclass(frozen=True)
class PairPermutation(Representation):
    """Entries for pairs, such as the adjacency matrix of a graph, permuted along two axes: (P A P^T)_ij = A_p(i)p(j).

    Args:
        axes: the two axes, each counted as for `Permutation`.
    Raises: ValueError for one axis twice; in ``act`` as `Permutation`.
    """

    axes: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        if len(self.axes) != 2 or self.axes[0] == self.axes[1]:
            raise ValueError(f"axes must be two different ones, got {self.axes}")

    @property
    def acts_on_rows(self) -> bool:
        """One of the axes may be that of the points."""
        return True

    def act(self, g: Float[Tensor, "*B n n"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """P x along both axes."""
        first, second = self.axes
        return Permutation(second).act(g, Permutation(first).act(g, x))


def axis_of(axis: int, g: Tensor, x: Tensor) -> int:
    """The axis of x, from its front, that is the given axis of what one element of g moves.

    Raises: ValueError for an axis that this does not have.
    """
    check_elements(g, x)
    first = g.dim() - 2  # axis 0 of x counts the samples under one element per sample
    if not first - x.dim() <= axis < x.dim() - first:
        raise ValueError(f"axis {axis} does not exist: elements {tuple(g.shape)} move a tensor {tuple(x.shape)}")
    return axis + first if axis >= 0 else axis + x.dim()


def permuted(x: Tensor, order: Int[Tensor, "*B n"], axis: int) -> Tensor:
    """x_order(i) along an axis of x counted from its front; one order for all, or one for each entry of axis 0."""
    order = order.to(x.device)
    if order.dim() == 1:
        return x.index_select(axis, order)
    shape = [len(order), *(1,) * (x.dim() - 1)]
    shape[axis] = order.shape[1]
    return torch.take_along_dim(x, order.reshape(shape), dim=axis)


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

    def act(self, g: Float[Tensor, "*B D1 D1"], x: Shaped[Tensor, "... O C"]) -> Shaped[Tensor, "... O C"]:
        """The signal with its orientations permuted."""
        if x.dim() < 2 or x.shape[-2] != len(self.grid):
            raise ValueError(f"a signal (..., {len(self.grid)}, C) is needed on this grid, got shape {tuple(x.shape)}")
        axis = axis_of(-2, g, x)
        grid = self.grid.double()
        moved = grid @ g[..., :-1, :-1].double().to(grid.device)  # rows are g^-1 o for orthogonal g
        distance = torch.cdist(moved, grid)
        if float(distance.amin(dim=-1).max()) > 1e-6:
            raise ValueError("the element does not map the orientation grid onto itself: use OrientationSignal")
        return permuted(x, distance.argmin(dim=-1), axis)


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

    def act(self, g: Float[Tensor, "*B D1 D1"], x: Shaped[Tensor, "... O C"]) -> Shaped[Tensor, "... O C"]:
        """rho(R) x along the orientation axis."""
        refuse_whole_numbers(self, x)
        axis_of(-2, g, x)
        coefficients = self._inverse.to(x) @ x
        moved = self.grid.to(x) @ g[..., :-1, :-1].to(x)  # rows are R^-1 n
        change = _polynomials(moved, self.lmax) - self._values.to(x)
        if g.dim() == 3:  # one for each sample, the same along the axes between
            change = change.reshape(len(g), *(1,) * (x.dim() - 3), *change.shape[1:])
        return x + change @ coefficients


def _polynomials(points: Shaped[Tensor, "*B O D"], lmax: int) -> Shaped[Tensor, "*B O M"]:
    """Monomials of degrees lmax and lmax - 1: on the unit sphere a basis of the polynomials of degree <= lmax."""
    columns: list[Tensor] = []
    for degree in (lmax, lmax - 1):
        if degree == 0:
            columns.append(torch.ones_like(points[..., 0]))
        elif degree > 0:
            axes = combinations_with_replacement(range(points.shape[-1]), degree)
            columns += [points[..., list(chosen)].prod(dim=-1) for chosen in axes]
    return torch.stack(columns, dim=-1)
