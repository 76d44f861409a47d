"""Characters: the tables of small groups by hand, and how often each irreducible representation occurs."""

import pytest
import torch

from rapidash.groups import (
    MultiplicationTable,
    RegularCopies,
    character_table,
    finite_table,
    irrep_multiplicities,
    octahedral,
    parse_matrix_group,
)

GROUPS = ("C1", "C4", "C6", "D1", "D3", "D4", "C4 x C4", "D1 x D1", "D4 x C2", "octahedral", "S(4)")


def table_of(name: str) -> MultiplicationTable:
    return finite_table(parse_matrix_group(name))


@pytest.mark.parametrize("name", GROUPS)
def test_rows_are_orthogonal_and_the_squares_of_dimensions_sum_to_the_order(name: str) -> None:
    table = table_of(name)
    characters = character_table(table)
    size = len(table)
    assert len(characters) == len(table.conjugacy_classes())
    torch.testing.assert_close(
        characters @ characters.conj().T / size, torch.eye(len(characters)).to(characters), rtol=1e-9, atol=1e-9
    )
    assert float(characters[:, 0].real.square().sum()) == pytest.approx(size)
    torch.testing.assert_close(characters[0], torch.ones(size).to(characters), rtol=1e-9, atol=1e-9)


def test_the_cyclic_group_of_four_by_hand() -> None:
    """Powers of i, in the order of the exponent."""
    table = table_of("C4")
    expected = torch.tensor([[1, 1, 1, 1], [1, 1j, -1, -1j], [1, -1, 1, -1], [1, -1j, -1, 1j]]).to(torch.complex128)
    torch.testing.assert_close(character_table(table), expected, rtol=1e-9, atol=1e-9)


def test_rotations_of_the_cube_by_hand() -> None:
    """Dimensions 1, 1, 2, 3, 3; the vectors of space are one of the last two, with the trace 1 + 2 cos(angle)."""
    table = finite_table(octahedral())
    characters = character_table(table)
    assert [round(float(value.real)) for value in characters[:, 0]] == [1, 1, 2, 3, 3]
    traces = torch.diagonal(table.elements[:, :3, :3], dim1=1, dim2=2).sum(1).to(characters)
    assert min(float((row - traces).abs().max()) for row in characters) < 1e-9
    found = irrep_multiplicities(table, table.elements[:, :3, :3])
    assert sorted(found.round().tolist()) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("name", GROUPS)
def test_the_regular_representation_has_each_as_often_as_its_dimension(name: str) -> None:
    table = table_of(name)
    size = len(table)
    copies = RegularCopies(table, num_invariant=3)
    basis = torch.eye(2 * size + 3, dtype=torch.float64)
    matrices = torch.stack([copies.act(g, basis).T for g in table.elements])
    for first in range(size):  # a representation: R(g) R(h) = R(g h), exactly, for every pair
        assert torch.equal(matrices[first] @ matrices, matrices[table.table[first]])
    expected = 2 * character_table(table)[:, 0].real
    expected[0] += 3
    torch.testing.assert_close(irrep_multiplicities(table, matrices), expected, rtol=1e-9, atol=1e-9)


def test_copies_by_hand() -> None:
    """The generator of C3 takes the value at h to g h, in each copy; what stays is at the end."""
    table = table_of("C3")
    x = torch.arange(8)
    assert RegularCopies(table, num_invariant=2).act(table.elements[1], x).tolist() == [2, 0, 1, 5, 3, 4, 6, 7]
    both = RegularCopies(table, num_invariant=2).act(table.elements[[0, 1]], torch.stack([x, x]))
    assert both.tolist() == [x.tolist(), [2, 0, 1, 5, 3, 4, 6, 7]]


def test_what_does_not_fit_is_said() -> None:
    table = table_of("C4")
    with pytest.raises(
        ValueError, match=r"an axis of 10 entries, of which 0 do not move.*a width of 8, or num_invariant=2 for the"
    ):
        RegularCopies(table).act(table.elements[0], torch.zeros(2, 10))
    with pytest.raises(ValueError, match=r"an axis of 3 entries.*take a width of 4$"):
        RegularCopies(table).act(table.elements[0], torch.zeros(2, 3))
    with pytest.raises(ValueError, match="num_invariant must be at least 0, got -1"):
        RegularCopies(table, -1)
    with pytest.raises(ValueError, match=r"give a matrix \(d, d\) for each of the 4 elements, got \(3, 2, 2\)"):
        irrep_multiplicities(table, torch.zeros(3, 2, 2))


@pytest.mark.parametrize("name", GROUPS)
def test_generators_generate(name: str) -> None:
    table = table_of(name)
    found, members = set(table.generators()), {0}
    assert len(found) <= 3
    while True:
        more = {int(table.table[s, member]) for s in found for member in members} | members
        if more == members:
            break
        members = more
    assert members == set(range(len(table)))
