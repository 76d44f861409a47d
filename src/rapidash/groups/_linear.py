"""The linear part of a symmetry group of R^D: a closed subgroup of O(D), as a value."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

TOLERANCE = 1e-9  # of matrix entries, for membership tests in float64


def random_orthogonal(num: int, dim: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "G D D"]:
    """Haar-distributed elements of O(dim), float64: QR of a Gaussian matrix with the signs of R's diagonal fixed."""
    q, r = torch.linalg.qr(torch.randn(num, dim, dim, generator=generator, dtype=torch.float64))
    return q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)


def random_rotation(num: int, dim: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "G D D"]:
    """Haar-distributed elements of SO(dim), float64."""
    q = random_orthogonal(num, dim, generator=generator)
    flip = torch.ones(num, 1, dim, dtype=q.dtype)
    flip[..., 0] = torch.linalg.det(q)[:, None]
    return q * flip


def rotation_about(axis: Float[Tensor, "3"], angles: Float[Tensor, " G"]) -> Float[Tensor, "G 3 3"]:
    """Rotations of R^3 about a unit axis by the given angles in radians (Rodrigues' formula)."""
    cross = cross_matrix(axis)
    sin, cos = torch.sin(angles)[:, None, None], torch.cos(angles)[:, None, None]
    return torch.eye(3, dtype=axis.dtype) + sin * cross + (1 - cos) * (cross @ cross)


