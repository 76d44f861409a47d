import pytest
import torch
from torch import nn

from rapidash._seed import seeded
from rapidash.data import Field, RowBatch
from rapidash.groups import (
    MatrixGroup,
    Permutation,
    Permutations,
    Regular,
    Representation,
    cyclic,
    dihedral,
    finite_table,
    octahedral,
    permutation_action,
)
from rapidash.symmetry import Enumerated, SharedLinear, Symmetrized, orbit_assignment, orbit_means


def regular(group: MatrixGroup) -> torch.Tensor:
    return finite_table(group).table


def commutes(weight: torch.Tensor, into: torch.Tensor, out: torch.Tensor) -> float:
    """max over g of |W phi(g) - rho(g) W|."""
    eye_in, eye_out = (torch.eye(action.shape[1], dtype=torch.float64) for action in (into, out))
    phi, rho = eye_in[into].mT, eye_out[out].mT  # column i is the unit vector of where i goes
    return float((weight @ phi - rho @ weight).detach().abs().max())


def test_assignments_by_hand() -> None:
    ring = regular(cyclic(3))
    assert orbit_assignment(ring, ring).tolist() == [[0, 1, 2], [2, 0, 1], [1, 2, 0]]  # circular convolution
    s4 = finite_table(Permutations(4))
    points = permutation_action(Permutation(0), s4.elements, (4,))
    sets = orbit_assignment(points, points)  # a sum over all points, and each point itself
    assert sets.unique().tolist() == [0, 1]
    assert torch.equal(sets == 0, torch.eye(4).bool())
    fixed = torch.arange(2).expand(24, 2)
    assert orbit_assignment(points, fixed).tolist() == [[0] * 4, [1] * 4]


def test_on_a_ring_it_is_circular_convolution() -> None:
    ring = regular(cyclic(7))
    layer = SharedLinear.equivariant(ring, ring).double()
    assert (layer.shared_weight.numel(), layer.shared_bias.numel()) == (7, 1)
    x = torch.randn(4, 7, generator=seeded(0), dtype=torch.float64)
    padded = torch.cat([x, x[:, :6]], dim=1)[:, None]
    expected = nn.functional.conv1d(padded, layer.weight[0][None, None])[:, 0] + layer.shared_bias
    torch.testing.assert_close(layer(x), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("group", [dihedral(4), octahedral()], ids=lambda group: group.name)
def test_on_the_regular_representation_it_is_group_convolution(group: MatrixGroup) -> None:
    table = finite_table(group)
    layer = SharedLinear.equivariant(table.table, table.table, bias=False).double()
    assert layer.shared_weight.numel() == len(table)
    psi = layer.weight[0]  # W[1, k] = psi(k)
    x = torch.randn(len(table), generator=seeded(0), dtype=torch.float64)
    expected = torch.stack([(psi[table.table[table.inverses[h]]] * x).sum() for h in range(len(table))])
    torch.testing.assert_close(layer(x), expected, atol=1e-12, rtol=0)
    g = table.elements[3]
    torch.testing.assert_close(layer(Regular(table).act(g, x)), Regular(table).act(g, layer(x)), atol=1e-12, rtol=0)
    assert commutes(layer.weight, table.table, table.table) < 1e-12
    shuffled = layer.weight.flatten()[torch.randperm(len(table) ** 2, generator=seeded(1))].reshape(len(table), -1)
    assert commutes(shuffled, table.table, table.table) > 0.1


CASES: dict[str, tuple[MatrixGroup, Representation, int, Representation, int]] = {
    "ring of 7": (cyclic(7), Regular(finite_table(cyclic(7))), 7, Regular(finite_table(cyclic(7))), 7),
    "functions on D3": (dihedral(3), Regular(finite_table(dihedral(3))), 6, Regular(finite_table(dihedral(3))), 6),
    "sets": (Permutations(4), Permutation(-1), 4, Permutation(-1), 4),
    "pairs to points": (Permutations(3), Regular(finite_table(Permutations(3))), 6, Permutation(-1), 3),
}


@pytest.mark.parametrize("name", CASES)
def test_averaging_a_weight_is_replacing_it_by_orbit_means(name: str) -> None:
    group, into, num_in, out, num_out = CASES[name]
    elements = group.elements()
    in_action, out_action = (permutation_action(rep, elements, (num,)) for rep, num in ((into, num_in), (out, num_out)))
    layer = SharedLinear.equivariant(in_action, out_action, bias=False)
    weight = torch.randn(num_out, num_in, generator=seeded(name), dtype=torch.float64)
    projected = layer.project(weight)
    torch.testing.assert_close(layer.project(projected), projected, atol=1e-12, rtol=0)
    assert commutes(projected, in_action, out_action) < 1e-12
    assert commutes(weight, in_action, out_action) > 0.1

    class Linear(nn.Module):
        def forward(self, batch: RowBatch) -> torch.Tensor:
            return batch["x"] @ weight.T

    batch = RowBatch({"x": torch.eye(num_in).double()}, {"x": Field(into, level="cloud")})
    averaged = Symmetrized(Linear(), Field(out, level="cloud"), Enumerated(group))(batch)
    torch.testing.assert_close(averaged.T, projected, atol=1e-12, rtol=0)
    # E_g |W phi(g) - rho(g) W|^2 = 2 |(1 - P) W|^2: a sampled penalty is the distance to the equivariant weights
    eye_in, eye_out = torch.eye(num_in).double(), torch.eye(num_out).double()
    gaps = [(weight @ eye_in[i].mT - eye_out[o].mT @ weight).square().sum() for i, o in zip(in_action, out_action)]
    torch.testing.assert_close(torch.stack(gaps).mean(), 2 * (weight - projected).square().sum())


def test_the_tied_parameters_get_the_gradient_of_their_orbit() -> None:
    ring = regular(cyclic(3))
    layer = SharedLinear.equivariant(ring, ring)
    layer(torch.eye(3)).sum().backward()
    assert layer.shared_weight.grad.tolist() == [3, 3, 3]
    assert layer.shared_bias.grad.tolist() == [9]
    free = SharedLinear(torch.arange(6).reshape(2, 3))  # nothing tied: a linear layer
    x = torch.randn(5, 3, generator=seeded(0))
    torch.testing.assert_close(free(x), nn.functional.linear(x, free.shared_weight.reshape(2, 3)))
    assert free.bias is None
    assert set(free.state_dict()) == {"assignment", "shared_weight"}


def test_what_is_no_group_or_no_assignment_is_refused() -> None:
    ring = regular(cyclic(4))
    with pytest.raises(ValueError, match="product of two of them is missing"):
        orbit_assignment(ring[:2], ring[:2])
    with pytest.raises(ValueError, match=r"in_action .* permutation"):
        orbit_assignment(torch.zeros(4, 4, dtype=torch.long), ring)
    with pytest.raises((ValueError, TypeError), match=r"one row per element|parameter 'out_action'"):
        orbit_assignment(ring, ring[:2])
    with pytest.raises(ValueError, match="leaves some out"):
        SharedLinear(torch.tensor([[0, 2]]))
    with pytest.raises((ValueError, TypeError), match=r"bias needs 1 numbers|parameter 'bias_assignment'"):
        SharedLinear(torch.tensor([[0, 1]]), torch.tensor([0, 0]))
    with pytest.raises((ValueError, TypeError), match=r"differ in shape|parameter"):
        orbit_means(torch.zeros(2, 2), torch.zeros(2, 3, dtype=torch.long))
