"""Subgroups of a finite group by name, and the orbits of a subgroup."""

from collections.abc import Iterator, Sequence

from jaxtyping import Float, Int
from torch import Tensor

from rapidash.groups._finite import MultiplicationTable, Subgroup, finite_table
from rapidash.groups._group import Group, trivial
from rapidash.groups._linear import FiniteGroup
from rapidash.groups._parse_group import parse_group


def parse_subgroup(subgroup: str | Group, group: Group) -> Subgroup:
    """The elements of a finite group of motions that make up a subgroup, as sorted indices of its `finite_table`.

    Args:
        subgroup: a finite group, or a name: ``"C2"``, ``"C2(z)"``, ``"tetrahedral"``; an infinite one such as
            ``"SO2(z)"``, ``"SE(3)"`` or ``"T(3)"`` stands for those of its linear parts that belong to ``group``.
        group: a finite group that fixes the origin.
    Raises: ValueError for a group that is not finite, an unknown name, or what is no subgroup: the message names some
        that are.
    """
    table, named = finite_table(group), parse_group(subgroup, group.dim)
    linear = table.elements[:, : group.dim, : group.dim]
    members = tuple(index for index, g in enumerate(linear) if named.linear.contains(g))
    inside = named.without_translations().elements()
    if inside is not None and len(inside) != len(members):
        raise ValueError(
            f"{named} is no subgroup of {group}, which is {len(table)} motions: use one of "
            f"{', '.join(repr(name) for name in named_subgroups(group))}"
        )
    return members


def named_subgroups(group: Group) -> tuple[str, ...]:
    """The names of those subgroups of a finite group of motions that have one, larger ones first."""
    table, found = finite_table(group), {}
    linear = table.elements[:, : group.dim, : group.dim]
    for name in _names(group.dim, len(table)):
        candidate = parse_group(name, group.dim).elements()
        assert candidate is not None
        parts = candidate[:, : group.dim, : group.dim]
        if len(table) % len(parts) == 0 and all(bool(_is_among(part, linear)) for part in parts):
            found[name] = len(parts)
    return tuple(sorted(found, key=lambda name: -found[name]))


def part_of(group: Group, members: Sequence[int], name: str | None = None) -> Group:
    """The subgroup of a finite group that some of its elements make up, as a group.

    Args:
        group: a finite group.
        members: indices of its `finite_table`.
        name: printed in reports; None: the number of elements.
    Raises: ValueError for elements that are no subgroup.
    """
    table = finite_table(group)
    if not table.is_subgroup(members):
        raise ValueError(f"{tuple(members)} is no subgroup of {group}, a group of {len(table)} elements")
    if len(set(members)) == 1:
        return trivial(group.dim)
    linear = table.elements[sorted(set(members))][:, : group.dim, : group.dim]
    return Group(group.dim, FiniteGroup(name or f"{len(linear)} motions of {group}", linear), translations=False)


def orbit_labels(action: Int[Tensor, "G X"], members: Sequence[int]) -> Int[Tensor, " X"]:
    """For each of X things the number of its orbit under some elements; orbits in the order of their first member.

    Args:
        action: action[g, x] is where element g takes x.
        members: the elements of a subgroup.
    """
    return action[list(members)].amin(dim=0).unique(return_inverse=True)[1]


def kept_labels(action: Int[Tensor, "G X"], labels: Int[Tensor, " X"]) -> Subgroup:
    """The elements that take each of X things to one with the same label: a subgroup."""
    return tuple((labels[action] == labels).all(dim=1).nonzero().flatten().tolist())


def coset_labels(table: MultiplicationTable, members: Sequence[int]) -> Int[Tensor, " G"]:
    """For every element g the number of its coset H g: the orbit of g under multiplication from the left."""
    return orbit_labels(table.table, members)


def _is_among(matrix: Float[Tensor, "D D"], elements: Float[Tensor, "G D D"]) -> Tensor:
    return ((elements - matrix).abs().amax(dim=(1, 2)) < 1e-9).any()


def _names(dim: int, order: int) -> Iterator[str]:
    """Names that may be those of a subgroup of so many elements."""
    counts = [count for count in range(order, 1, -1) if order % count == 0]
    if dim == 2:
        yield from (f"D{count}" for count in range(order // 2, 0, -1) if order % (2 * count) == 0)
        yield from (f"C{count}" for count in [*counts, 1])
        return
    yield from ("full icosahedral", "icosahedral", "full octahedral", "octahedral", "full tetrahedral", "tetrahedral")
    yield from (f"D{count}" for count in range(order // 2, 0, -1) if order % (2 * count) == 0)
    for axis in ("z", "y", "x", "1,1,1"):
        yield from (f"C{count}({axis})" for count in counts)
    yield "C1"
