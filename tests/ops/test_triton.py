"""The Triton kernels against the definition: on the GPU, or on the CPU in a process with Triton's interpreter."""

import os
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rapidash._compilers import HAS_TRITON
from rapidash.geometry import Graph
from rapidash.models import Rapidash
from rapidash.ops import Interpolation, edge_conv, interpolate_table, table_conv
from tests.ops._support import TOLERANCE, Case, assert_parity, leaf, random_graph

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
runs_kernels = pytest.mark.skipif(
    not (HAS_TRITON and (DEVICE == "cuda" or INTERPRETED)), reason="needs a CUDA device, or TRITON_INTERPRET=1"
)
CASES: list[Case] = [(5, 4, 9, 3, 5), (3, 2, 0, 2, 4), (0, 3, 0, 2, 4), (4, 0, 0, 2, 4), (2, 2, 3, 1, 300)]


@pytest.mark.skipif(not HAS_TRITON, reason="triton is not installed")
@pytest.mark.skipif(INTERPRETED or DEVICE == "cuda", reason="the kernels run in this process")
def test_kernels_in_the_interpreter() -> None:
    """Triton chooses its interpreter when it is imported: hence a process of its own."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    root = Path(__file__).parents[2]
    result = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed" in result.stdout


@pytest.mark.skipif(INTERPRETED or DEVICE == "cuda", reason="the kernels can run here")
def test_asked_for_by_name_they_run_or_raise() -> None:
    graph = random_graph(2, 2, 3)
    with pytest.raises(RuntimeError, match=r"edge_conv\(backend='triton'\) cannot run: .*[Tt]riton"):
        edge_conv(torch.ones(2, 1, 4), torch.ones(3, 1, 4), graph, backend="triton")


@pytest.mark.skipif(not HAS_TRITON or INTERPRETED, reason="needs Triton's compiler")
@pytest.mark.parametrize("features", ["*fp32", "*bf16"])
def test_kernels_compile_for_hopper(features: str) -> None:
    """What the interpreter lets pass, the compiler may not; it needs no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    flags = {"HAS_WEIGHT": True, "NEEDS_TABLE": True, "NEEDS_COORDS": True, "NEEDS_WEIGHT": True, "NEEDS_KERNEL": True}
    known = dict.fromkeys(("source", "target", "row_ptr", "order", "col_ptr"), "*i64")
    known |= dict.fromkeys(("coords", "grad_table", "dots"), "*fp32")
    known |= dict.fromkeys(("size", "size_0", "size_1", "orientations", "channels", "num_dots", "num_edges"), "i32")
    for op, sizes in (("edge_conv", {"BLOCK": 512}), ("table_conv", {"BLOCK": 256, "AXES": 2, "POINTS": 4})):
        module = import_module(f"rapidash.ops.{op}.triton")
        for kernel in (module._forward, module._backward):
            constants = {name: value for name, value in (flags | sizes).items() if name in kernel.arg_names}
            kinds = {n: "constexpr" if n in constants else known.get(n, features) for n in kernel.arg_names}
            target = GPUTarget("cuda", 90, 32)
            compiled = triton.compile(
                ASTSource(kernel, kinds, constants), target=target, options={"enable_fp_fusion": True}
            )
            assert "ld.global" in compiled.asm["ptx"]


def on_device(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if t is None else t.detach().to(DEVICE).requires_grad_() for t in tensors]


def graph_on_device(graph: Graph) -> Graph:
    edges = (t.to(DEVICE) for t in (graph.source, graph.target, graph.row_ptr))
    return Graph(*edges, graph.num_sources, graph.num_targets)


def edge_problem(case: Case, dtype: torch.dtype, *, weighted: bool) -> tuple[list[Tensor | None], Graph]:
    sources, targets, edges, orientations, channels = case
    graph = graph_on_device(random_graph(sources, targets, edges))
    x = leaf(sources, orientations, channels, dtype=dtype)
    kernel = leaf(edges, orientations, channels, dtype=dtype)
    return on_device(x, kernel, leaf(edges, dtype=dtype) if weighted else None), graph


@runs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_edge_conv_agrees_with_the_definition(case: Case, dtype: torch.dtype) -> None:
    inputs, graph = edge_problem(case, dtype, weighted=case[0] != 3)

    def run(backend: str, x: Tensor, kernel: Tensor, weight: Tensor | None) -> Tensor:
        return edge_conv(x, kernel, graph, edge_weight=weight, backend=backend)  # type: ignore[arg-type]

    assert_parity(partial(run, "triton"), partial(run, "reference"), inputs, TOLERANCE[dtype])


