"""Further groups of matrices beside the motions of space: scalings, shears, permutations, brightness and contrast."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.groups._group import Group
from rapidash.groups._linear import FiniteGroup, Rotations, rotation_about
from rapidash.groups._matrix_group import MatrixGroup
from rapidash.groups._product import Product

MAX_ENUMERATED = 5040  # elements, 7!: beyond it a finite group is sampled


@dataclass(frozen=True)
class Flows(MatrixGroup):
    """One-parameter groups exp(u A) of a non-compact group, with the range of u that is sampled.

    An element is any exp(sum u_i A_i); unless the generators span a Lie algebra, products of elements may be none.

    Args:
        name: the name printed in reports.
        names: one name for each generator.
        algebra: generators A (d, n, n), float64, homogeneous where they act on points.
        max_parameter: largest abs(u); a random element is exp(sum u_i A_i) with each u_i uniform in the range.
    Raises: ValueError for a range that is not positive or another number of names.
    """

    name: str
    names: tuple[str, ...]
    algebra: Float[Tensor, "d n n"] = field(repr=False, compare=False)
    max_parameter: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.max_parameter < math.inf:
            raise ValueError(f"max_parameter must be positive and finite, got {self.max_parameter}")
        if len(self.names) != len(self.algebra):
            raise ValueError(f"{len(self.names)} names for {len(self.algebra)} generators: give one for each")

    @property
    def size(self) -> int:
        """n of the generators."""
        return self.algebra.shape[-1]

    def sample(self, num: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "G n n"]:
        """Elements with parameters uniform in [-max_parameter, max_parameter]."""
        if num < 1:
            raise ValueError(f"num must be at least 1, got {num}")
        u = 2 * torch.rand(num, len(self.algebra), generator=generator, dtype=torch.float64) - 1
        return torch.linalg.matrix_exp(self.max_parameter * torch.einsum("gd,dij->gij", u, self.algebra))

    def generators(self) -> Float[Tensor, "d n n"]:
        """The generators A."""
        return self.algebra


def scaling(dim: int, max_log: float = 0.5) -> Flows:
    """x -> exp(u) x, abs(u) <= max_log."""
    algebra = torch.zeros(1, dim + 1, dim + 1, dtype=torch.float64)
    algebra[0, :dim, :dim] = torch.eye(dim)
    return Flows(f"scaling({dim})", ("scaling",), algebra, max_log)


def shear(dim: int, max_shear: float = 0.5) -> Flows:
    """x_i -> x_i + u x_j for every ordered pair of axes i != j."""
    pairs = [(i, j) for i in range(dim) for j in range(dim) if i != j]
    algebra = torch.zeros(len(pairs), dim + 1, dim + 1, dtype=torch.float64)
    for row, (i, j) in enumerate(pairs):
        algebra[row, i, j] = 1.0
    names = tuple(f"shear of {'xyz'[i]} along {'xyz'[j]}" for i, j in pairs)
    return Flows(f"shear({dim})", names, algebra, max_shear)


def hyperbolic(dim: int, max_log: float = 0.5) -> Flows:
    """Hyperbolic rotations, (x_i, x_j) -> (x_i cosh u + x_j sinh u, x_i sinh u + x_j cosh u), and stretches of a pair.

    The stretches (x_i, x_j) -> (exp(u) x_i, exp(-u) x_j) are the same flow in axes turned by 45 degrees.
    """
    pairs = [(i, j) for i in range(dim) for j in range(i + 1, dim)]
    algebra = torch.zeros(2 * len(pairs), dim + 1, dim + 1, dtype=torch.float64)
    names: list[str] = []
    for row, (i, j) in enumerate(pairs):
        algebra[2 * row, i, j] = algebra[2 * row, j, i] = 1.0
        algebra[2 * row + 1, i, i], algebra[2 * row + 1, j, j] = 1.0, -1.0
        plane = "xyz"[i] + "xyz"[j]
        names += [f"hyperbolic rotation in {plane}", f"stretch in {plane}"]
    return Flows(f"hyperbolic({dim})", tuple(names), algebra, max_log)


def affine(dim: int, max_parameter: float = 0.5) -> Flows:
    """All x -> A x + t of positive determinant, by motions that mean something: 6 of the plane, 12 of space.

    Generators in this order: rotations (radian), translations (length), the scaling of all axes, stretches of one axis
    against the next (logarithms), and shears (x_i, x_j) -> (x_i cosh u + x_j sinh u, x_i sinh u + x_j cosh u), which
    are stretches along the diagonals of a plane.

    Raises: ValueError for another dimension than 2 and 3.
    """
    if dim not in (2, 3):
        raise ValueError(f"dim must be 2 or 3, got {dim}")
    motions, both = Group(dim, Rotations()), hyperbolic(dim).algebra  # a shear and a stretch for each plane
    planes = ["xy"] if dim == 2 else ["xy", "xz", "yz"]
    kept = [row for row, plane in enumerate(planes) if plane != "xz"]  # a stretch in xz is the sum of the other two
    algebra = [motions.generators(), scaling(dim).algebra, both[1::2][kept], both[::2]]
    names = [*generator_names(motions), "scaling", *(f"stretch in {planes[row]}" for row in kept)]
    names += [f"shear in {plane}" for plane in planes]
    return Flows(f"affine({dim})", tuple(names), torch.cat(algebra), max_parameter)


def joined_flows(groups: Sequence[MatrixGroup]) -> MatrixGroup:
    """exp of the sums of generators of several groups that act on the same space; a single group as it is.

    Raises: ValueError for a finite group, matrices of different sizes, or generators that depend on each other.
    """
    if len(groups) == 1:
        return groups[0]
    name = " + ".join(group.name for group in groups)
    if finite := [group.name for group in groups if group.is_finite]:
        raise ValueError(f"{name!r} adds generators, and {finite[0]} is finite: it has none")
    if len({group.size for group in groups}) > 1:
        sizes = ", ".join(f"{group.name} ({group.size} x {group.size})" for group in groups)
        raise ValueError(f"{name!r} adds generators of different sizes: {sizes}")
    algebra = torch.cat([group.generators() for group in groups])
    if int(torch.linalg.matrix_rank(algebra.flatten(1), atol=1e-9)) < len(algebra):
        raise ValueError(f"the generators of {name!r} depend on each other: leave out those that are there already")
    return Flows(name, tuple(each for group in groups for each in generator_names(group)), algebra)


def brightness(max_shift: float = 0.2) -> Flows:
    """Intensity -> intensity + u: matrices [[1, u], [0, 1]] for the `Intensity` representation."""
    return Flows("brightness", ("brightness",), torch.tensor([[[0.0, 1.0], [0.0, 0.0]]]).double(), max_shift)


def contrast(max_log: float = 0.2) -> Flows:
    """Intensity -> exp(u) intensity, about intensity 0: matrices for the `Intensity` representation."""
    return Flows("contrast", ("contrast",), torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]).double(), max_log)


@dataclass(frozen=True)
class Permutations(MatrixGroup):
    """S_n: the permutation matrices P (n, n), (P x)_i = x_p(i)."""

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")

    @property
    def name(self) -> str:
        """S_n in the field's notation."""
        return f"S({self.size})"

    def sample(self, num: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "G n n"]:
        """Uniform permutations."""
        if num < 1:
            raise ValueError(f"num must be at least 1, got {num}")
        order = torch.rand(num, self.size, generator=generator).argsort(dim=-1)
        return torch.eye(self.size, dtype=torch.float64)[order]

    def generators(self) -> Float[Tensor, "d n n"]:
        """None: the group is finite."""
        return torch.zeros(0, self.size, self.size, dtype=torch.float64)

    def inverse(self, g: Float[Tensor, "*B n n"]) -> Float[Tensor, "*B n n"]:
        """The transposed matrices, also of soft permutations.

        The gradient of the inverse matrix, -P^T dP P^T, has the wrong sign for a step from P towards P with two rows
        exchanged; that of the transposed one is dP^T.
        """
        return g.transpose(-1, -2)

    def elements(self) -> Float[Tensor, "G n n"] | None:
        """All of them in lexicographic order; None beyond 5040."""
        if math.factorial(self.size) > MAX_ENUMERATED:
            return None
        orders = torch.tensor(list(permutations(range(self.size))))
        return torch.eye(self.size, dtype=torch.float64)[orders]

    def contains(self, element: Float[Tensor, "n n"]) -> bool:
        """Whether each row and each column holds a single 1, to 1e-9."""
        if element.shape != (self.size, self.size):
            return False
        order = element.argmax(dim=1)
        nearest = torch.eye(self.size, dtype=element.dtype, device=element.device)[order]
        return len(set(order.tolist())) == self.size and bool((element - nearest).abs().max() < 1e-9)


