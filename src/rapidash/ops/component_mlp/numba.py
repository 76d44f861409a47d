"""The parts of component_mlp that are no products of matrices, on the CPU in float32: each in one pass.

Components are the outermost axis, (K, M, C), so that those of a part are rows of one matrix. A task is a range of
points; sums over points have one order for a number of tasks.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

import numba as nb
import numpy as np
import torch
from torch import Tensor

from rapidash.ops._numba_runtime import as_array, num_threads, parallel_region
from rapidash.ops._simd import VECTOR_BYTES
from rapidash.ops.component_mlp._simd import (
    analyze_vector,
    mixed_gelu_gradient_vector,
    mixed_gelu_vector,
    synthesize_vector,
)

LANES = VECTOR_BYTES // 4
SERIAL_BELOW = 100_000  # elements under which starting threads costs more than it gains


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _analyze(task, tasks, signal, analysis, components, out, shape):
    points, orientations, channels = shape
    for m in range(task * points // tasks, (task + 1) * points // tasks):
        for c in range(0, channels, LANES):
            at, at_out = m * orientations * channels + c, m * channels + c
            analyze_vector(
                signal, at, channels, analysis, orientations, components, out, at_out, points * channels
            )  # fmt: skip


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _synthesize(task, tasks, values, synthesis, components, out, shape):
    points, orientations, channels = shape
    for m in range(task * points // tasks, (task + 1) * points // tasks):
        for c in range(0, channels, LANES):
            at, at_out = m * channels + c, m * orientations * channels + c
            synthesize_vector(
                values, at, points * channels, synthesis, orientations, components, out, at_out, channels
            )  # fmt: skip


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _gelu(task, tasks, values, bias, synthesis, analysis, components, out, shape):
    points, orientations, hidden, first, step = shape
    for m in range(task * points // tasks, (task + 1) * points // tasks):
        for c in range(0, hidden, LANES):
            at = m * hidden + c
            mixed_gelu_vector(
                values, first + at, step, bias, c, synthesis, analysis, orientations, components,
                out, at, points * hidden,
            )  # fmt: skip


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _gelu_gradient(task, tasks, values, bias, synthesis, analysis, components, grad, out, sums, shape):
    points, orientations, hidden, first, step = shape
    total = np.zeros(hidden, values.dtype)
    for m in range(task * points // tasks, (task + 1) * points // tasks):
        for c in range(0, hidden, LANES):
            at = m * hidden + c
            mixed_gelu_gradient_vector(
                values, first + at, step, bias, c, synthesis, analysis, orientations, components,
                grad, out, at, points * hidden, total,
            )  # fmt: skip
    sums[task] = total


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _analyze_parallel(tasks, signal, analysis, components, out, shape):
    for task in nb.prange(tasks):
        _analyze(task, tasks, signal, analysis, components, out, shape)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _synthesize_parallel(tasks, values, synthesis, components, out, shape):
    for task in nb.prange(tasks):
        _synthesize(task, tasks, values, synthesis, components, out, shape)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _gelu_parallel(tasks, values, bias, synthesis, analysis, components, out, shape):
    for task in nb.prange(tasks):
        _gelu(task, tasks, values, bias, synthesis, analysis, components, out, shape)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _gelu_gradient_parallel(tasks, values, bias, synthesis, analysis, components, grad, out, sums, shape):
    for task in nb.prange(tasks):
        _gelu_gradient(task, tasks, values, bias, synthesis, analysis, components, grad, out, sums, shape)


def _run(serial, parallel, size, *arguments):
    threads = num_threads() if size > SERIAL_BELOW else 1
    if threads == 1:
        serial(0, 1, *arguments)
        return
    with parallel_region(threads):
        parallel(threads, *arguments)


def analyze(signal: Tensor, analysis: Tensor) -> Tensor:
    """(M, O, C) and (O, K) -> (K, M, C)."""
    points, _, channels = signal.shape
    out = signal.new_empty(analysis.shape[1], points, channels)
    arrays = as_array(signal.contiguous()), as_array(analysis), (0,) * analysis.shape[1], as_array(out)
    _run(_analyze, _analyze_parallel, signal.numel(), *arrays, tuple(signal.shape))
    return out


def add_signal(values: Tensor, synthesis: Tensor, out: Tensor) -> None:
    """out (M, O, C), contiguous, += the signal of components (K, M, C) by (O, K)."""
    arrays = as_array(values), as_array(synthesis), (0,) * len(values), as_array(out)
    _run(_synthesize, _synthesize_parallel, out.numel(), *arrays, tuple(out.shape))


def mixed_gelu(values: Tensor, points: slice, bias: Tensor, synthesis: Tensor, analysis: Tensor) -> Tensor:
    """Components (K, M, H) of the GELU of a signal plus a bias.

    Args:
        values: components of the signal, (K, all points, H), contiguous.
        points: M of them.
        synthesis, analysis: (O, K).
    """
    out = values.new_empty(len(values), points.stop - points.start, values.shape[2])
    arrays = [as_array(tensor) for tensor in (values, bias, synthesis, analysis)]
    shape = _shape(values, out, len(synthesis), points)
    _run(_gelu, _gelu_parallel, out.numel(), *arrays, (0,) * len(values), as_array(out), shape)
    return out


def mixed_gelu_gradient(
    values: Tensor, points: slice, bias: Tensor, synthesis: Tensor, analysis: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor]:
    """`mixed_gelu` again, and the gradient of its bias (H,); ``grad``, by its value, becomes that by the components."""
    out = torch.empty_like(grad)
    sums = grad.new_empty(num_threads() if out.numel() > SERIAL_BELOW else 1, grad.shape[2])
    arrays = [as_array(tensor) for tensor in (values, bias, synthesis, analysis)]
    made = as_array(grad), as_array(out), sums.numpy()
    shape = _shape(values, out, len(synthesis), points)
    _run(_gelu_gradient, _gelu_gradient_parallel, out.numel(), *arrays, (0,) * len(values), *made, shape)
    return out, sums[0] if len(sums) == 1 else sums.sum(dim=0)


def _shape(values: Tensor, out: Tensor, orientations: int, points: slice) -> tuple[int, ...]:
    """Of the points, with the place of the first one and of the next component."""
    _, all_points, hidden = values.shape
    return out.shape[1], orientations, hidden, points.start * hidden, all_points * hidden
