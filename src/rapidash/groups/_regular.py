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


@dataclass(frozen=True, eq=False)
class RegularCopies(Representation):
    """Copies of the regular representation side by side on the last axis, and entries that do not move.

    The last axis is (copy, group element), with the entries that stay at its end.

    Args:
        table: the group, of G elements.
        num_invariant: how many entries stay, at least 0.
    Raises: ValueError for a negative number; in ``act`` for an axis that is no whole number of copies.
    """

    table: MultiplicationTable
    num_invariant: int = 0

    def __post_init__(self) -> None:
        if self.num_invariant < 0:
            raise ValueError(f"num_invariant must be at least 0, got {self.num_invariant}")

    def act(self, g: Float[Tensor, "*B n n"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Every copy moved."""
        order, width = len(self.table), x.shape[-1] if x.dim() else 0
        moving = width - self.num_invariant
        if moving < order or moving % order:
            nearest = f"a width of {max(1, round(moving / order)) * order + self.num_invariant}"
            rest = f", or num_invariant={width % order} for the rest" if width > order else ""
            raise ValueError(
                f"an axis of {width} entries, of which {self.num_invariant} do not move, is no whole number of copies "
                f"of the regular representation of {order} elements: take {nearest}{rest}"
            )
        copies, still = x.split([moving, self.num_invariant], dim=-1)
        moved = Regular(self.table).act(g, copies.unflatten(-1, (-1, order))).flatten(-2)
        return torch.cat([moved, still], dim=-1)


def permutation_action(
    representation: Representation, elements: Float[Tensor, "G n n"], shape: Sequence[int]
) -> Int[Tensor, "G X"]:
    """The places to which each element takes the X entries of a tensor of this shape, in row-major order.

    Raises: ValueError for a representation that does more than permute entries.
    """
    names = torch.arange(torch.Size(shape).numel()).reshape(tuple(shape))
    moved = torch.stack([representation.act(g, names).flatten() for g in elements])  # entry i shows what came there
    places = moved.argsort(dim=1)
    if not torch.equal(moved.gather(1, places), names.flatten().expand_as(moved)):
        raise ValueError(f"{representation} does not permute the entries of a tensor of shape {tuple(shape)}")
    return places