def cyclic(order: int, dim: int = 2) -> Group:
    """C_n: rotations by multiples of 360 / n degrees, of the plane or (dim=3) about the z axis."""
    return _finite(f"C({order})" if dim == 2 else f"C{order}(z)", _cyclic_matrices(order, dim))


def dihedral(order: int, dim: int = 2) -> Group:
    """D_n: `cyclic` and the mirror x -> -x followed by each of its rotations, 2 n elements."""
    turns = _cyclic_matrices(order, dim)
    mirror = torch.eye(dim, dtype=torch.float64)
    mirror[0, 0] = -1.0
    return _finite(f"D({order})", torch.cat([turns, turns @ mirror]))


def octahedral(*, reflections: bool = False) -> Group:
    """The 24 rotations of the cube, with reflections all 48 signed permutation matrices."""
    eye = torch.eye(3, dtype=torch.float64)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    matrices = torch.stack([sign[:, None] * eye[list(order)] for order in permutations(range(3)) for sign in signs])
    if not reflections:
        matrices = matrices[torch.linalg.det(matrices) > 0]
    return _finite("Oh" if reflections else "O", matrices)


def _cyclic_matrices(order: int, dim: int) -> Tensor:
    if order < 1 or dim not in (2, 3):
        raise ValueError(f"need order >= 1 and dim 2 or 3, got {order=}, {dim=}")
    angles = 2 * math.pi * torch.arange(order, dtype=torch.float64) / order
    turns = rotation_about(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), angles)
    if 4 % order == 0:
        turns = turns.round()  # quarter turns without the rounding of cos(pi / 2)
    return turns[:, :dim, :dim].clone()


