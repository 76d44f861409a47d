"""Finite groups by their table, with values from the textbooks, and the representations that permute."""

import pytest
import torch

from rapidash._seed import seeded
from rapidash.groups import (
    SO,
    GridPermutation,
    Group,
    MultiplicationTable,
    Permutation,
    Permutations,
    Product,
    Regular,
    Representation,
    cyclic,
    dihedral,
    finite_table,
    grid_symmetries,
    octahedral,
    orientation_grid,
    permutation_action,
    trivial,
)


def solid(num: int, *, reflections: bool = False) -> Group:
    symmetries = grid_symmetries(orientation_grid("platonic", num, 3), reflections=reflections)
    return Group(3, symmetries, translations=False)


GROUPS = {  # order, number of subgroups, sizes of the conjugacy classes
    "trivial": (trivial(2), 1, 1, [1]),
    "C4": (cyclic(4), 4, 3, [1, 1, 1, 1]),
    "C12": (cyclic(12), 12, 6, [1] * 12),
    "D4": (dihedral(4), 8, 10, [1, 1, 2, 2, 2]),
    "S3": (Permutations(3), 6, 6, [1, 2, 3]),
    "A4": (solid(4), 12, 10, [1, 3, 4, 4]),
    "S4": (octahedral(), 24, 30, [1, 3, 6, 6, 8]),
    "A5": (solid(12), 60, 59, [1, 12, 12, 15, 20]),
    "S5": (Permutations(5), 120, 156, [1, 10, 15, 20, 20, 24, 30]),
    "C2 x C2": (Product((cyclic(2), cyclic(2))), 4, 5, [1, 1, 1, 1]),
}


@pytest.mark.parametrize("name", GROUPS)
def test_subgroups_and_classes_are_those_of_the_textbook(name: str) -> None:
    group, order, num_subgroups, sizes = GROUPS[name]
    table = finite_table(group)
    subgroups = table.subgroups()
    assert (len(table), len(subgroups)) == (order, num_subgroups)
    assert sorted(map(len, table.conjugacy_classes())) == sizes
    assert all(table.is_subgroup(subgroup) and order % len(subgroup) == 0 for subgroup in subgroups)
    assert subgroups[0] == (0,)
    assert subgroups[-1] == tuple(range(order))
    assert list(subgroups) == sorted(set(subgroups), key=lambda s: (len(s), s))
    assert finite_table(group).subgroups() == subgroups


@pytest.mark.parametrize("name", ["D4", "A4", "S4"])
def test_the_table_multiplies_matrices_and_transversals_tile_the_group(name: str) -> None:
    table = finite_table(GROUPS[name][0])
    g, h = torch.randint(len(table), (2, 40), generator=seeded(name))
    torch.testing.assert_close(table.elements[table.table[g, h]], table.elements[g] @ table.elements[h])
    assert (table.table[g, table.inverses[g]] == 0).all()
    assert table.index_of(table.elements[g].float() + 1e-7).tolist() == g.tolist()
    for subgroup in table.subgroups():
        right, left = table.right_transversal(subgroup), table.left_transversal(subgroup)
        assert right[0] == left[0] == 0
        assert len(right) == len(left) == len(table) // len(subgroup)
        assert table.table[list(subgroup)][:, list(right)].unique().numel() == len(table)
        assert table.table[list(left)][:, list(subgroup)].unique().numel() == len(table)


