"""Time and memory of a network against its definition, side by side in one process."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import TypeVar

import torch

from rapidash._plain import to_plain
from rapidash.bench._cases import CASES, Batch, BenchCase
from rapidash.models import kernel_error
from rapidash.ops import (
    ProductLibrary,
    product_error,
    product_libraries,
    products_for,
    row_chunks,
    use_products,
)

Found = TypeVar("Found")

PARTS = {
    "matrix products": (
        "mkldnn::_linear_pointwise",
        "aten::mm",
        "aten::addmm",
        "aten::addmm_",
        "aten::bmm",
        "aten::baddbmm",
        "aten::baddbmm_",
    ),
    "rest of the channel MLPs": ("channel_mlp", "layer_norm", "gelu", "aten::addmv_"),
    "table_conv": ("table_conv",),
    "spherical_conv": ("spherical_conv",),
}
"""Operators in each part of a step: a name with ``::`` is whole, any other a part of the operator's."""
REST = "all else"
SHORT = 1.0  # seconds
MOST_REPEATS = 5


@dataclass(frozen=True)
class Times:
    """Medians in seconds over the rounds, with the products of both sides through one library."""

    definition: float
    fast: float
    recompute: float
    floor: float
    definition_inference: float
    fast_inference: float
    product_error: float
    """Of one product through this library, relative to float64."""


@dataclass(frozen=True)
class BenchResult:
    """Times by library of products, shares of a fast step's time, bytes above its start, output error."""

    case: str
    times: dict[ProductLibrary, Times]
    shares: dict[str, float]
    memory: dict[str, int]
    table_error: float


def variants(case: BenchCase, device: torch.device) -> dict[str, Batch]:
    """The batch with each way to compute it: "definition" as the released code does (kernels at every edge, gather,
    multiply, scatter, in plain torch), "fast" with tables and fused kernels, "recompute" keeping fewer activations."""
    model, pos, batch, scalars = case.build(device)
    recompute = case.build(device, recompute=True)[0]
    return {
        "definition": Batch(model.with_kernel("exact", backend="reference"), pos, batch, scalars),
        "fast": Batch(model.with_kernel("tabulated"), pos, batch, scalars),
        "recompute": Batch(recompute.with_kernel("tabulated"), pos, batch, scalars),
    }


def measure(case: BenchCase, *, rounds: int = 5, device: str = "cpu") -> BenchResult:
    """Check that the variants agree, then time them in turn, in so many rounds after a warm-up, see `interleaved`."""
    target = torch.device(device)
    ways = variants(case, target)
    check_agreement(ways)
    times = time_ways(ways, rounds, target)
    fast = ways["fast"]
    few = fast.batch < 4
    error = kernel_error(fast.model, fast.pos[few], fast.batch[few], scalars=fast.scalars[few])
    memory = {name: peak_memory(case, name, device) for name in ways}
    return BenchResult(case.name, times, time_shares(fast), memory, error.relative)


def time_ways(ways: Mapping[str, Batch], rounds: int, device: torch.device) -> dict[ProductLibrary, Times]:
    """Every way with every library of products that there is for the device, all in turn."""
    jobs: dict[str, Callable[[], object]] = {}
    found: list[ProductLibrary] = product_libraries() if device.type == "cpu" else ["torch"]
    for library in found:
        own: dict[str, Callable[[], object]] = {name: batch.step for name, batch in ways.items()}
        own["floor"] = matrix_floor(ways["fast"], device)
        own |= {f"{name}_inference": _inference(ways[name]) for name in ("definition", "fast")}
        jobs |= {f"{library} {name}": _with_library(library, job) for name, job in own.items()}
    seconds = interleaved(jobs, rounds, device)
    like = ways["fast"].pos
    return {
        library: Times(
            **{key.split()[1]: value for key, value in seconds.items() if key.split()[0] == library},
            product_error=_with_library(library, partial(product_error, library, like))(),
        )
        for library in found
    }


def _with_library(library: ProductLibrary, job: Callable[[], Found]) -> Callable[[], Found]:
    """The job with the products of both sides through a library: the definition's by torch's flag."""

    def run() -> Found:
        with ExitStack() as settings:
            settings.enter_context(use_products(library))
            if library == "onednn":
                settings.enter_context(_torch_through_onednn())
            return job()

    return run


@contextmanager
def _torch_through_onednn() -> Iterator[None]:
    """Within the block torch's own products of float32 go through oneDNN: a flag of the process, for a bench alone."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def interleaved(jobs: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Median seconds of every job, run in turn so that a machine whose speed drifts treats all alike.

    The first turn warms up. Then a job that takes less than `SHORT` runs several times in each turn, at most
    `MOST_REPEATS`: what else the machine does for a moment would count for much.
    """

    def seconds(job: Callable[[], object]) -> float:
        _synchronize(device)
        start = time.perf_counter()
        job()
        _synchronize(device)
        return time.perf_counter() - start

    repeats = {name: min(MOST_REPEATS, math.ceil(SHORT / max(seconds(job), 1e-9))) for name, job in jobs.items()}
    samples: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            samples[name] += [seconds(job) for _ in range(repeats[name])]
    return {name: median(values) for name, values in samples.items()}