def table_problem(
    case: Case, axes: int, interpolation: Interpolation, dtype: torch.dtype, *, weighted: bool
) -> tuple[list[Tensor | None], Graph]:
    sources, targets, edges, orientations, channels = case
    graph = graph_on_device(random_graph(sources, targets, edges))
    sizes = {1: (9,), 2: (7, 5)}[axes]
    last = torch.tensor([size - (3 if interpolation == "bspline" else 1) for size in sizes])
    coords = torch.rand(edges, orientations, axes) * last  # in float32: half precision cannot tell nodes apart
    x, table = leaf(sources, orientations, channels, dtype=dtype), leaf(*sizes, channels, dtype=dtype)
    return on_device(x, table, coords, torch.rand(edges) if weighted else None), graph


@runs_kernels
@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[-1]], ids=str)
def test_table_conv_agrees_with_the_definition(case: Case, axes: int, interpolation: Interpolation) -> None:
    check_table_conv(case, axes, interpolation, torch.float32, weighted=case[0] == 5)


@runs_kernels
@pytest.mark.parametrize("case", CASES[2:4], ids=str)
def test_table_conv_without_sources_or_targets(case: Case) -> None:
    check_table_conv(case, 1, "linear", torch.float32, weighted=True)


@runs_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_table_conv_agrees_in_half_precision(dtype: torch.dtype) -> None:
    check_table_conv(CASES[0], 2, "linear", dtype, weighted=True)


def check_table_conv(
    case: Case, axes: int, interpolation: Interpolation, dtype: torch.dtype, *, weighted: bool
) -> None:
    inputs, graph = table_problem(case, axes, interpolation, dtype, weighted=weighted)

    def run(backend: str, x: Tensor, table: Tensor, coords: Tensor, weight: Tensor | None) -> Tensor:
        return table_conv(
            x,
            table,
            coords,
            graph,
            interpolation=interpolation,
            edge_weight=weight,
            backend=backend,  # type: ignore[arg-type]
        )

    assert_parity(partial(run, "triton"), partial(run, "reference"), inputs, 3 * TOLERANCE[dtype])


@runs_kernels
def test_the_parity_check_rejects_a_wrong_table() -> None:
    (x, table, coords, _), graph = table_problem(CASES[0], 2, "linear", torch.float32, weighted=False)
    wrong = lambda x, table, coords: table_conv(x, table.flip(0), coords, graph, backend="triton")  # noqa: E731
    right = lambda x, table, coords: table_conv(x, table, coords, graph, backend="reference")  # noqa: E731
    with pytest.raises(AssertionError, match="value"):
        assert_parity(wrong, right, [x, table, coords], 1e-4)


@runs_kernels
def test_second_derivatives_come_from_the_definition() -> None:
    (x, table, coords, _), graph = table_problem(CASES[0], 2, "bspline", torch.float32, weighted=False)
    assert x is not None
    assert coords is not None
    seconds = []
    for backend in ("triton", "reference"):
        out = table_conv(x, table, coords, graph, interpolation="bspline", backend=backend)  # type: ignore[arg-type]
        (force,) = torch.autograd.grad(out.square().sum(), coords, create_graph=True)
        seconds.append(torch.autograd.grad(force.square().sum(), x)[0])
    torch.testing.assert_close(*seconds, rtol=1e-3, atol=1e-3)


@runs_kernels
@pytest.mark.parametrize("bad", [-0.01, 6.01, float("nan")])
def test_coordinates_outside_the_table_give_nan(bad: float) -> None:
    (x, table, coords, _), graph = table_problem((5, 4, 9, 3, 4), 2, "linear", torch.float32, weighted=False)
    assert x is not None
    assert table is not None
    assert coords is not None
    wrong = coords.detach().clone()
    wrong[0, 1, 0] = bad
    out = table_conv(x, table, wrong, graph, backend="triton")
    assert out[graph.target[0], 1].isnan().all()
    assert out.isnan().sum() == 4
    assert interpolate_table(table, wrong).isnan().sum() == 4


@runs_kernels
@pytest.mark.parametrize("options", [{"kernel": "tabulated"}, {"kernel": "exact"}, {"symmetry": "SE(3)"}], ids=str)
def test_a_whole_network_runs_with_the_name_of_the_backend(options: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"in_scalars": 2, "channels": 4, "num_layers": 1, "num_orientations": 4}
    model = Rapidash(**settings, **options, basis_dim=6, basis_hidden_dim=5, table_size=8, backend="triton")
    pos, scalars = torch.randn(4, 3), torch.randn(4, 2)
    batch = torch.tensor([0, 0, 0, 1])

    def gradients(network: Rapidash) -> list[Tensor]:
        loss = network(pos.to(DEVICE), batch.to(DEVICE), scalars=scalars.to(DEVICE)).scalars.square().sum()
        return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]

    model = model.to(DEVICE)
    for got, want in zip(gradients(model), gradients(model.with_kernel(model.config.kernel, backend="reference"))):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4 * float(want.abs().max()))
