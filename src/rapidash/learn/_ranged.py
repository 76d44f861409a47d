"""The base of methods that learn how far a motion may go: the ledger of a model averaged over a learned range."""

from dataclasses import dataclass, replace

import torch

from rapidash._seed import seeded
from rapidash.groups import Group, MatrixGroup, Trivial, parse_matrix_group
from rapidash.methods import SymmetrizingMethod
from rapidash.symmetry import Ledger


@dataclass(frozen=True)
class RangedMethod(SymmetrizingMethod):
    """Base of methods that average over a learned part of a Lie group, which is no subgroup.

    Args:
        group: name of a group with generators, see `rapidash.groups.parse_matrix_group`.
    Raises: ValueError for an unknown group, or a finite one.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.over.is_finite:
            raise ValueError(f"group must have generators, whose range is learned; {self.group} is finite")

    @property
    def over(self) -> MatrixGroup:
        """The group by its name."""
        return parse_matrix_group(self.group)

    @property
    def is_exact(self) -> bool:
        """No symmetry is added."""
        return False

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """The symmetry of the network that the average leaves; a learned range, which is no group, adds none.

        The average of a network keeps the elements h of its group for which g^-1 h g is in it too, g of the range.
        """
        effective = _kept(before.effective, self.over)
        part = before.claimed_exactly
        part = None if part is None else _kept(part, self.over)
        is_exact = part is not None and (part == effective or effective.name == part.name)
        reason = (
            f"predictions are averaged over {self.in_words()}: this tolerates motions approximately, in expectation"
        )
        reason += " and within the range; it is no group, and no symmetry is added"
        if effective != before.effective:
            reason += f"; of {before.effective.name} no more than {effective.name} is left"
        exact_part = None if is_exact else part
        return replace(
            before, effective=effective, reasons=(*before.reasons, reason), exact=is_exact, exact_part=exact_part
        )


def _kept(group: MatrixGroup, over: MatrixGroup) -> MatrixGroup:
    """The group where moves of the other one map it to itself, else its translations.

    Raises: ValueError for groups that act on different data.
    """
    if group.size != over.size:
        raise ValueError(
            f"group {over.name!r} has matrices {over.size} x {over.size}, the network {group.name} has "
            f"{group.size} x {group.size}: they act on different data"
        )
    coordinates = 0.3 * torch.eye(len(over.generators()), dtype=torch.float64)
    moves = over.exponential(coordinates)
    elements = group.sample(8, generator=seeded("kept by a range"))
    turned = over.inverse(moves)[:, None] @ elements @ moves[:, None]
    if all(group.contains(element) for element in turned.flatten(0, 1)):
        return group
    if isinstance(group, Group):
        return Group(group.dim, Trivial(), group.translations)
    raise ValueError(f"nothing is known of the average over {over.name} of a network with the symmetry {group.name}")
