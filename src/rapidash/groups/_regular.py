"""Finite groups that permute: functions on the group itself, and the entries of any tensor that they only permute."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from rapidash.groups._finite import MultiplicationTable
from rapidash.groups._representations import Representation
from rapidash.groups._signals import axis_of, permuted


@dataclass(frozen=True, eq=False)
class Regular(Representation):
    """A function on a finite group along one axis of length G: (g f)(h) = f(g^-1 h).

    Args:
        table: the group.
        axis: the axis, counted as by `Permutation`.
    Raises: ValueError (act) for an axis of another length, or a matrix that is no element.
    """

    table: MultiplicationTable
    axis: int = -1

    @property
    def acts_on_rows(self) -> bool:
        """The axis may be that of the points."""
        return True

    def act(self, g: Float[Tensor, "*B n n"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """The function moved along the axis."""
        axis = axis_of(self.axis, g, x)
        if x.shape[axis] != len(self.table):
            raise ValueError(f"axis {self.axis} has {x.shape[axis]} entries, the group {len(self.table)} elements")
        return permuted(x, self.table.table[self.table.inverses[self.table.index_of(g)]], axis)


def permutation_action(
    representation: Representation, elements: Float[Tensor, "G n n"], shape: Sequence[int]
) -> Int[Tensor, "G X"]:
    """Where each element takes the X entries of a tensor of this shape, in row-major order.

    Raises: ValueError for a representation that does more than permute entries.
    """
    names = torch.arange(torch.Size(shape).numel()).reshape(tuple(shape))
    moved = torch.stack([representation.act(g, names).flatten() for g in elements])  # entry i shows what came there
    places = moved.argsort(dim=1)
    if not torch.equal(moved.gather(1, places), names.flatten().expand_as(moved)):
        raise ValueError(f"{representation} does not permute the entries of a tensor of shape {tuple(shape)}")
    return places
