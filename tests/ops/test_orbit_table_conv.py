from typing import get_args

import pytest
import torch

from rapidash.geometry import Graph
from rapidash.ops import Backend, Interpolation, orbit_table_conv, table_conv
from tests.ops._support import leaf, random_graph


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_by_hand(backend: Backend) -> None:
    """One edge, three orientations: the first and the last with the first table, the other one with the second."""
    graph = Graph.from_edge_index(torch.tensor([[0], [1]]), 1, 2)
    tables = torch.tensor([[0.0, 2.0], [10.0, 30.0]])[:, :, None]
    coords = torch.tensor([0.5, 0.25, 1.0]).reshape(1, 3, 1)
    x = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    out = orbit_table_conv(x, tables, coords, graph, torch.tensor([0, 1, 0]), backend=backend)
    assert out.flatten().tolist() == [0, 0, 0, 1 * 1.0, 2 * 15.0, 3 * 2.0]


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("backend", ["auto", "numba"])
def test_agrees_with_the_definition(backend: Backend, axes: int, interpolation: Interpolation) -> None:
    """Values and every gradient, with orbits of several sizes out of order, and an isolated point."""
    torch.manual_seed(0)
    graph, sizes = random_graph(7, 5, 11), (9, 8)[:axes]
    x, tables, weight = leaf(7, 4, 3), leaf(3, *sizes, 3), leaf(11)
    last = torch.tensor([size - (3 if interpolation == "bspline" else 1) for size in sizes]).double()
    coords = (torch.rand(11, 4, axes, dtype=torch.float64) * last).requires_grad_()
    orbits, outputs, gradients = torch.tensor([2, 0, 2, 1]), [], []
    for chosen in (backend, "reference"):
        out = orbit_table_conv(
            x, tables, coords, graph, orbits, interpolation=interpolation, edge_weight=weight, backend=chosen
        )
        outputs.append(out)
        gradients.append(torch.autograd.grad((out * out.detach().cos()).sum(), [x, tables, coords, weight]))
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-12, rtol=0)
    for own, definition in zip(*gradients):
        torch.testing.assert_close(own, definition, atol=1e-11, rtol=0)


def test_one_orbit_is_the_plain_convolution() -> None:
    graph, x, table = random_graph(4, 4, 6), leaf(4, 2, 3), leaf(5, 3)
    coords = 4 * torch.rand(6, 2, 1, dtype=torch.float64)
    expected = table_conv(x, table, coords, graph)
    assert torch.equal(orbit_table_conv(x, table[None], coords, graph, torch.zeros(2, dtype=torch.long)), expected)


def test_orbits_that_do_not_fit_are_refused() -> None:
    graph, x, tables = random_graph(4, 4, 6), leaf(4, 2, 3), leaf(2, 5, 3)
    coords = torch.zeros(6, 2, 1, dtype=torch.float64)
    for orbits in (torch.tensor([0, 0]), torch.tensor([0, 2]), torch.tensor([0, 1, 1])):
        with pytest.raises(ValueError, match="one of the 2 tables for each of the 2 orientations"):
            orbit_table_conv(x, tables, coords, graph, orbits)
