"""Learned matrices of the generators of a finite group."""

import pytest
import torch

from rapidash.groups import RegularCopies, finite_table, parse_matrix_group
from rapidash.symmetry import GeneratorAction


@pytest.mark.parametrize("name", ["C4", "D4", "C4 x C2", "octahedral"])
def test_with_the_matrices_of_a_representation_every_element_has_its_own_and_no_relation_is_missed(name: str) -> None:
    table = finite_table(parse_matrix_group(name))
    size = len(table)
    action = GeneratorAction(table, size).double()
    basis = torch.eye(size, dtype=torch.float64)
    regular = torch.stack([RegularCopies(table).act(g, basis).T for g in table.elements])
    assert float(action.relations().detach()) > 1e-3
    action.weight.data = regular[list(action.generators)]
    assert torch.equal(action.matrices(), regular)
    assert float(action.relations().detach()) == 0.0
    x = torch.randn(5, 2, size, dtype=torch.float64)
    g = table.elements[torch.arange(5) % size]
    torch.testing.assert_close(action.act(g, x), RegularCopies(table).act(g, x))
    assert action.multiplicities().sum() == pytest.approx(sum(action.multiplicities().round().tolist()))


def test_relations_of_a_cyclic_group_are_the_power_of_its_generator() -> None:
    """For W = 2 (d = 1) and C3: (8 - 1)^2; the multiplicities have the mean trace (1 + 2 + 4) / 3 first."""
    action = GeneratorAction(finite_table(parse_matrix_group("C3")), 1)
    action.weight.data = torch.tensor([[[2.0]]])
    assert float(action.relations().detach()) == pytest.approx(49.0)
    assert float(action.multiplicities()[0]) == pytest.approx(7 / 3)
    assert float(action.multiplicities().sum()) == pytest.approx(1.0)  # the dimension, whatever W is


def test_both_beginnings() -> None:
    torch.manual_seed(0)
    table = finite_table(parse_matrix_group("C4"))
    random, near = GeneratorAction(table, 6), GeneratorAction(table, 6, "identity")
    torch.testing.assert_close(random.weight[0] @ random.weight[0].T, torch.eye(6), rtol=1e-5, atol=1e-5)
    signs = {float(torch.linalg.det(GeneratorAction(table, 6).weight[0]).sign().detach()) for _ in range(20)}
    assert signs == {-1.0, 1.0}  # two copies of the regular representation of C4 can be reached from one of them only
    assert 0 < float((near.weight[0] - torch.eye(6)).abs().max().detach()) < 0.3
    with pytest.raises(ValueError, match="need dim >= 1 and init in"):
        GeneratorAction(table, 0)
    with pytest.raises(ValueError, match="one element has no generators"):
        GeneratorAction(finite_table(parse_matrix_group("C1")), 2)
