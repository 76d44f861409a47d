import math
from functools import partial
from typing import get_args

import pytest
import torch
from torch import Tensor

from rapidash.geometry import Graph
from rapidash.ops import Backend, Interpolation, interpolate_table, spline_coefficients, table_conv
from tests.ops._support import CASES, TOLERANCE, Case, assert_parity, leaf, random_graph

INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)
SIZES = {1: (9,), 2: (7, 5)}


def problem(
    case: Case, axes: int, interpolation: Interpolation = "linear", dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, Graph]:
    sources, targets, edges, orientations, channels = case
    graph = random_graph(sources, targets, edges)
    table = leaf(*SIZES[axes], channels, dtype=dtype)
    last = torch.tensor([size - (3 if interpolation == "bspline" else 1) for size in SIZES[axes]], dtype=dtype)
    coords = torch.rand(edges, orientations, axes, dtype=dtype) * last
    return leaf(sources, orientations, channels, dtype=dtype), table, coords.requires_grad_(), graph


def run(
    graph: Graph,
    interpolation: Interpolation,
    backend: Backend,
    x: Tensor,
    table: Tensor,
    coords: Tensor,
    weight: Tensor | None,
) -> Tensor:
    return table_conv(x, table, coords, graph, interpolation=interpolation, edge_weight=weight, backend=backend)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_by_hand(backend: Backend) -> None:
    """One edge 0 -> 1: 1/4 between nodes 1 and 2 on the first axis, 1/2 between nodes 0 and 1 on the second."""
    graph = Graph.from_edge_index(torch.tensor([[0], [1]]), 1, 2)
    table = torch.tensor([[0.0, 0.0], [1.0, 3.0], [5.0, 7.0]])[:, :, None]
    coords = torch.tensor([[[1.25, 0.5]]])
    out = table_conv(torch.full((1, 1, 1), 10.0), table, coords, graph, backend=backend)
    assert out.flatten().tolist() == [0.0, 10 * (0.75 * 2 + 0.25 * 6)]


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("axes", [1, 2])
def test_interpolation_is_exact_at_the_nodes(axes: int, interpolation: Interpolation) -> None:
    table = leaf(*SIZES[axes], 3)
    nodes = torch.cartesian_prod(*(torch.arange(size).double() for size in SIZES[axes])).reshape(*SIZES[axes], axes)
    torch.testing.assert_close(interpolate_table(table, nodes, interpolation), table, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("interpolation", "order"), [("linear", 2), ("cubic", 4)])
@pytest.mark.parametrize("axes", [1, 2])
def test_order_of_the_interpolation_up_to_the_boundary(axes: int, interpolation: Interpolation, order: int) -> None:
    def function(t: Tensor) -> Tensor:
        return torch.sin(3 * t[..., :1] + 0.3) * torch.cos(2 * t[..., -1:])

    points = torch.rand(4000, axes).double()
    points[:100] = torch.rand(100, 1).double() * 0.01  # near a corner of the table
    errors = []
    for size in (24, 48):
        grid = torch.cartesian_prod(*(axes * [torch.linspace(0, 1, size).double()])).reshape(*axes * [size], axes)
        errors.append(
            (interpolate_table(function(grid), points * (size - 1), interpolation) - function(points)).abs().max()
        )
    measured = math.log2(errors[0] / errors[1])
    assert abs(measured - order) < 0.35, measured


def test_cubic_reproduces_cubic_polynomials() -> None:
    """Not-a-knot ends: a natural spline, for one, fails this at the boundary."""
    u = torch.arange(6).double()
    table = torch.stack([u**3 - 2 * u, 1 - u**2], dim=-1)
    t = torch.linspace(0, 5, 41).double()
    expected = torch.stack([t**3 - 2 * t, 1 - t**2], dim=-1)
    torch.testing.assert_close(interpolate_table(table, t[:, None], "cubic"), expected, rtol=0, atol=1e-12)


