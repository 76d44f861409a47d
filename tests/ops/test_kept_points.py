"""Coordinates that stay as they are: their points are sorted once, and every result has the same bits as without."""

import gc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from rapidash.geometry import Graph
from rapidash.models import Rapidash
from rapidash.ops import Interpolation, keep_points, table_conv
from rapidash.ops.table_conv import _kept, _sorted, numba
from tests.ops._support import leaf, random_graph


@pytest.fixture(autouse=True)
def _few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sorted, "SMALLEST_KEPT", 1)


@pytest.fixture
def sorts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of points of every sort of all points."""
    seen: list[int] = []
    sort = _sorted.sort_points

    def counted(*arguments: object) -> None:
        seen.append(len(arguments[-1][0]))  # type: ignore[index]
        sort(*arguments)

    monkeypatch.setattr(_sorted, "sort_points", counted)
    return seen


def inputs(axes: int, edges: int = 40, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Graph]:
    torch.manual_seed(seed)
    graph = random_graph(9, 7, edges)
    sizes = (9,) if axes == 1 else (7, 5)
    coords = torch.rand(edges, 3, axes) * torch.tensor([size - 1.0 for size in sizes])
    return leaf(9, 3, 20, dtype=torch.float32), leaf(*sizes, 20, dtype=torch.float32), coords, graph


def results(
    x: Tensor, table: Tensor, coords: Tensor, graph: Graph, weight: Tensor | None, interpolation: Interpolation
) -> list[Tensor]:
    """The output and all gradients."""
    out = table_conv(x, table, coords, graph, edge_weight=weight, interpolation=interpolation, backend="numba")
    given = [tensor for tensor in (x, table, coords, weight) if tensor is not None and tensor.requires_grad]
    return [out, *torch.autograd.grad(out.square().sum(), given)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len(found) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("in_chunks", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("axes", [1, 2])
def test_results_have_the_same_bits(
    axes: int,
    interpolation: Interpolation,
    weighted: bool,
    in_chunks: bool,
    monkeypatch: pytest.MonkeyPatch,
    sorts: list[int],
) -> None:
    """All targets at once or each by itself; with gradients of coordinates and factors."""
    if in_chunks:
        monkeypatch.setattr(numba, "_chunk_bounds", lambda row_ptr: np.arange(len(row_ptr)))
    x, table, coords, graph = inputs(axes)
    weight = leaf(40, dtype=torch.float32) if weighted else None
    coords.requires_grad_()
    expected = results(x, table, coords, graph, weight, interpolation)
    assert not sorts
    kept = coords.detach().clone().requires_grad_()
    keep_points(kept)
    assert_same(results(x, table, kept, graph, weight, interpolation), expected)
    assert_same(results(x, table, kept, graph, weight, interpolation), expected)
    assert sorts == [40 * 3]


@pytest.mark.usefixtures("two_threads")
def test_two_threads_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba, "SERIAL_BELOW", 0)
    x, table, coords, graph = inputs(2)
    expected = results(x, table, coords, graph, None, "linear")
    keep_points(coords)
    assert_same(results(x, table, coords, graph, None, "linear"), expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda x, table, coords, graph, weight: (x, table, coords, inputs(2, seed=1)[3], weight),
        lambda x, table, coords, graph, weight: (x, table, coords, graph, 2 * weight),
        lambda x, table, coords, graph, weight: (x, table, coords, graph, None),
        lambda x, table, coords, graph, weight: (x, leaf(9, 6, 20, dtype=torch.float32), coords, graph, weight),
        lambda x, table, coords, graph, weight: (x.double(), table.double(), coords, graph, weight.double()),
    ],
    ids=["edges", "factors", "no factors", "nodes", "dtype"],
)
def test_what_is_kept_is_of_these_edges_factors_and_nodes(change: Callable[..., tuple[Tensor, ...]]) -> None:
    x, table, coords, graph = inputs(2)
    given = x, table, coords, graph, torch.rand(40)
    keep_points(coords)
    first = table_conv(*given[:4], edge_weight=given[4])
    other = change(*given)
    plain = other[0], other[1], coords.clone(), other[3]
    assert torch.equal(table_conv(*other[:4], edge_weight=other[4]), table_conv(*plain, edge_weight=other[4]))
    assert torch.equal(table_conv(*given[:4], edge_weight=given[4]), first)


def test_weights_of_the_first_and_the_latest_factors_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window of all layers, and one component of offsets after the other."""
    weighed: list[float] = []
    weigh = _sorted.weigh_points

    def counted(*arguments: object) -> None:
        weighed.append(float(arguments[4][4][0]))  # type: ignore[index]
        weigh(*arguments)

    monkeypatch.setattr(_sorted, "weigh_points", counted)
    x, table, coords, graph = inputs(2)
    keep_points(coords)
    factors = {value: torch.full((40,), value) for value in (1.0, 2.0, 3.0)}
    for value in (1.0, 1.0, 2.0, 2.0, 1.0, 3.0, 1.0, 3.0, 2.0):
        table_conv(x, table, coords, graph, edge_weight=factors[value])
    assert weighed == [1.0, 2.0, 3.0, 2.0]


