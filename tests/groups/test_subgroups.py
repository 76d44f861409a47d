"""Subgroups by name, and the orbits of a subgroup."""

import pytest
import torch

from rapidash.groups import (
    Group,
    coset_labels,
    finite_table,
    grid_symmetries,
    kept_labels,
    named_subgroups,
    orbit_labels,
    orientation_grid,
    parse_group,
    parse_subgroup,
    part_of,
)


@pytest.mark.parametrize(
    ("name", "dim", "expected"),
    [
        ("C4", 2, ("C4", "C2", "C1")),
        ("D4", 2, ("D4", "D2", "C4", "D1", "C2", "C1")),
        ("C8", 2, ("C8", "C4", "C2", "C1")),
        ("tetrahedral", 3, ("tetrahedral", "C3(1,1,1)", "C2(z)", "C2(y)", "C2(x)", "C1")),
    ],
)
def test_named_subgroups(name: str, dim: int, expected: tuple[str, ...]) -> None:
    group = parse_group(name, dim)
    assert named_subgroups(group) == expected
    for subgroup in expected:
        members = parse_subgroup(subgroup, group)
        assert finite_table(group).is_subgroup(members)
        assert part_of(group, members).is_subgroup(parse_group(subgroup, dim))


def test_the_tetrahedron_by_its_corners() -> None:
    """12 rotations, 24 with mirrors, all of which permute the corners; C3 turns about one of them."""
    corners = orientation_grid("platonic", 4, 3)
    for name, count in (("tetrahedral", 12), ("full tetrahedral", 24)):
        linear = parse_group(name, 3).linear
        assert linear == grid_symmetries(corners, reflections=count == 24)
        assert len(linear.elements) == count
    thirds = parse_group("C3(1,1,1)", 3).linear.elements
    assert [element.tolist() for element in thirds][1] == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    with pytest.raises(ValueError, match="unknown symmetry"):
        parse_group("C3(1,1)", 3)
    with pytest.raises(ValueError, match="unknown symmetry"):
        parse_group("C3(0,0,0)", 3)


def test_an_infinite_group_stands_for_its_part() -> None:
    """Turns about z of the cube: four, with mirrors eight; all of O(3) is everything, translations are nothing."""
    cube = parse_group("full octahedral", 3)
    for name, count in (("SO2(z)", 4), ("O2(z)", 8), ("SO(3)", 24), ("E(3)", 48), ("T(3)", 1)):
        assert len(parse_subgroup(name, cube)) == count
    with pytest.raises(ValueError, match=r"C5\(z\) is no subgroup of Oh.*'full octahedral', 'octahedral'"):
        parse_subgroup("C5(z)", cube)
    with pytest.raises(ValueError, match="not finite"):
        parse_subgroup("C2(z)", parse_group("SO(3)", 3))


def test_cosets_and_orbits_by_hand() -> None:
    """C2 in C4: {0, 2} and {1, 3}; the elements that keep these labels are C2 again, those that keep one label all."""
    group = parse_group("C4", 2)
    table = finite_table(group)
    assert coset_labels(table, (0, 2)).tolist() == [0, 1, 0, 1]
    assert orbit_labels(table.table, (0, 2)).tolist() == [0, 1, 0, 1]
    assert kept_labels(table.table, torch.tensor([0, 1, 0, 1])) == (0, 2)
    assert kept_labels(table.table, torch.zeros(4, dtype=torch.long)) == (0, 1, 2, 3)
    assert part_of(group, (0, 2)).name == "2 motions of C(4)"
    assert part_of(group, (0,)).name == "trivial"
    assert isinstance(part_of(group, (0, 2)), Group)
    with pytest.raises(ValueError, match="no subgroup"):
        part_of(group, (0, 1))