def _finite(label: str, matrices: Tensor) -> Group:
    return Group(matrices.shape[-1], FiniteGroup(label, matrices), translations=False)


def enumerated(group: MatrixGroup) -> Float[Tensor, "G n n"] | None:
    """All elements of a finite group (at most 5040 of them), identity first; None for any other group."""
    listed = getattr(group, "elements", None)  # groups of other packages need not have it
    return None if listed is None else listed()


def generator_names(group: MatrixGroup) -> Sequence[str]:
    """One name for each generator of the group, in their order."""
    if isinstance(group, Flows):
        return group.names
    if isinstance(group, Product):
        return [name for factor in group.groups for name in generator_names(factor)]
    if isinstance(group, Group):
        count = len(group.linear.generators(group.dim))
        rotations = ["rotation"] if count == 1 and group.dim == 2 else [f"rotation about {axis}" for axis in "xyz"]
        if count == 1 and group.dim == 3:
            rotations = ["rotation about the axis"]
        axes = [f"translation along {axis}" for axis in "xyz"[: group.dim]]
        across = [f"translation {index} across the axis" for index in range(1, group.dim)]
        shifts = across if group.across is not None else axes if group.translations else []
        return [*rotations[:count], *shifts]
    return [f"generator {index}" for index in range(len(group.generators()))]