def check_agreement(ways: dict[str, Batch]) -> None:
    """Outputs and the whole gradient against the definition, before any clock starts: fused kernels to rounding, tables
    to their interpolation error.

    Raises: AssertionError naming the variant and the relative difference.
    """
    definition = ways["definition"]
    fused = replace(definition, model=definition.model.with_kernel("exact", backend="auto"))
    wanted = _outputs_and_gradient(definition)
    for name, batch in {"fused exact": fused, **ways}.items():
        limit = 1e-3 if name == "fused exact" else 0.05
        for got, want in zip(_outputs_and_gradient(batch), wanted):
            difference = float((got - want).norm() / want.norm())
            if not difference < limit:
                raise AssertionError(f"{name} differs from the definition by {difference:.1e} in outputs or gradient")


def _outputs_and_gradient(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    out = batch.forward()
    grads = torch.autograd.grad(out.square().mean(), list(batch.model.parameters()), allow_unused=True)
    return out.detach(), torch.cat([grad.flatten() for grad in grads if grad is not None])


def matrix_floor(batch: Batch, device: torch.device) -> Callable[[], None]:
    """The matrix products of the channel MLPs alone, forward and backward: what no implementation can go below.

    They run through the library in use and in chunks of rows, as in the channel MLPs, for which it is faster.
    """
    sizes = batch.rows()
    largest = max(rows for rows, _, _ in sizes)
    x = {c: torch.randn(largest, c, device=device) for _, c, _ in sizes}
    h = {w: torch.randn(largest, w, device=device) for _, _, w in sizes}
    weights = {(c, w): torch.randn(w, c, device=device) for _, c, w in sizes}
    out = {w: torch.empty(largest, w, device=device) for width in (x, h) for w in width}
    totals = {(c, w): torch.zeros(c, w, device=device) for _, c, w in sizes}

    def run() -> None:
        for rows, channels, hidden in sizes:
            weight, total = weights[channels, hidden], totals[channels, hidden]
            products = products_for(weight)
            for chunk in row_chunks(rows, hidden, weight):
                narrow, wide = x[channels][chunk], h[hidden][chunk]
                for _ in range(2):  # the second map has the shapes of the first, transposed
                    products.apply(narrow, weight, out[hidden][chunk])
                    products.apply(wide, weight.T, out[channels][chunk])
                    products.with_columns(total, narrow, wide)

    return run


def time_shares(batch: Batch) -> dict[str, float]:
    """Share of a step's CPU (or GPU) time in each of `PARTS` and in the rest, by torch's profiler."""
    on_gpu = batch.pos.device.type == "cuda"
    kinds = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * on_gpu
    with torch.profiler.profile(activities=kinds) as profile:
        batch.step()
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    totals = dict.fromkeys((*PARTS, REST), 0.0)
    for event in profile.key_averages():
        totals[_part(event.key)] += getattr(event, key)
    whole = max(sum(totals.values()), 1e-9)
    return {name: total / whole for name, total in totals.items()}


def _part(operator: str) -> str:
    for name, parts in PARTS.items():
        if any(operator == part if "::" in part else part in operator for part in parts):
            return name
    return REST


def peak_memory(case: BenchCase, variant: str, device: str) -> int:
    """Largest memory of a step above that before it, in bytes, in a process of its own: resident (CPU) or tensors."""
    command = [sys.executable, "-m", "rapidash.bench._peak_memory", variant, device, str(torch.get_num_threads())]
    described = json.dumps(to_plain(case))
    done = subprocess.run(command, input=described, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"measuring the memory of {case.name} ({variant}) failed:\n{done.stderr[-2000:]}")
    return int(done.stdout.split()[-1])


def select_cases(names: list[str]) -> list[BenchCase]:
    """The cases with the given names.

    Raises: ValueError for an unknown name.
    """
    if unknown := [name for name in names if name not in CASES]:
        raise ValueError(f"unknown benchmark cases {unknown}, expected some of {list(CASES)}")
    return [CASES[name] for name in names]


def _inference(batch: Batch) -> Callable[[], object]:
    def run() -> object:
        with torch.inference_mode():
            return batch.forward()

    return run


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def with_size(case: BenchCase, **changes: int | str) -> BenchCase:
    """The case with another batch (``num_clouds``, ``num_points``) or network (fields of its configuration)."""
    own = {name: value for name, value in changes.items() if name in ("num_clouds", "num_points", "num_clouds_gpu")}
    rest = {name: value for name, value in changes.items() if name not in own}
    return replace(case, **own, config=replace(case.config, **rest))  # type: ignore[arg-type]
