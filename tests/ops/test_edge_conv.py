from functools import partial

import pytest
import torch
from torch import Tensor

from rapidash.geometry import Graph
from rapidash.ops import Backend, edge_conv
from tests.ops._support import CASES, TOLERANCE, Case, assert_parity, leaf, random_graph

Problem = tuple[Tensor, Tensor, Graph]


def problem(case: Case, dtype: torch.dtype = torch.float64) -> Problem:
    sources, targets, edges, orientations, channels = case
    graph = random_graph(sources, targets, edges)
    return leaf(sources, orientations, channels, dtype=dtype), leaf(edges, orientations, channels, dtype=dtype), graph


def run(graph: Graph, backend: Backend, x: Tensor, kernel: Tensor, edge_weight: Tensor | None) -> Tensor:
    return edge_conv(x, kernel, graph, edge_weight=edge_weight, backend=backend)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_by_hand(backend: Backend) -> None:
    """Points 0 and 1 send to point 1; point 0 and 2 receive nothing."""
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 1]]), 2, 3)
    x, kernel = torch.tensor([[[1.0]], [[2.0]]]), torch.tensor([[[10.0]], [[100.0]]])
    assert edge_conv(x, kernel, graph, backend=backend).flatten().tolist() == [0.0, 210.0, 0.0]
    weight = torch.tensor([2.0, 0.5])
    assert edge_conv(x, kernel, graph, edge_weight=weight, backend=backend).flatten().tolist() == [0.0, 120.0, 0.0]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_numba_agrees_with_the_definition(case: Case, dtype: torch.dtype, weighted: bool) -> None:
    x, kernel, graph = problem(case, dtype)
    weight = leaf(case[2], dtype=dtype) if weighted else None
    assert_parity(partial(run, graph, "numba"), partial(run, graph, "reference"), [x, kernel, weight], TOLERANCE[dtype])


@pytest.mark.usefixtures("two_threads")
def test_two_threads_agree_with_the_definition() -> None:
    x, kernel, graph = problem(CASES[-1])
    inputs = [x, kernel, leaf(CASES[-1][2])]
    assert_parity(partial(run, graph, "numba"), partial(run, graph, "reference"), inputs, 1e-12)


def test_the_parity_check_rejects_another_kernel() -> None:
    x, kernel, graph = problem(CASES[0])
    wrong = partial(lambda x, kernel: edge_conv(x, kernel * (1 + 1e-9), graph, backend="numba"))
    with pytest.raises(AssertionError, match="value"):
        assert_parity(wrong, lambda x, kernel: edge_conv(x, kernel, graph, backend="reference"), [x, kernel], 1e-12)


def test_gradients_of_first_and_second_order() -> None:
    x, kernel, graph = problem((3, 2, 4, 2, 2))
    inputs = x, kernel, leaf(4)
    assert torch.autograd.gradcheck(partial(run, graph, "numba"), inputs)
    assert torch.autograd.gradgradcheck(partial(run, graph, "numba"), inputs)


def test_second_derivatives_by_hand() -> None:
    """One edge: out = w k x with w = 2, k = 3, x = 5, and g = 7 for its gradient.

    The gradients of x, k and w are g w k = 42, g w x = 70 and g k x = 105. Their sum with the factors 1, 10 and 100 is
    11242; by g it is that over g, by x it is g (10 w + 100 k), by k it is g (w + 100 x), and by w it is g (k + 10 x).
    """
    graph = Graph.from_edge_index(torch.tensor([[0], [0]]), 1, 1)
    x, kernel, weight, grad = (
        torch.full(shape, value, dtype=torch.float64, requires_grad=True)
        for shape, value in (((1, 1, 1), 5.0), ((1, 1, 1), 3.0), ((1,), 2.0), ((1, 1, 1), 7.0))
    )
    out = edge_conv(x, kernel, graph, edge_weight=weight, backend="numba")
    first = torch.autograd.grad(out, (x, kernel, weight), grad, create_graph=True)
    assert [value.item() for value in first] == [42, 70, 105]
    total = sum(factor * value.sum() for factor, value in zip((1, 10, 100), first, strict=True))
    second = torch.autograd.grad(total, (grad, x, kernel, weight))
    assert [value.item() for value in second] == [11242 / 7, 7 * 320, 7 * 502, 7 * 53]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_second_derivatives_agree_with_the_definition(case: Case, dtype: torch.dtype, weighted: bool) -> None:
    x, kernel, graph = problem(case, dtype)
    inputs = [x, kernel, *([leaf(case[2], dtype=dtype)] if weighted else [])]
    grad = leaf(case[1], *x.shape[1:], dtype=dtype)
    factors = [torch.randn_like(t) for t in inputs]

    def second(backend: Backend) -> list[Tensor]:
        out = edge_conv(x, kernel, graph, edge_weight=inputs[2] if weighted else None, backend=backend)
        first = torch.autograd.grad(out, inputs, grad, create_graph=True)
        total = sum((factor * value).sum() for factor, value in zip(factors, first, strict=True))
        return list(torch.autograd.grad(total, [grad, *inputs]))

    for got, expected in zip(second("numba"), second("reference"), strict=True):
        scale = max(1.0, float(expected.abs().max()) if expected.numel() else 1.0)
        torch.testing.assert_close(got, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


def test_third_derivatives_are_those_of_the_definition() -> None:
    x, kernel, graph = problem((3, 2, 4, 2, 2))
    weight = leaf(4)

    def third(backend: Backend) -> tuple[Tensor, ...]:
        out = edge_conv(x, kernel, graph, edge_weight=weight, backend=backend)
        (slope,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), kernel, create_graph=True)
        return torch.autograd.grad(second.square().sum(), (x, kernel, weight))

    torch.testing.assert_close(third("numba"), third("reference"))


