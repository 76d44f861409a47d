"""The symmetry that a sharing of weights has: that of a group whose orbits it is, and otherwise none that is known."""

from collections.abc import Mapping

from jaxtyping import Int
from torch import Tensor

from rapidash.groups import MatrixGroup, trivial
from rapidash.learn.sharing._partitions import partition_distance
from rapidash.symmetry import Ledger


def known_sharing(assignment: Int[Tensor, "*S"], known: Mapping[MatrixGroup, Int[Tensor, "*S"]]) -> MatrixGroup | None:
    """The first group whose orbits of the weights are this sharing, up to renaming; None where no group's are."""
    return next((group for group, orbits in known.items() if partition_distance(assignment, orbits) == 0), None)


def sharing_ledger(assignment: Int[Tensor, "*S"], known: Mapping[MatrixGroup, Int[Tensor, "*S"]]) -> Ledger:
    """The ledger of a linear layer, or a sum over positions, with a sharing that was found.

    Args:
        assignment: the parameter of each weight.
        known: by group its sharing, e.g. of `rapidash.symmetry.orbit_assignment`; a partition that lies near one has
            none of its symmetry.
    """
    group = known_sharing(assignment, known)
    if group is None:
        return no_known_group()
    return Ledger(group, group, (f"the weights share parameters along the orbits of {group.name}",), True, False)


def no_known_group() -> Ledger:
    """The ledger of a sharing that is no group's, or not known yet."""
    return Ledger(trivial(2), trivial(2), ("tied weights, no group known",), True, False)
