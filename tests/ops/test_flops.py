"""The operations of this package's kernels, counted by hand and by torch's count of the definitions' products."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from rapidash.geometry import Graph
from rapidash.ops import (
    channel_mlp,
    counted_flops,
    edge_conv,
    flop_formulas,
    spherical_conv,
    table_conv,
    uncounted_operations,
)

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


def test_second_derivatives_by_hand() -> None:
    """30 products of an edge, 2 for each: of both gradients, then 4 for the gradients of these. Of an MLP with maps of
    3 x 5 and 5 x 2 on 4 points: two products for the gradient of x, then eight (five of the first map) for those of it.
    """
    x, kernel = random(4, 2, 3), random(5, 2, 3)
    out = edge_conv(x, kernel, graph(), backend="numba")
    with counted_flops() as first:
        grads = torch.autograd.grad(out.square().sum(), (x, kernel), create_graph=True)
    with counted_flops() as second:
        torch.autograd.grad([g.square().sum() for g in grads], (x, kernel))
    assert (first.total, first.missed) == (120, set())
    assert (second.total, second.missed) == (240 + 120, set())  # and back through the output, of which the square was

    rows, maps = random(4, 3), (random(3), random(3), random(5, 3), random(5), random(2, 5), random(2))
    with counted_flops() as first:
        (slope,) = torch.autograd.grad(channel_mlp(rows, None, *maps).sum(), rows, create_graph=True)
    with counted_flops() as second:
        torch.autograd.grad(slope.square().sum(), rows)
    assert (first.total, first.missed) == (2 * 4 * 25 + 2 * 4 * 25, set())
    assert (second.total, second.missed) == (2 * 4 * (5 * 15 + 3 * 10), set())


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


def edges(backend: str) -> Callable[[Tensor], Tensor]:
    kernel = torch.rand(5, 2, 3)
    return lambda x: edge_conv(x, kernel, graph(), backend=backend)


def tables(backend: str) -> Callable[[Tensor], Tensor]:
    table, coords = torch.rand(4, 3), torch.rand(5, 2, 1)
    return lambda x: table_conv(x, table, coords, graph(), interpolation="linear", backend=backend)


@pytest.mark.parametrize("make", [edges, tables])
def test_convolutions_that_are_not_counted_are_noted(make: Callable[[str], Callable[[Tensor], Tensor]]) -> None:
    """The kernels are counted; definitions and forward mode are not."""
    x, tangent = random(4, 2, 3), torch.rand(4, 2, 3)
    with uncounted_operations() as missed:
        make("numba")(x).sum().backward()
    assert missed == set()
    with uncounted_operations() as missed:
        (slope,) = torch.autograd.grad(make("numba")(x).square().sum(), x, create_graph=True)
    assert missed == (set() if make is edges else {"edge_conv"})  # a table is that of a kernel which is interpolated
    with uncounted_operations() as missed:
        torch.autograd.grad(slope.pow(3).sum(), x, create_graph=True)
    assert missed == {"edge_conv"}
    with uncounted_operations() as missed:
        make("reference")(x)
    assert missed == {"edge_conv"}
    with uncounted_operations() as missed, forward_ad.dual_level():
        make("numba")(forward_ad.make_dual(x.detach(), tangent))
    assert missed == {"edge_conv" if make is edges else "table_conv"}
    with uncounted_operations() as missed:
        pass
    make("reference")(x)
    assert missed == set()  # only what runs inside


def test_channels_in_forward_mode_and_with_a_graph_count_what_runs() -> None:
    """Products of 15 and 10 weights at 7 points: twice with a tangent; forward again and backward with a graph."""
    x, parameters = random(7, 3), (random(3), random(3), random(5, 3), random(5), random(2, 5), random(2), random(2))
    fixed = [parameter.detach() for parameter in parameters]
    with FlopCounterMode(display=False, custom_mapping=flop_formulas()) as counter, forward_ad.dual_level():
        channel_mlp(forward_ad.make_dual(x.detach(), torch.ones_like(x)), None, *fixed)
    assert counter.get_total_flops() == 2 * (2 * 7 * 25)
    out = channel_mlp(x, None, *parameters)
    with FlopCounterMode(display=False, custom_mapping=flop_formulas()) as counter:
        torch.autograd.grad(out.square().sum(), [x, *parameters], create_graph=True)
    assert counter.get_total_flops() == 3 * (2 * 7 * 25)


def attend(length: int, requires_grad: bool) -> Tensor:
    """Attention of 2 clouds and 4 heads between points with 8 channels."""
    query = torch.rand(2, 4, length, 8, requires_grad=requires_grad)
    return torch.nn.functional.scaled_dot_product_attention(query, query, query)


@pytest.mark.parametrize(
    ("run", "flops"),
    [
        (lambda: torch.rand(5, 7) @ torch.rand(7), 2 * 5 * 7),
        (lambda: torch.rand(7) @ torch.rand(7), 2 * 7),
        (lambda: torch.addmv(torch.rand(5), torch.rand(5, 7), torch.rand(7)), 2 * 5 * 7),
        (lambda: torch.rand(2, 3, 5).baddbmm_(torch.rand(2, 3, 4), torch.rand(2, 4, 5)), 2 * 2 * 3 * 4 * 5),
        (lambda: torch.addbmm(torch.rand(3, 5), torch.rand(2, 3, 4), torch.rand(2, 4, 5)), 2 * 2 * 3 * 4 * 5),
        (lambda: torch.cdist(torch.rand(2, 30, 3), torch.rand(2, 40, 3)), 2 * 2 * 30 * 40 * 3),
        (lambda: torch.cdist(torch.rand(5, 3), torch.rand(4, 3)), 2 * 5 * 4 * 3),
        (lambda: attend(6, requires_grad=False), 2 * (2 * 2 * 4 * 6 * 6 * 8)),
        (lambda: attend(6, requires_grad=True).sum().backward(), (2 + 5) * (2 * 2 * 4 * 6 * 6 * 8)),  # scores once more
    ],
)
def test_products_of_torch_that_it_does_not_count(run: Callable[[], object], flops: int) -> None:
    with counted_flops() as count:
        run()
    assert (count.total, count.missed) == (flops, set())


@torch.library.custom_op("rapidash_test_flops::unknown", mutates_args=())
def unknown(x: Tensor) -> Tensor:
    return x.clone()


@pytest.mark.parametrize(
    ("run", "named"),
    [
        (lambda: unknown(torch.rand(2)), "rapidash_test_flops.unknown"),
        (lambda: torch.nn.LSTM(3, 2)(torch.rand(4, 1, 3)), "aten.mkldnn_rnn_layer"),
        (lambda: torch.nn.functional.bilinear(*torch.rand(2, 4, 3), torch.rand(5, 3, 3)), "aten._trilinear"),
        (lambda: torch.fft.rfft(torch.rand(8)), "aten._fft_r2c"),
        (lambda: torch.linalg.eigh(torch.eye(5)), "aten._linalg_eigh"),
    ],
)
def test_what_may_be_a_product_and_has_no_formula_is_named(run: Callable[[], object], named: str) -> None:
    with counted_flops() as count:
        run()
    assert count.missed == {named}


def test_axes_of_space_and_what_costs_a_number_per_feature_count_nothing() -> None:
    with counted_flops() as count:
        torch.linalg.eigh(torch.eye(3).expand(4, 3, 3))
        torch.linalg.inv(torch.eye(4))
        torch.nn.functional.layer_norm(torch.rand(4, 3), (3,)).softmax(dim=1).norm()
    assert (count.total, count.missed) == (0, set())
