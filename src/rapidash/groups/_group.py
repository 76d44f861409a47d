"""Symmetry groups of R^D as values: T(D), SO(D), O(D), SE(D), E(D), SO2(axis), finite point groups."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups._exponential import motion_exponential
from rapidash.groups._linear import AxisRotations, FiniteGroup, LinearGroup, Rotations, Trivial
from rapidash.groups._matrix_group import MatrixGroup

AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


@dataclass(frozen=True)
class Group(MatrixGroup):
    r"""A closed group of motions x -> R x + t of R^D: a linear part, with all, no, or a plane of translations.

    Elements are homogeneous matrices :math:`\begin{pmatrix} R & t \\ 0 & 1 \end{pmatrix}` of shape (D + 1, D + 1),
    float64. Two groups are equal when they have the same elements.

    Args:
        dim: dimension D of space, 2 or 3.
        linear: the linear parts R that occur.
        translations: whether all translations belong to the group.
        across: a direction; the translations perpendicular to it belong to the group, those along it do not (what a
            network keeps that is told a height). Only with ``translations=False``, and a linear part that keeps the
            direction up to its sign.
    Raises: ValueError for another dimension, or an ``across`` that is no direction or not kept.
    """

    dim: int
    linear: LinearGroup
    translations: bool = True
    across: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.dim not in (2, 3):
            raise ValueError(f"dim must be 2 or 3, got {self.dim}")
        if self.dim != 3 and isinstance(self.linear, AxisRotations):
            raise ValueError("rotations about an axis need dim=3; in the plane use SE(2)")
        if self.across is not None:
            object.__setattr__(self, "across", self._checked_direction(self.across))

    def _checked_direction(self, across: Sequence[float]) -> tuple[float, ...]:
        direction = torch.tensor(tuple(across), dtype=torch.float64)
        if direction.shape != (self.dim,) or not 0 < float(direction.norm()) < torch.inf:
            raise ValueError(f"across needs {self.dim} finite numbers that are not all zero, got {across}")
        if self.translations:
            raise ValueError("across names the only translations of a group: it needs translations=False")
        direction = direction / direction.norm()
        moved = self.linear.sample(16, self.dim, seeded("across")) @ direction
        if (1 - (moved @ direction).abs()).max() > 1e-9:
            raise ValueError(f"the translations across {across} are not kept by the rotations of {self.linear}")
        return tuple(direction.tolist())

    @property
    def name(self) -> str:
        """The name in the field's notation, e.g. ``E(3)``; `parse_group` reads it back."""
        if self.across is not None:
            return f"{Group(self.dim, self.linear).name}, translations across {_axis_label(self.across)} only"
        match self.linear:
            case Trivial():
                return f"T({self.dim})" if self.translations else "trivial"
            case Rotations(reflections=mirrored):
                letters = ("E" if mirrored else "SE") if self.translations else ("O" if mirrored else "SO")
                return f"{letters}({self.dim})"
            case AxisRotations(axis=axis, reflections=mirrored):
                return f"{'O2' if mirrored else 'SO2'}({_axis_label(axis)})" + (
                    "" if self.translations else " about the origin"
                )
            case FiniteGroup(label=label):
                return label + (f" with T({self.dim})" if self.translations else "")
            case other:
                return str(other) + ("" if self.translations else " about the origin")

    def __str__(self) -> str:
        return self.name

    @property
    def size(self) -> int:
        """D + 1."""
        return self.dim + 1

    @property
    def is_compact(self) -> bool:
        """Whether no translation belongs to the group."""
        return len(self.translation_basis()) == 0

    def inverse(self, g: Float[Tensor, "*B D1 D1"]) -> Float[Tensor, "*B D1 D1"]:
        """The inverse motions."""
        return inverse(g)

    def exponential(self, coordinates: Float[Tensor, "*B d"]) -> Float[Tensor, "*B D1 D1"]:
        """exp(sum_i c_i A_i) in closed form, in the dtype and on the device of the coordinates, differentiable."""
        algebra = torch.einsum("...d,dij->...ij", coordinates, self.generators().to(coordinates))
        return exponential(algebra)

    def elements(self) -> Float[Tensor, "G D1 D1"] | None:
        """All elements of a finite group, identity first; None for any other."""
        if not self.is_compact or not isinstance(self.linear, FiniteGroup | Trivial):
            return None
        if isinstance(self.linear, Trivial):
            return self.identity()[None]
        elements = self.identity().repeat(len(self.linear.elements), 1, 1)
        elements[:, : self.dim, : self.dim] = self.linear.elements
        distance = (elements - self.identity()).abs().amax(dim=(1, 2))
        return elements[torch.argsort(distance > 1e-9, stable=True)]

    def sample(
        self, num: int, *, generator: torch.Generator | None = None, scale: float = 1.0
    ) -> Float[Tensor, "G D1 D1"]:
        """Random elements: the linear part by Haar measure, translations normal with this deviation per axis."""
        if num < 1:
            raise ValueError(f"num must be at least 1, got {num}")
        linear = self.linear.sample(num, self.dim, generator)
        basis = self.translation_basis()
        shift = scale * torch.randn(num, len(basis), generator=generator, dtype=torch.float64) @ basis
        return motion(linear, shift)

    def translation_basis(self) -> Float[Tensor, "d D"]:
        """Orthonormal directions along which all translations belong to the group: D, D - 1 or none."""
        axes = torch.eye(self.dim, dtype=torch.float64)
        if self.across is None:
            return axes if self.translations else axes[:0]
        normal = axes.new_tensor(self.across)
        largest = int(normal.abs().argmax())
        # Householder: the reflection that takes the axis nearest to the normal to it takes the others to its plane
        sign = 1.0 if normal[largest] >= 0 else -1.0
        half = normal + sign * axes[largest]
        reflected = axes - 2 * torch.outer(half, half) / (half @ half)
        return torch.cat([reflected[:largest], reflected[largest + 1 :]])

    def generators(self) -> Float[Tensor, "d D1 D1"]:
        """A basis of the Lie algebra in homogeneous form: rotations (unit speed, radians), then translations."""
        linear = self.linear.generators(self.dim)
        rotations = torch.zeros(len(linear), self.dim + 1, self.dim + 1, dtype=torch.float64)
        rotations[:, : self.dim, : self.dim] = linear
        basis = self.translation_basis()
        shifts = torch.zeros(len(basis), self.dim + 1, self.dim + 1, dtype=torch.float64)
        shifts[:, : self.dim, self.dim] = basis
        return torch.cat([rotations, shifts])

    def contains(self, element: Float[Tensor, "D1 D1"]) -> bool:
        """Whether a homogeneous matrix is an element, to 1e-9."""
        if element.shape != (self.size, self.size):
            return False
        shift, basis = element[: self.dim, self.dim], self.translation_basis().to(element)
        outside = shift - (shift @ basis.T) @ basis
        return bool(outside.abs().max() < 1e-9) and self.linear.contains(element[: self.dim, : self.dim])

    def is_subgroup(self, other: "Group") -> bool:
        """Whether every element of this group belongs to the other (decided on a fixed sample of elements)."""
        if self.dim != other.dim:
            return False
        mine, theirs = self.translation_basis(), other.translation_basis()
        if (mine - mine @ theirs.T @ theirs).norm() > 1e-9:
            return False
        if isinstance(self.linear, FiniteGroup):
            return all(other.linear.contains(element) for element in self.linear.elements)
        return all(other.linear.contains(element) for element in self.linear.sample(16, self.dim, seeded("subgroup")))

    def stabilizer(self, vectors: Float[Tensor, "V D"]) -> "Group":
        """The subgroup whose linear part leaves the given directions where they are."""
        return Group(self.dim, self.linear.stabilizer(vectors), self.translations, self.across)

    def without_translations(self) -> "Group":
        """The subgroup that fixes the origin."""
        return Group(self.dim, self.linear, translations=False)

    def keeping_height(self, direction: Sequence[float]) -> "Group":
        """The subgroup that leaves the component of every point along a direction unchanged.

        Raises: ValueError for a group that already lacks the translations along another direction.
        """
        vector = torch.tensor(tuple(direction), dtype=torch.float64)
        linear = self.linear.stabilizer(vector[None])
        if not self.translations and self.across is None:
            return Group(self.dim, linear, translations=False)
        kept = Group(self.dim, linear, translations=False, across=tuple(direction))
        if not (Group(self.dim, Trivial(), False, kept.across)).is_subgroup(self):
            raise ValueError(f"{self} has no plane of translations across {tuple(direction)}: keep one height only")
        return kept