def test_coefficients_commute_with_maps_of_channels() -> None:
    table, weight = leaf(7, 5, 3), leaf(3, 4)
    a, b = spline_coefficients(table) @ weight, spline_coefficients(table @ weight)
    torch.testing.assert_close(a, b)
    assert a.shape == (9, 7, 4)


def check_parity(
    case: Case, axes: int, interpolation: Interpolation, dtype: torch.dtype, *, weighted: bool, backend: Backend
) -> None:
    x, table, coords, graph = problem(case, axes, interpolation, dtype)
    inputs = [x, table, coords, leaf(case[2], dtype=dtype) if weighted else None]
    fast, definition = (partial(run, graph, interpolation, name) for name in (backend, "reference"))
    assert_parity(fast, definition, inputs, 5 * TOLERANCE[dtype])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_numba_agrees_with_the_definition(case: Case, axes: int, interpolation: Interpolation, weighted: bool) -> None:
    check_parity(case, axes, interpolation, torch.float64, weighted=weighted, backend="numba")


@pytest.mark.usefixtures("two_threads")
def test_two_threads_agree_with_the_definition() -> None:
    check_parity(CASES[-1], 2, "linear", torch.float32, weighted=True, backend="numba")


@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("case", CASES[-2:], ids=str)
def test_every_variant_agrees_with_the_definition(
    case: Case, axes: int, interpolation: Interpolation, dtype: torch.dtype
) -> None:
    check_parity(case, axes, interpolation, dtype, weighted=True, backend="numba")


def test_numba_agrees_when_targets_are_done_in_chunks() -> None:
    check_parity((50, 300, 20_000, 1, 40), 2, "linear", torch.float64, weighted=False, backend="numba")


def test_the_parity_check_rejects_a_wrong_table() -> None:
    x, table, coords, graph = problem(CASES[0], 2)
    wrong = lambda x, table, coords: run(graph, "linear", "numba", x, table.flip(0), coords, None)  # noqa: E731
    right = lambda x, table, coords: run(graph, "linear", "reference", x, table, coords, None)  # noqa: E731
    with pytest.raises(AssertionError, match="value"):
        assert_parity(wrong, right, [x, table, coords], 1e-11)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("axes", [1, 2])
def test_gradients_of_first_and_second_order(axes: int, interpolation: Interpolation) -> None:
    x, table, coords, graph = problem((3, 2, 4, 2, 2), axes)
    inputs = x, table, coords, leaf(4)
    assert torch.autograd.gradcheck(partial(run, graph, interpolation, "numba"), inputs)
    assert torch.autograd.gradgradcheck(partial(run, graph, interpolation, "numba"), inputs)


def test_at_the_last_node_and_within_rounding_of_it() -> None:
    graph = Graph.from_edge_index(torch.tensor([[0, 0, 0], [0, 1, 2]]), 1, 3)
    table = torch.arange(5.0).double()[:, None] * torch.ones(1, 2)
    coords = torch.tensor([4.0, 4.0005, -0.0005]).double().reshape(3, 1, 1).requires_grad_()
    for backend in ("reference", "numba"):
        out = table_conv(torch.ones(1, 1, 2).double(), table, coords, graph, backend=backend)
        torch.testing.assert_close(out[:, 0, 0], torch.tensor([4.0, 4.0, 0.0]).double())
        (grad,) = torch.autograd.grad(out.sum(), coords)
        assert grad.flatten().tolist() == [2.0, 0.0, 0.0]


@pytest.mark.parametrize("bad", [-0.01, 6.01, math.nan, math.inf])
@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_coordinates_outside_the_table_raise(backend: Backend, bad: float) -> None:
    x, table, coords, graph = problem(CASES[0], 2)
    coords = coords.detach().clone()
    coords[3, 1, 0] = bad
    with pytest.raises(ValueError, match="coords must lie in"):
        table_conv(x, table, coords, graph, backend=backend)
    values = interpolate_table(table, coords)
    assert values[3, 1].isnan().all()
    assert values.isnan().sum() == table.shape[-1]


