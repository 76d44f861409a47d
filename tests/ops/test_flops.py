"""The operations of this package's kernels, counted by hand and by torch's count of the definitions' products."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rapidash.geometry import Graph
from rapidash.ops import channel_mlp, edge_conv, flop_formulas, spherical_conv, table_conv

pytest.importorskip("numba")


def graph() -> Graph:
    return Graph.from_edge_index(torch.tensor([[0, 1, 2, 3, 0], [0, 0, 1, 1, 2]]), num_sources=4, num_targets=3)


def random(*shape: int) -> Tensor:
    return torch.rand(shape, requires_grad=True)


def counted(run: Callable[[], Tensor]) -> tuple[int, int]:
    """Operations forward, and backward."""
    with FlopCounterMode(display=False, custom_mapping=flop_formulas()) as forward:
        out = run()
    with FlopCounterMode(display=False, custom_mapping=flop_formulas()) as backward:
        out.sum().backward()
    return forward.get_total_flops(), backward.get_total_flops()


def test_edges_by_hand() -> None:
    """5 edges, 2 orientations, 3 channels: 30 products that are added, and as many for each gradient."""
    x, kernel = random(4, 2, 3), random(5, 2, 3)
    assert counted(lambda: edge_conv(x, kernel, graph(), backend="numba")) == (60, 120)
    fixed = kernel.detach()
    assert counted(lambda: edge_conv(x, fixed, graph(), backend="numba")) == (60, 60)


@pytest.mark.parametrize(
    ("interpolation", "axes", "nodes"), [("linear", 1, 2), ("linear", 2, 4), ("cubic", 1, 4), ("cubic", 2, 16)]
)
def test_tables_by_hand(interpolation: str, axes: int, nodes: int) -> None:
    """30 values of the kernel, from 2 or 4 nodes on each axis, each a product of features too."""
    x, table = random(4, 2, 3), torch.rand([4] * axes + [3])
    coords = torch.rand(5, 2, axes)

    def run() -> Tensor:
        return table_conv(x, coefficients, coords, graph(), interpolation=kind, backend="numba")

    kind, coefficients = interpolation, table.requires_grad_()
    if interpolation == "cubic":  # with the coefficients at hand: making them is a product of its own
        from rapidash.ops import spline_coefficients

        kind, coefficients = "bspline", spline_coefficients(table.detach()).requires_grad_()
    assert counted(run) == (60 * (nodes + 1), 60 * (2 * nodes + 2))
    coords.requires_grad_()
    assert counted(run) == (60 * (nodes + 1), 60 * (2 * nodes + 2 + axes * nodes))


def test_orientations_are_counted_as_torch_counts_the_definition() -> None:
    x, kernel = random(7, 2, 3), random(5, 2, 3)
    found = counted(lambda: spherical_conv(x, kernel, backend="numba"))
    assert found == counted(lambda: spherical_conv(x, kernel, backend="reference")) == (2 * 7 * 5 * 2 * 3, 840)


def test_channels_are_counted_as_torch_counts_the_definition() -> None:
    x, residual = random(7, 3), random(7, 2)
    parameters = random(3), random(3), random(5, 3), random(5), random(2, 5), random(2), random(2)
    found = counted(lambda: channel_mlp(x, residual, *parameters))
    assert found == counted(lambda: channel_mlp(x, residual, *parameters, backend="reference"))
    assert found == (2 * 7 * (15 + 10), 2 * 2 * 7 * (15 + 10))
    again = counted(lambda: channel_mlp(x, residual, *parameters, recompute=True))
    assert again == (found[0], found[1] + 2 * 7 * 15)  # the first product once more