def motion(linear: Float[Tensor, "*B D D"], shift: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D1 D1"]:
    """Homogeneous matrices of x -> linear x + shift."""
    dim = shift.shape[-1]
    element = torch.zeros(*shift.shape[:-1], dim + 1, dim + 1, dtype=linear.dtype, device=linear.device)
    element[..., :dim, :dim], element[..., :dim, dim], element[..., dim, dim] = linear, shift, 1.0
    return element


def inverse(element: Float[Tensor, "*B D1 D1"]) -> Float[Tensor, "*B D1 D1"]:
    """The inverse of x -> R x + t with orthogonal R: x -> R^T (x - t)."""
    dim = element.shape[-1] - 1
    linear = element[..., :dim, :dim].transpose(-1, -2)
    return motion(linear, -(linear @ element[..., :dim, dim, None]).squeeze(-1))


def exponential(algebra: Float[Tensor, "*B D1 D1"]) -> Float[Tensor, "*B D1 D1"]:
    """The motion exp(A) of an element A of the Lie algebra (homogeneous form) in closed form, differentiable in A."""
    return motion_exponential(algebra)


def T(dim: int) -> Group:
    """All translations of R^dim."""
    return Group(dim, Trivial())


def SO(dim: int) -> Group:
    """Rotations of R^dim about the origin."""
    return Group(dim, Rotations(), translations=False)


def O(dim: int) -> Group:  # noqa: E743
    """Rotations and reflections of R^dim about the origin."""
    return Group(dim, Rotations(reflections=True), translations=False)


def SE(dim: int) -> Group:
    """Rotations and translations of R^dim: sees chirality."""
    return Group(dim, Rotations())


def E(dim: int) -> Group:
    """Rotations, reflections and translations of R^dim."""
    return Group(dim, Rotations(reflections=True))


def SO2(axis: str | Sequence[float] = "z") -> Group:
    """Rotations of R^3 about one axis with all translations: the symmetry of gravity-aligned data."""
    return Group(3, AxisRotations(_axis(axis)))


def O2(axis: str | Sequence[float] = "z") -> Group:
    """`SO2` and the mirrors in the planes that contain the axis."""
    return Group(3, AxisRotations(_axis(axis), reflections=True))


def trivial(dim: int) -> Group:
    """The identity alone: no symmetry."""
    return Group(dim, Trivial(), translations=False)


def _axis_label(axis: Sequence[float]) -> str:
    named: dict[tuple[float, ...], str] = {value: key for key, value in AXES.items()}
    return named.get(tuple(axis)) or ",".join(f"{value:.6g}" for value in axis)


def _axis(axis: str | Sequence[float]) -> tuple[float, ...]:
    if isinstance(axis, str):
        if axis not in AXES:
            raise ValueError(f"axis must be 'x', 'y', 'z' or three numbers, got {axis!r}")
        return AXES[axis]
    return tuple(float(value) for value in axis)