@pytest.mark.usefixtures("two_threads")
def test_two_runs_give_the_same_bits() -> None:
    x, table, coords, graph = problem(CASES[-1], 2, dtype=torch.float32)
    runs = []
    for _ in range(2):
        out = table_conv(x, table, coords, graph)
        runs.append([out, *torch.autograd.grad(out.square().sum(), [x, table, coords])])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_half_precision_takes_coordinates_in_float32() -> None:
    x, table, coords, graph = problem(CASES[0], 2, dtype=torch.float32)
    expected = table_conv(x, table, coords, graph)
    out = table_conv(x.bfloat16(), table.bfloat16(), coords, graph)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(
        out.detach().float(), expected.detach(), rtol=0, atol=0.03 * float(expected.detach().abs().max())
    )


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # torch.func.jvp itself
def test_torch_func_uses_the_definition() -> None:
    x, table, coords, graph = problem(CASES[0], 2)
    x, table, coords = x.detach(), table.detach(), coords.detach()
    tangent = torch.randn_like(x)
    _, slope = torch.func.jvp(lambda x: table_conv(x, table, coords, graph), (x,), (tangent,))
    torch.testing.assert_close(slope, table_conv(tangent, table, coords, graph))


@pytest.mark.parametrize("weighted", [False, True])
def test_opcheck(weighted: bool) -> None:
    x, table, coords, graph = problem(CASES[0], 2)
    edges = graph.source, graph.target, graph.row_ptr
    found = torch.library.opcheck(
        torch.ops.rapidash.table_conv_numba.default,
        (x, table, coords, *edges, None, None, leaf(13) if weighted else None, "linear"),
    )
    assert set(found.values()) == {"SUCCESS"}


class Layer(torch.nn.Module):
    def forward(
        self, x: Tensor, table: Tensor, coords: Tensor, source: Tensor, target: Tensor, row_ptr: Tensor
    ) -> Tensor:
        graph = Graph(source, target, row_ptr, x.shape[0], row_ptr.shape[0] - 1)
        return 2 * table_conv(torch.sin(x), table, coords, graph, interpolation="cubic")


@pytest.mark.usefixtures("unwrapped")
def test_compiles_and_exports() -> None:
    x, table, coords, graph = problem(CASES[0], 2)
    edges = graph.source, graph.target, graph.row_ptr
    layer = Layer()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_parity(lambda *t: compiled(*t, *edges), lambda *t: layer(*t, *edges), [x, table, coords], 1e-6)
    exported = torch.export.export(layer, tuple(t.detach() for t in (x, table, coords, *edges)))
    assert "table_conv_numba" in str(exported.graph)
    torch.testing.assert_close(exported.module()(x, table, coords, *edges), layer(x, table, coords, *edges))
    with pytest.raises(ValueError, match="coords must lie in"):
        compiled(x, table, coords + 100, *edges)


def test_errors_say_what_to_do() -> None:
    x, table, coords, graph = problem(CASES[0], 2)
    with pytest.raises(ValueError, match="unknown interpolation 'nearest'"):
        table_conv(x, table, coords, graph, interpolation="nearest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown backend"):
        table_conv(x, table, coords, graph, backend="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"coords must be \(E, O, K\)"):
        table_conv(x, table, coords[:, :2], graph)
    with pytest.raises(ValueError, match="table must have 2 axes of nodes"):
        table_conv(x, table[0], coords, graph)
    with pytest.raises(ValueError, match="at least 4 nodes"):
        table_conv(x, table[:3], coords, graph, interpolation="cubic")
    with pytest.raises(ValueError, match="x must be"):
        table_conv(x[0], table, coords, graph)
    with pytest.raises(ValueError, match="edge_weight must be"):
        table_conv(x, table, coords, graph, edge_weight=torch.ones(3, 1))
    with pytest.raises(RuntimeError, match="one dtype"):
        table_conv(x, table.float(), coords, graph, backend="numba")