class Halves(Representation):
    def act(self, g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x // 2


def test_by_hand() -> None:
    table = finite_table(cyclic(4))  # element k turns by k quarters
    assert table.table.tolist() == [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]
    assert table.inverses.tolist() == [0, 3, 2, 1]
    assert [table.order_of(k) for k in range(4)] == [1, 4, 2, 4]
    assert table.subgroups() == ((0,), (0, 2), (0, 1, 2, 3))
    assert table.right_transversal((2, 0)) == (0, 1)
    assert table.is_subgroup([0, 2])
    assert not table.is_subgroup([0, 1])
    assert not table.is_subgroup([])
    assert not table.is_subgroup([0, 4])
    # cosets of a subgroup that is not normal: S3 with rows 012 021 102 120 201 210, H = {identity, exchange of 1, 2}
    s3 = finite_table(Permutations(3))
    assert s3.is_subgroup([0, 1])
    right = {tuple(sorted(s3.table[[0, 1], t].tolist())) for t in s3.right_transversal([0, 1])}
    left = {tuple(sorted(s3.table[t, [0, 1]].tolist())) for t in s3.left_transversal([0, 1])}
    assert right != left
    assert {0, 1} in map(set, right)


def test_orbits_by_hand() -> None:
    table = finite_table(cyclic(2))  # the half turn of the plane
    swap_first_two = torch.tensor([[0, 1, 2], [1, 0, 2]])
    assert table.orbits(swap_first_two) == ((0, 1), (2,))
    assert finite_table(cyclic(4)).orbits(finite_table(cyclic(4)).table) == ((0, 1, 2, 3),)
    with pytest.raises(ValueError, match="no action"):
        table.orbits(torch.tensor([[0, 1, 2], [1, 2, 0]]))  # a 3-cycle does not square to the identity
    with pytest.raises(ValueError, match="one row for each of the 2 elements"):
        table.orbits(torch.zeros(3, 2, dtype=torch.long))


def test_what_is_no_finite_group_is_refused() -> None:
    with pytest.raises(ValueError, match=r"SO\(3\) is not finite"):
        finite_table(SO(3))
    with pytest.raises(ValueError, match=r"S\(8\) is not finite, or too large"):
        finite_table(Permutations(8))
    quarters = finite_table(cyclic(4)).elements
    with pytest.raises(ValueError, match="begin with the identity"):
        MultiplicationTable(quarters[[1, 0, 2, 3]])
    with pytest.raises(ValueError, match="no element of this finite group"):
        MultiplicationTable(quarters[:2])
    with pytest.raises(ValueError, match="comes twice"):
        MultiplicationTable(quarters[[0, 2, 0, 2]])
    with pytest.raises(ValueError, match="at most 120 elements, got 720"):
        finite_table(Permutations(6)).subgroups()
    with pytest.raises(ValueError, match="is no subgroup"):
        finite_table(cyclic(4)).right_transversal([0, 1])
    with pytest.raises(ValueError, match="no element of this finite group"):
        finite_table(cyclic(4)).index_of(SO(2).sample(1, generator=seeded(0))[0])


def test_the_regular_representation_by_hand_and_as_a_representation() -> None:
    table = finite_table(cyclic(3))
    f = torch.tensor([10.0, 11, 12])
    assert Regular(table).act(table.elements[1], f).tolist() == [12, 10, 11]  # what was at h is now at g h
    table = finite_table(dihedral(3))
    f = torch.randn(6, 2, generator=seeded(0), dtype=torch.float64)
    regular = Regular(table, axis=0)
    turn, mirror = table.elements[1], table.elements[3]
    both = regular.act(turn @ mirror, f)
    assert torch.equal(both, regular.act(turn, regular.act(mirror, f)))
    assert not torch.equal(both, regular.act(mirror, regular.act(turn, f)))  # a right action would give this
    with pytest.raises(ValueError, match="axis -1 has 2 entries, the group 6 elements"):
        Regular(table).act(table.elements[1], f)


def test_a_representation_that_permutes_gives_an_action_on_indices() -> None:
    table = finite_table(cyclic(3))
    assert torch.equal(permutation_action(Regular(table), table.elements, (3,)), table.table)
    icosahedral, grid = finite_table(solid(12)), orientation_grid("platonic", 12, 3)
    action = permutation_action(GridPermutation(grid), icosahedral.elements, (12, 2))
    assert icosahedral.orbits(action) == (tuple(range(0, 24, 2)), tuple(range(1, 24, 2)))
    places = action[7, ::2] // 2  # vertex o goes to the vertex R o
    torch.testing.assert_close(grid[places], grid @ icosahedral.elements[7, :3, :3].T)
    s3 = finite_table(Permutations(3))
    assert s3.orbits(permutation_action(Permutation(0), s3.elements, (3,))) == ((0, 1, 2),)
    with pytest.raises(ValueError, match="does not permute the entries"):
        permutation_action(Halves(), table.elements, (4,))