def cross_matrix(axis: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The matrix A with A x = axis cross x: the generator of rotations about the axis at unit speed."""
    x, y, z = axis.tolist()
    return torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=axis.dtype)


class LinearGroup(ABC):
    """A closed subgroup of O(D): sampling, generators of its identity component, membership."""

    @abstractmethod
    def sample(self, num: int, dim: int, generator: torch.Generator | None) -> Float[Tensor, "G D D"]:
        """Haar-distributed elements, float64."""

    @abstractmethod
    def generators(self, dim: int) -> Float[Tensor, "d D D"]:
        """A basis of the Lie algebra, each at unit rotation speed; empty for a finite group."""

    @abstractmethod
    def contains(self, matrix: Float[Tensor, "D D"]) -> bool:
        """Whether an orthogonal matrix belongs to the group, to 1e-9."""

    @abstractmethod
    def stabilizer(self, vectors: Float[Tensor, "V D"]) -> "LinearGroup":
        """The elements that leave every given vector where it is."""


@dataclass(frozen=True)
class Trivial(LinearGroup):
    """The identity alone."""

    def sample(self, num: int, dim: int, generator: torch.Generator | None) -> Float[Tensor, "G D D"]:
        """Copies of the identity."""
        return torch.eye(dim, dtype=torch.float64).repeat(num, 1, 1)

    def generators(self, dim: int) -> Float[Tensor, "d D D"]:
        """None."""
        return torch.zeros(0, dim, dim, dtype=torch.float64)

    def contains(self, matrix: Float[Tensor, "D D"]) -> bool:
        """Whether the matrix is the identity."""
        return bool((matrix - torch.eye(len(matrix), dtype=matrix.dtype)).abs().max() < TOLERANCE)

    def stabilizer(self, vectors: Float[Tensor, "V D"]) -> LinearGroup:
        """Itself."""
        return self


@dataclass(frozen=True)
class Rotations(LinearGroup):
    """SO(D), or O(D) with ``reflections``."""

    reflections: bool = False

    def sample(self, num: int, dim: int, generator: torch.Generator | None) -> Float[Tensor, "G D D"]:
        """Haar measure of SO(D) or O(D)."""
        return (random_orthogonal if self.reflections else random_rotation)(num, dim, generator=generator)

    def generators(self, dim: int) -> Float[Tensor, "d D D"]:
        """Rotations in each coordinate plane; for D = 3 in the order about x, y, z."""
        if dim == 3:
            return torch.stack([cross_matrix(axis) for axis in torch.eye(3, dtype=torch.float64)])
        planes = [(i, j) for i in range(dim) for j in range(i + 1, dim)]
        basis = torch.zeros(len(planes), dim, dim, dtype=torch.float64)
        for row, (i, j) in enumerate(planes):
            basis[row, j, i], basis[row, i, j] = 1.0, -1.0
        return basis

    def contains(self, matrix: Float[Tensor, "D D"]) -> bool:
        """Whether the matrix is orthogonal (and, without reflections, of determinant 1)."""
        orthogonal = (matrix @ matrix.T - torch.eye(len(matrix), dtype=matrix.dtype)).abs().max() < TOLERANCE
        return bool(orthogonal) and (self.reflections or bool(torch.linalg.det(matrix) > 0))

    def stabilizer(self, vectors: Float[Tensor, "V D"]) -> LinearGroup:
        """Rotations of the orthogonal complement of the span of the vectors."""
        dim, rank = vectors.shape[-1], _rank(vectors)
        if rank == 0:
            return self
        if dim == 3 and rank == 1:
            axis = vectors[vectors.norm(dim=-1).argmax()]
            return AxisRotations(tuple((axis / axis.norm()).tolist()), self.reflections)
        if rank == dim - 1 and self.reflections:
            return _mirror(vectors)
        return Trivial()


@dataclass(frozen=True)
class AxisRotations(LinearGroup):
    """Rotations of R^3 about one axis; with ``reflections`` also mirrors in the planes that contain the axis."""

    axis: tuple[float, ...] = (0.0, 0.0, 1.0)
    reflections: bool = False

    def __post_init__(self) -> None:
        direction = torch.tensor(self.axis, dtype=torch.float64)
        if direction.shape != (3,) or not bool(torch.isfinite(direction).all()) or float(direction.norm()) == 0:
            raise ValueError(f"axis needs three finite numbers that are not all zero, got {self.axis}")
        object.__setattr__(self, "axis", tuple((direction / direction.norm()).tolist()))

    @property
    def _direction(self) -> Tensor:
        return torch.tensor(self.axis, dtype=torch.float64)

    def sample(self, num: int, dim: int, generator: torch.Generator | None) -> Float[Tensor, "G D D"]:
        """Uniform angles, and for half of the elements a mirror first when reflections belong to the group."""
        angles = 2 * torch.pi * torch.rand(num, generator=generator, dtype=torch.float64)
        rotations = rotation_about(self._direction, angles)
        if not self.reflections:
            return rotations
        mirror = torch.rand(num, generator=generator) < 0.5
        side = torch.linalg.svd(self._direction[None]).Vh[1]
        flip = torch.eye(3, dtype=torch.float64) - 2 * torch.outer(side, side)
        return torch.where(mirror[:, None, None], rotations @ flip, rotations)

    def generators(self, dim: int) -> Float[Tensor, "d D D"]:
        """The rotation about the axis."""
        return cross_matrix(self._direction)[None]

    def contains(self, matrix: Float[Tensor, "D D"]) -> bool:
        """Whether the matrix is orthogonal, keeps the axis, and (without reflections) has determinant 1."""
        fixes_axis = (matrix.double() @ self._direction - self._direction).abs().max() < TOLERANCE
        return bool(fixes_axis) and Rotations(self.reflections).contains(matrix)

    def stabilizer(self, vectors: Float[Tensor, "V D"]) -> LinearGroup:
        """Itself if the vectors lie on the axis; otherwise a mirror at most."""
        with_axis = torch.cat([self._direction[None], vectors.double()])
        rank = _rank(with_axis)
        if rank == 1:
            return self
        return _mirror(with_axis) if rank == 2 and self.reflections else Trivial()


@dataclass(frozen=True, eq=False)
class FiniteGroup(LinearGroup):
    """A finite subgroup of O(D) given by all its elements; equal if these are, whatever the label."""

    label: str
    elements: Float[Tensor, "G D D"] = field(repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FiniteGroup) or other.elements.shape != self.elements.shape:
            return False
        return all(self.contains(element) for element in other.elements)

    def __hash__(self) -> int:
        return hash(tuple(self.elements.shape))

    def sample(self, num: int, dim: int, generator: torch.Generator | None) -> Float[Tensor, "G D D"]:
        """Elements drawn uniformly, with replacement."""
        return self.elements[torch.randint(len(self.elements), (num,), generator=generator)]

    def generators(self, dim: int) -> Float[Tensor, "d D D"]:
        """None: the identity component is trivial."""
        return Trivial().generators(dim)

    def contains(self, matrix: Float[Tensor, "D D"]) -> bool:
        """Whether the matrix is one of the elements."""
        return bool(((self.elements - matrix).abs().amax(dim=(1, 2)) < TOLERANCE).any())

    def stabilizer(self, vectors: Float[Tensor, "V D"]) -> LinearGroup:
        """The elements that fix the vectors, as a finite group."""
        moved = (torch.einsum("gij,vj->gvi", self.elements, vectors.double()) - vectors).abs()
        kept = self.elements[moved.reshape(len(self.elements), -1).amax(dim=1) < TOLERANCE] if len(vectors) else None
        if kept is None or len(kept) == len(self.elements):
            return self
        return Trivial() if len(kept) == 1 else FiniteGroup(f"{self.label}, stabilizer of order {len(kept)}", kept)


def _rank(vectors: Float[Tensor, "V D"]) -> int:
    return int(torch.linalg.matrix_rank(vectors.double(), tol=1e-7)) if len(vectors) else 0


def _mirror(plane: Float[Tensor, "V D"]) -> LinearGroup:
    """The reflection in the hyperplane spanned by the vectors, with the identity."""
    normal = torch.linalg.svd(plane.double()).Vh[-1]
    identity = torch.eye(plane.shape[-1], dtype=torch.float64)
    return FiniteGroup("mirror", torch.stack([identity, identity - 2 * torch.outer(normal, normal)]))
