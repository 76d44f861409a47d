"""Products of a finite group of rotations and reflections with another one."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups._linear import TOLERANCE, FiniteGroup, LinearGroup, Rotations


@dataclass(frozen=True)
class JoinedGroup(LinearGroup):
    """All products h k of elements of an infinite group K and a finite group H, one of which maps the other to itself.

    Args:
        infinite: K.
        finite: H.
    """

    infinite: LinearGroup
    finite: FiniteGroup

    def sample(self, num: int, dim: int, generator: torch.Generator | None) -> Float[Tensor, "G D D"]:
        """Products of random elements, which are Haar-distributed."""
        return self.finite.sample(num, dim, generator) @ self.infinite.sample(num, dim, generator)

    def generators(self, dim: int) -> Float[Tensor, "d D D"]:
        """Those of K."""
        return self.infinite.generators(dim)

    def contains(self, matrix: Float[Tensor, "D D"]) -> bool:
        """Whether h^-1 times the matrix is in K for an h."""
        rest = self.finite.elements.mT @ matrix.double()
        return any(self.infinite.contains(part) for part in rest)

    def stabilizer(self, vectors: Float[Tensor, "V D"]) -> LinearGroup:
        """Those elements of K that leave the vectors where they are; a product that does is not found."""
        return self.infinite.stabilizer(vectors)

    def __str__(self) -> str:
        from rapidash.groups._group import Group

        whole = Group(self.finite.elements.shape[-1], self.infinite)
        return f"{whole.name.removesuffix(' about the origin')} and {self.finite.label}"


def joined_group(first: LinearGroup, second: LinearGroup, dim: int) -> LinearGroup:
    """The group of all products of two groups, one of which maps the other to itself.

    Raises: ValueError for two infinite groups of which none holds the other.
    """
    if any(isinstance(group, Rotations) for group in (first, second)):  # which hold all but reflections
        return Rotations(reflections=_reflects(first, dim) or _reflects(second, dim))
    if isinstance(first, FiniteGroup) and isinstance(second, FiniteGroup):
        products = (first.elements[:, None] @ second.elements[None]).flatten(0, 1)
        kept: list[Tensor] = []
        for product in products:
            if all((product - other).abs().max() > TOLERANCE for other in kept):
                kept.append(product)
        return FiniteGroup(f"{first.label} {second.label}", torch.stack(kept))
    if isinstance(second, FiniteGroup):
        return JoinedGroup(first, second)
    if isinstance(first, FiniteGroup):
        return JoinedGroup(second, first)
    if isinstance(second, JoinedGroup):
        return joined_group(joined_group(first, second.infinite, dim), second.finite, dim)
    raise ValueError(f"{first} and {second} are both infinite and none holds the other")


def _reflects(group: LinearGroup, dim: int) -> bool:
    """Whether a group has elements of determinant -1: of 64 random ones of a group that has them, half are."""
    return bool((torch.linalg.det(group.sample(64, dim, seeded("reflections"))) < 0).any())