@pytest.mark.usefixtures("two_threads")
def test_two_runs_give_the_same_bits() -> None:
    x, kernel, graph = problem(CASES[-1])
    weight = leaf(CASES[-1][2])
    runs = []
    for _ in range(2):
        out = run(graph, "numba", x, kernel, weight)
        runs.append([out, *torch.autograd.grad(out.square().sum(), [x, kernel, weight])])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_half_precision_accumulates_in_float32() -> None:
    graph = Graph.from_edge_index(torch.stack([torch.zeros(4096).long(), torch.zeros(4096).long()]), 1, 1)
    x, kernel = torch.ones(1, 1, 1, dtype=torch.bfloat16), torch.ones(4096, 1, 1, dtype=torch.bfloat16)
    out = edge_conv(x, kernel, graph)  # a sum of 4096 ones made in bfloat16 stops at 256
    assert out.dtype == torch.bfloat16
    assert out.item() == 4096


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # torch.func.jvp itself
def test_torch_func_uses_the_definition() -> None:
    x, kernel, graph = problem(CASES[0])
    f = partial(edge_conv, kernel=kernel.detach(), graph=graph)
    tangent = torch.randn_like(x)
    value, slope = torch.func.jvp(f, (x.detach(),), (tangent,))
    torch.testing.assert_close(value, f(x.detach()))
    torch.testing.assert_close(slope, f(tangent))
    batch = torch.randn(3, *x.shape, dtype=x.dtype)
    torch.testing.assert_close(torch.func.vmap(f)(batch), torch.stack([f(item) for item in batch]))
    with pytest.raises(RuntimeError, match=r"torch\.func"):
        torch.func.vmap(partial(f, backend="numba"))(batch)


@pytest.mark.parametrize("weighted", [False, True])
def test_opcheck(weighted: bool) -> None:
    x, kernel, graph = problem(CASES[0])
    arguments = (x, kernel, graph.source, graph.target, graph.row_ptr, None, None, leaf(13) if weighted else None)
    found = torch.library.opcheck(torch.ops.rapidash.edge_conv_numba.default, arguments)
    assert set(found.values()) == {"SUCCESS"}


class Layer(torch.nn.Module):
    def forward(self, x: Tensor, kernel: Tensor, source: Tensor, target: Tensor, row_ptr: Tensor) -> Tensor:
        graph = Graph(source, target, row_ptr, x.shape[0], row_ptr.shape[0] - 1)
        return 2 * edge_conv(torch.sin(x), kernel, graph)


@pytest.mark.usefixtures("unwrapped")
def test_compiles_and_exports() -> None:
    x, kernel, graph = problem(CASES[0], torch.float32)
    inputs = (x, kernel, graph.source, graph.target, graph.row_ptr)
    layer = Layer()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_parity(
        lambda x, kernel: compiled(x, kernel, *inputs[2:]),
        lambda x, kernel: layer(x, kernel, *inputs[2:]),
        [x, kernel],
        0,
    )
    exported = torch.export.export(layer, tuple(t.detach() for t in inputs))
    assert "edge_conv_numba" in str(exported.graph)
    torch.testing.assert_close(exported.module()(*inputs), layer(*inputs))


def test_errors_say_what_to_do() -> None:
    x, kernel, graph = problem(CASES[0])
    with pytest.raises(ValueError, match="unknown backend 'cuda'"):
        edge_conv(x, kernel, graph, backend="cuda")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"x must be \(S, O, C\) with S = 5"):
        edge_conv(x[:3], kernel, graph)
    with pytest.raises(ValueError, match=r"kernel must be \(E, O, C\)"):
        edge_conv(x, kernel[:, :, :2], graph)
    with pytest.raises(ValueError, match="edge_weight must be"):
        edge_conv(x, kernel, graph, edge_weight=torch.ones(2))
    with pytest.raises(ValueError, match="kernel must be floating point"):
        edge_conv(x, kernel.long(), graph)
    with pytest.raises(RuntimeError, match="one dtype"):
        edge_conv(x, kernel.float(), graph, backend="numba")