def test_coordinates_outside_are_told_in_every_call() -> None:
    x, table, coords, graph = inputs(2)
    coords[3, 1, 0] = 6.5
    keep_points(coords)
    for _ in range(2):
        with pytest.raises(ValueError, match="coords must lie in"):
            table_conv(x, table, coords, graph)


@pytest.mark.parametrize("written", ["coords", "factors", "sources"])
def test_points_are_sorted_anew_after_a_change(written: str) -> None:
    x, table, coords, graph = inputs(2)
    weight = torch.rand(40)
    keep_points(coords)
    table_conv(x, table, coords, graph, edge_weight=weight)
    with torch.no_grad():
        {"coords": coords, "factors": weight, "sources": graph.source}[written].copy_(
            {"coords": coords / 2, "factors": 2 * weight, "sources": graph.source.flip(0)}[written]
        )
    plain = table_conv(x, table, coords.clone(), graph, edge_weight=weight)
    assert torch.equal(table_conv(x, table, coords, graph, edge_weight=weight), plain)


def test_coordinates_that_leave_the_table_later_are_told() -> None:
    x, table, coords, graph = inputs(2)
    keep_points(coords)
    table_conv(x, table, coords, graph)
    coords[3, 1, 0] = 6.5
    with pytest.raises(ValueError, match="coords must lie in"):
        table_conv(x, table, coords, graph)


def test_points_of_a_larger_table_are_told_that_leave_a_smaller_one() -> None:
    x, table, coords, graph = inputs(2)
    coords[3, 1, 0] = 6.5
    keep_points(coords)
    table_conv(x, leaf(9, 6, 20, dtype=torch.float32), coords, graph)
    with pytest.raises(ValueError, match="coords must lie in"):
        table_conv(x, table, coords, graph)


def test_edges_in_the_same_memory_may_be_others() -> None:
    """Every number of a buffer, or every second."""
    x, table, coords, graph = inputs(2)
    buffer = torch.randint(0, 9, (80,))
    keep_points(coords)
    for source in (buffer[:40], buffer[::2]):
        edges = Graph(source, graph.target, graph.row_ptr, 9, 7)
        assert torch.equal(table_conv(x, table, coords, edges), table_conv(x, table, coords.clone(), edges))


def test_factors_made_of_the_coordinates_do_not_keep_them_for_ever() -> None:
    x, table, coords, graph = inputs(2)
    gc.collect()
    before = len(_kept._points)
    coords.requires_grad_()
    keep_points(coords)
    factors = coords[:, 0, 0].square()  # whose graph holds the coordinates
    table_conv(x, table, coords, graph, edge_weight=factors)
    assert len(_kept._points) == before + 1
    del coords, factors
    gc.collect()
    assert len(_kept._points) == before


@pytest.mark.usefixtures("unwrapped")
def test_a_compiled_graph_may_keep_points(sorts: list[int]) -> None:
    """It keeps none, and has no break."""
    x, table, coords, graph = inputs(2)

    def convolve(x: Tensor, coords: Tensor) -> Tensor:
        moved = coords / 2
        keep_points(moved)
        return table_conv(x, table, moved, graph)

    compiled = torch.compile(convolve, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x, coords), table_conv(x, table, coords / 2, graph))
    assert not sorts


def test_nothing_is_kept_of_few_or_many_points_or_of_coordinates_that_are_gone(
    monkeypatch: pytest.MonkeyPatch, sorts: list[int]
) -> None:
    x, table, coords, graph = inputs(2)
    keep_points(coords)
    for limit, size in (("LARGEST_KEPT", 119), ("SMALLEST_KEPT", 121)):
        with monkeypatch.context() as patch:
            patch.setattr(_sorted, limit, size)
            table_conv(x, table, coords, graph)
    assert not sorts
    monkeypatch.setattr(_sorted, "LARGEST_KEPT", 120)
    monkeypatch.setattr(_sorted, "SMALLEST_KEPT", 120)
    table_conv(x, table, coords, graph)
    assert sorts == [120]
    gc.collect()
    before = len(_kept._points)
    del coords
    gc.collect()
    assert len(_kept._points) == before - 1


def test_a_network_sorts_its_points_once_in_a_step(sorts: list[int]) -> None:
    """Forward and backward passes of all layers, and each of two inferences."""
    torch.manual_seed(0)
    network = Rapidash(in_scalars=2, channels=16, num_layers=3, num_orientations=4, edges="knn-3")
    pos, batch, scalars = torch.randn(10, 3), torch.zeros(10, dtype=torch.long), torch.randn(10, 2)
    network.calibrate(pos, batch, scalars=scalars)
    del sorts[:]
    network(pos, batch, scalars=scalars).scalars.sum().backward()
    assert sorts == [10 * 3 * 4]
    for _ in range(2):
        with torch.inference_mode():
            network(pos, batch, scalars=scalars)
    assert sorts == 3 * [10 * 3 * 4]
