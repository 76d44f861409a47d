"""The GPU kernels against the definitions: on CUDA, and on the CPU in Triton's interpreter.

The interpreter must be chosen before triton is imported, so the last test runs this file again in a process of its own.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.geometry import farthest_point_sample, knn_edges, radius_edges
from rapidash.geometry._brute_force import nearest_brute, within_brute
from rapidash.geometry._sampling import farthest_points_reference
from rapidash.geometry._segments import Segments

if find_spec("triton") is None:
    pytest.skip("triton is not installed", allow_module_level=True)

INTERPRETS = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETS else "cpu"
needs_kernels = pytest.mark.skipif(DEVICE == "cpu" and not INTERPRETS, reason="neither CUDA nor TRITON_INTERPRET=1")

SIZES = [[1], [17], [3, 1, 20]]


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several tiles and programs for few points: the interpreter is slow."""
    if INTERPRETS:
        from rapidash.geometry import _neighbors_triton, _sampling_triton

        monkeypatch.setattr(_neighbors_triton, "POINTS_AT_ONCE", 16)
        monkeypatch.setattr(_neighbors_triton, "QUERIES_AT_ONCE", 8)
        monkeypatch.setattr(_sampling_triton, "POINTS_AT_ONCE", 16)


def clouds(sizes: list[int], dim: int = 3, *, on_lattice: bool = False) -> tuple[Tensor, Segments, Tensor]:
    batch = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)).to(DEVICE)
    pos = torch.randn(sum(sizes), dim, generator=seeded(0), dtype=torch.float64).to(DEVICE)
    return pos.round() if on_lattice else pos, Segments.from_batch(batch), batch


@needs_kernels
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("k", [1, 4, 19])
@pytest.mark.parametrize("on_lattice", [False, True], ids=["distinct", "tied"])
def test_nearest_agrees_with_the_definition(sizes: list[int], k: int, on_lattice: bool) -> None:
    from rapidash.geometry._neighbors_triton import nearest_by_triton

    points, segments, batch = clouds(sizes, dim=2 if on_lattice else 3, on_lattice=on_lattice)
    expected = nearest_brute(points, segments, points, batch, k)
    assert torch.equal(nearest_by_triton(points, segments, points, batch, k), expected)


@needs_kernels
def test_nearest_takes_queries_of_any_cloud_in_any_order() -> None:
    from rapidash.geometry._neighbors_triton import nearest_by_triton

    points, segments, _ = clouds([5, 20, 9])
    for num_queries in (0, 1, 21):
        queries = torch.randn(num_queries, 3, generator=seeded(1), dtype=torch.float64).to(DEVICE)
        wanted = torch.randint(3, (num_queries,), generator=seeded(2)).to(DEVICE)
        found = nearest_by_triton(points, segments, queries, wanted, 7)
        assert torch.equal(found, nearest_brute(points, segments, queries, wanted, 7))


@needs_kernels
@pytest.mark.slow
def test_nearest_agrees_for_the_largest_k() -> None:
    from rapidash.geometry._neighbors_triton import nearest_by_triton

    points, segments, batch = clouds([130, 2], on_lattice=True)
    found = nearest_by_triton(points, segments, points, batch, 128)
    assert torch.equal(found, nearest_brute(points, segments, points, batch, 128))


@needs_kernels
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("on_lattice", [False, True], ids=["distinct", "tied"])
def test_within_agrees_with_the_definition(sizes: list[int], on_lattice: bool) -> None:
    from rapidash.geometry._neighbors_triton import within_by_triton

    for dim, radius in ((2, 0.6), (3, 1.0), (3, 2.0**0.5), (3, 1e-15), (3, 1e5)):
        points, segments, batch = clouds(sizes, dim, on_lattice=on_lattice)
        found = within_by_triton(points, segments, batch, radius)
        assert torch.equal(found, within_brute(points, segments, batch, radius))


@needs_kernels
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("on_lattice", [False, True], ids=["distinct", "tied"])
def test_samples_agree_with_the_definition(sizes: list[int], on_lattice: bool) -> None:
    from rapidash.geometry._sampling_triton import farthest_points_triton

    points, segments, _ = clouds(sizes, dim=2 if on_lattice else 3, on_lattice=on_lattice)
    share = 1.0 if on_lattice else 0.6  # all of them: points at one place are taken in turn, none twice
    number = (segments.count * share).long().clamp(min=1)
    first = segments.start + segments.count // 2
    found = farthest_points_triton(points, segments, number, first)
    assert torch.equal(found, farthest_points_reference(points, segments, number, first))


@pytest.mark.gpu
@pytest.mark.parametrize("sizes", [[1, 5, 40], [2000, 3000], [20_000]], ids=str)
def test_cuda_gives_the_edges_of_the_cpu(sizes: list[int]) -> None:
    pos, _, batch = clouds(sizes)
    for dtype in (torch.float32, torch.float64):
        there = pos.to(dtype)
        here = there.cpu()
        found = knn_edges(there, batch, 16, clamp=True), radius_edges(there, batch, 0.2)
        expected = knn_edges(here, batch.cpu(), 16, clamp=True), radius_edges(here, batch.cpu(), 0.2)
        assert all(torch.equal(a.cpu(), b) for a, b in zip(found, expected))
        samples = farthest_point_sample(there, batch, 0.1)
        assert torch.equal(samples.cpu(), farthest_point_sample(here, batch.cpu(), 0.1))


@pytest.mark.skipif(INTERPRETS, reason="only the interpreter's stand-ins are there")
@pytest.mark.parametrize("dim", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_kernels_compile_for_a_gpu_without_fused_arithmetic(dim: int) -> None:
    """Needs no GPU. A fused multiply-add rounds once where the definition rounds twice."""
    from rapidash.geometry import _neighbors_triton, _sampling_triton

    tile = {"D": dim, "QUERIES": 16, "POINTS": 128}
    kernels = [
        (_neighbors_triton._nearest_kernel, {**tile, "K": 16}),
        (_neighbors_triton._nearest_kernel, {**tile, "K": 1, "k": 1, "num_points": 1, "num_queries": 1}),
        (_neighbors_triton._within_kernel, {**tile, "HAS_EDGES": False, "num_edges": 0}),
        (_neighbors_triton._within_kernel, {**tile, "HAS_EDGES": True}),
        (_sampling_triton._sample_kernel, {"D": dim, "POINTS": 1024}),
    ]
    for kernel, constants in kernels:
        assembly = compiled(kernel, constants, fuse=False)
        assert "mul" in assembly
        assert "fma.rn.f64" not in assembly
    assert "fma.rn.f64" in compiled(*kernels[0], fuse=True)


def compiled(kernel: Any, constants: dict[str, int], *, fuse: bool) -> str:
    """Assembly for the H100 and H200."""
    from triton import compile as triton_compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    floats, numbers = {"points", "queries", "gap", "limit"}, {"num_points", "num_queries", "num_edges", "k"}
    types = {name: "*fp64" if name in floats else "i32" if name in numbers else "*i64" for name in kernel.arg_names}
    source = ASTSource(kernel, types | dict.fromkeys(constants, "constexpr"), constants)
    target = GPUTarget("cuda", 90, 32)
    return triton_compile(source, target=target, options={"enable_fp_fusion": fuse}).asm["ptx"]


@pytest.mark.skipif(INTERPRETS or DEVICE == "cuda", reason="this is the run that it starts")
def test_the_kernels_agree_in_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(Path(__file__))]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout
