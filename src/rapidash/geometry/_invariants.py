"""Pair attributes: what the kernel may see of two points, for each base space and symmetry group.

A class per row of the table of the documentation ("Which kernel sees what"); `pair_invariants` chooses one.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.geometry._arrays import has_arrays
from rapidash.geometry._cutoff import safe_norm
from rapidash.geometry._transforms import is_differentiated
from rapidash.groups import O2, AxisRotations, Group, Rotations, Trivial

BaseSpace = Literal["R2", "R3", "R2xS1", "R3xS2"]


class PairInvariants(ABC):
    """Attributes of an edge with offset d = x_source - x_target, seen from each orientation o_a.

    Attributes:
        group: every motion that leaves the attributes unchanged (motions act on points and orientations).
        has_orientations: whether the base space has a sphere of orientations.
        signed: for attributes that live on at most two dimensions, whether each one takes both signs: each then lies
            in [-R, R] or [0, R], R the largest distance, and the kernel can be tabulated. None otherwise.
        is_chiral: whether the kernel needs the odd part det(d, o_a, o_b) besides these attributes.
    """

    has_orientations: ClassVar[bool] = True
    signed: ClassVar[tuple[bool, ...] | None] = None
    is_chiral: ClassVar[bool] = False

    def __init__(self, group: Group) -> None:
        self.group = group

    @property
    @abstractmethod
    def spatial_dim(self) -> int:
        """Number of attributes per edge and orientation."""

    @property
    def spherical_dim(self) -> int:
        """Number of attributes per pair of orientations."""
        return 1

    @abstractmethod
    def spatial(self, offset: Float[Tensor, "E D"], grid: Float[Tensor, "grid D"]) -> Float[Tensor, "E O A"]:
        """Attributes of every edge seen from every orientation (on R^D the grid is empty and O = 1)."""

    def spherical(self, grid: Float[Tensor, "O D"]) -> Float[Tensor, "O O A"]:
        """Attributes of every pair of orientations; entry [b, a] belongs to source a and target b."""
        return (grid @ grid.T).unsqueeze(-1)


class Distance(PairInvariants):
    """|d| on R^D: E(D)."""

    has_orientations = False
    signed = (False,)
    spatial_dim = 1

    def spatial(self, offset: Float[Tensor, "E D"], grid: Float[Tensor, "grid D"]) -> Float[Tensor, "E 1 A"]:
        """The length of the offset."""
        return safe_norm(offset)[:, None, None]


class Offset(PairInvariants):
    """d itself on R^D: T(D)."""

    has_orientations = False

    @property
    def spatial_dim(self) -> int:
        """D."""
        return self.group.dim

    def spatial(self, offset: Float[Tensor, "E D"], grid: Float[Tensor, "grid D"]) -> Float[Tensor, "E 1 A"]:
        """The components of the offset."""
        return offset.unsqueeze(1)


class HeightAndRadius(PairInvariants):
    """d.n and |d - (d.n) n| on R^3: rotations about n, all translations, and mirrors that keep n."""

    has_orientations = False
    signed = (True, False)
    spatial_dim = 2

    def __init__(self, group: Group) -> None:
        super().__init__(group)
        self.axis = _axis(group)

    def spatial(self, offset: Float[Tensor, "E D"], grid: Float[Tensor, "grid D"]) -> Float[Tensor, "E 1 A"]:
        """Component along the axis and distance from it."""
        return _along_and_across(offset, offset.new_tensor(self.axis)[None])


class OrientedDistance(PairInvariants):
    """d.o and |d - (d.o) o|, and o_a.o_b: E(D) on R^D x S^(D-1)."""

    signed = (True, False)
    spatial_dim = 2

    def spatial(self, offset: Float[Tensor, "E D"], grid: Float[Tensor, "O D"]) -> Float[Tensor, "E O A"]:
        """Component along each orientation and distance from its line."""
        return _along_and_across(offset, grid)


class ChiralOrientedDistance(OrientedDistance):
    """The attributes of E(3) and, in a second kernel, det(d, o_a, o_b): SE(3) on R^3 x S^2."""

    is_chiral = True


class PlaneOrientedOffset(PairInvariants):
    """d.o and det(o, d), and o_a.o_b and det(o_a, o_b): SE(2) on R^2 x S^1."""

    signed = (True, True)
    spatial_dim = 2
    spherical_dim = 2

    def spatial(self, offset: Float[Tensor, "E D"], grid: Float[Tensor, "O D"]) -> Float[Tensor, "E O A"]:
        """The offset in the frame of each orientation."""
        return torch.stack([offset @ grid.T, _det(grid[None], offset[:, None])], dim=-1)

    def spherical(self, grid: Float[Tensor, "O D"]) -> Float[Tensor, "O O A"]:
        """Cosine and sine of the angle from source to target orientation."""
        return torch.stack([grid @ grid.T, _det(grid[None], grid[:, None])], dim=-1)


class OrientedOffset(PairInvariants):
    """d, d.o and |d - (d.o) o|, and o_a.o_b: T(D) on R^D x S^(D-1), orientations fixed in space."""

    @property
    def spatial_dim(self) -> int:
        """D + 2."""
        return self.group.dim + 2

    def spatial(self, offset: Float[Tensor, "E D"], grid: Float[Tensor, "O D"]) -> Float[Tensor, "E O A"]:
        """The offset, then its component along each orientation and distance from its line."""
        repeated = offset.unsqueeze(1).expand(-1, len(grid), -1)
        return torch.cat([repeated, _along_and_across(offset, grid)], dim=-1)


class OrientedHeightAndRadius(PairInvariants):
    """d.o, |d - (d.o) o|, d.n, o.n and det(n, d, o) on R^3 x S^2: SO2(n) with all translations.

    For O2(n), which has the mirrors that contain n, the determinants enter by their absolute value.
    """

    spatial_dim = 5
    spherical_dim = 4

    def __init__(self, group: Group) -> None:
        super().__init__(group)
        self.axis = _axis(group)
        self.has_mirrors = isinstance(group.linear, AxisRotations) and group.linear.reflections

    def _determinant(self, first: Tensor, second: Tensor) -> Tensor:
        normal = torch.linalg.cross(first, second, dim=-1)
        value = (normal * first.new_tensor(self.axis)).sum(dim=-1)
        return value.abs() if self.has_mirrors else value

    def spatial(self, offset: Float[Tensor, "E D"], grid: Float[Tensor, "O D"]) -> Float[Tensor, "E O A"]:
        """The attributes of E(3), the heights of offset and orientation, and the turn from one to the other."""
        axis = offset.new_tensor(self.axis)
        d, o = torch.broadcast_tensors(offset[:, None], grid[None])
        extra = torch.stack([d @ axis, o @ axis, self._determinant(d, o)], dim=-1)
        return torch.cat([_along_and_across(offset, grid), extra], dim=-1)

    def spherical(self, grid: Float[Tensor, "O D"]) -> Float[Tensor, "O O A"]:
        """o_a.o_b, o_a.n, o_b.n and det(n, o_a, o_b)."""
        axis = grid.new_tensor(self.axis)
        target, source = torch.broadcast_tensors(grid[:, None], grid[None])
        parts = [(source * target).sum(-1), source @ axis, target @ axis, self._determinant(source, target)]
        return torch.stack(parts, dim=-1)


def pair_invariants(space: str, group: Group) -> PairInvariants:
    """The attributes that a kernel on this base space may see under this symmetry.

    Raises: ValueError for a base space or group that has none (the message names what exists).
    """
    dim, linear = group.dim, group.linear
    plain, oriented = f"R{dim}", f"R{dim}xS{dim - 1}"
    if space not in (plain, oriented):
        raise ValueError(f"space must be {plain!r} or {oriented!r} for a symmetry of R^{dim}, got {space!r}")
    if not group.translations:
        raise ValueError(f"symmetry {group} has no translations, and a convolution always has them: {_choices(dim)}")
    if isinstance(linear, Trivial):
        return Offset(group) if space == plain else OrientedOffset(group)
    if isinstance(linear, AxisRotations):
        # two points alone cannot tell a mirror that contains the axis
        return HeightAndRadius(O2(linear.axis)) if space == plain else OrientedHeightAndRadius(group)
    if isinstance(linear, Rotations) and linear.reflections:
        return Distance(group) if space == plain else OrientedDistance(group)
    if isinstance(linear, Rotations) and space == oriented:
        return ChiralOrientedDistance(group) if dim == 3 else PlaneOrientedOffset(group)
    if isinstance(linear, Rotations):
        raise ValueError(
            f"symmetry 'SE({dim})' cannot be had on {plain}: the distance of two points is the same in a mirror. "
            f"Use 'E({dim})', or space={oriented!r}"
        )
    raise ValueError(f"no convolution for symmetry {group}: {_choices(dim)}")


def _choices(dim: int) -> str:
    return f"use T({dim}), SE({dim}), E({dim})" + (" or SO2(axis)" if dim == 3 else "")


def _axis(group: Group) -> tuple[float, ...]:
    if not isinstance(group.linear, AxisRotations):
        raise ValueError(f"{group} has no axis")
    return group.linear.axis


def _along_and_across(offset: Float[Tensor, "E D"], grid: Float[Tensor, "O D"]) -> Float[Tensor, "E O 2"]:
    """d.o and |d - (d.o) o| for unit vectors o."""
    wants_gradient = is_differentiated(offset) or is_differentiated(grid)
    if not wants_gradient and has_arrays(offset, grid) and offset.dtype == grid.dtype:
        from rapidash.geometry._invariants_numba import along_and_across

        out = offset.new_empty(len(offset), len(grid), 2)
        along_and_across(offset.numpy(), grid.T.contiguous().numpy(), out.numpy())
        return out
    along = offset @ grid.T
    across = safe_norm(offset[:, None] - along[..., None] * grid)
    return torch.stack([along, across], dim=-1)


def _det(first: Tensor, second: Tensor) -> Tensor:
    """det(first, second) of vectors in the plane."""
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
