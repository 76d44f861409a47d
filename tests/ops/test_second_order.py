"""Gradients with a graph are those without one, also where an op's inputs were computed from each other."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rapidash.models import Rapidash
from rapidash.ops import channel_mlp, edge_conv, table_conv
from rapidash.ops._second_order import partial_gradients
from tests.ops._support import leaf, random_graph

POINTS, EDGES, CHANNELS = 5, 12, 2


def two_edge_convs() -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The same factors of the edges in two layers: the second one's features depend on them."""
    graph, x, kernel = random_graph(POINTS, POINTS, EDGES), leaf(POINTS, 1, CHANNELS), leaf(EDGES, 1, CHANNELS)

    def layers(weight: Tensor) -> Tensor:
        hidden = edge_conv(x, kernel, graph, edge_weight=weight, backend="numba")
        return edge_conv(hidden, kernel, graph, edge_weight=weight, backend="numba")

    return layers, leaf(EDGES)


def two_table_convs() -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The same coordinates of the edges in two layers."""
    graph, x, table = random_graph(POINTS, POINTS, EDGES), leaf(POINTS, 1, CHANNELS), leaf(6, CHANNELS)

    def layers(coords: Tensor) -> Tensor:
        hidden = table_conv(x, table, coords, graph, interpolation="cubic", backend="numba")
        return table_conv(hidden, table, coords, graph, interpolation="cubic", backend="numba")

    return layers, (0.5 + 4 * torch.rand(EDGES, 1, 1, dtype=torch.float64)).requires_grad_()


def two_channel_mlps() -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The same norm in two layers."""
    x, bias = leaf(POINTS, 1, CHANNELS), leaf(CHANNELS)
    rest = leaf(4, CHANNELS), leaf(4), leaf(CHANNELS, 4), leaf(CHANNELS)

    def layers(weight: Tensor) -> Tensor:
        return channel_mlp(channel_mlp(x, x, weight, bias, *rest), None, weight, bias, *rest)

    return layers, leaf(CHANNELS)


@pytest.mark.parametrize("case", [two_edge_convs, two_table_convs, two_channel_mlps])
def test_an_input_that_an_earlier_layer_used_counts_once(
    case: Callable[[], tuple[Callable[[Tensor], Tensor], Tensor]],
) -> None:
    layers, shared = case()
    (plain,) = torch.autograd.grad(layers(shared).sum(), shared)
    (with_graph,) = torch.autograd.grad(layers(shared).sum(), shared, create_graph=True)
    torch.testing.assert_close(with_graph.detach(), plain)
    assert torch.autograd.gradcheck(layers, shared)
    assert torch.autograd.gradgradcheck(layers, shared)


@pytest.mark.parametrize("kernel", ["exact", "tabulated"])
@pytest.mark.parametrize("space", ["R3", "R3xS2"])
def test_forces_with_a_cutoff_are_the_same_with_and_without_a_graph(space: str, kernel: str) -> None:
    torch.manual_seed(0)
    model = Rapidash(
        space=space, grid="platonic", num_orientations=4, in_scalars=1, channels=8, num_layers=2, edges="radius-1.5",
        basis_dim=8, basis_hidden_dim=8, kernel=kernel, interpolation="cubic",
    ).double()  # fmt: skip
    pos, batch, ones = torch.randn(8, 3).double(), torch.zeros(8, dtype=torch.long), torch.ones(8, 1).double()
    model.calibrate(pos, batch, scalars=ones)
    pos.requires_grad_()

    def forces(create_graph: bool) -> Tensor:
        energy = model(pos, batch, scalars=ones).scalars.sum()
        return torch.autograd.grad(energy, pos, create_graph=create_graph)[0].detach()

    assert forces(False).abs().max() > 1e-3
    torch.testing.assert_close(forces(True), forces(False))


def test_partial_gradients_leave_out_what_needs_none() -> None:
    x, y = leaf(3), leaf(3)
    found = partial_gradients(lambda a, b, _: a * b, (x, y, None), (True, False, False), torch.ones(3).double())
    assert found[1:] == [None, None]
    assert found[0] is not None
    torch.testing.assert_close(found[0], y)
    assert partial_gradients(lambda a: a, (x,), (False,), x) == [None]
