"""The derivatives of gelu on the CPU in float32, each in one pass of vectors."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

import numba as nb
import numpy as np
from torch import Tensor

from rapidash.ops._numba_runtime import as_array, num_threads, parallel_region
from rapidash.ops._simd import VECTOR_BYTES
from rapidash.ops._simd_gelu import gelu_second_vector, gelu_slope_vector

LANES = VECTOR_BYTES // 4
SERIAL_BELOW = 100_000  # elements under which starting threads costs more than it gains


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _slope(first, last, x, grad, out):
    whole = last - (last - first) % LANES
    for at in range(first, whole, LANES):
        gelu_slope_vector(x, grad, out, at)
    rest = last - whole
    if rest > 0:
        z, g, y = np.zeros(LANES, x.dtype), np.zeros(LANES, x.dtype), np.zeros(LANES, x.dtype)
        z[:rest], g[:rest] = x[whole:last], grad[whole:last]
        gelu_slope_vector(z, g, y, 0)
        out[whole:last] = y[:rest]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _second(first, last, x, grad, moved, of_grad, of_x):
    whole = last - (last - first) % LANES
    for at in range(first, whole, LANES):
        gelu_second_vector(x, grad, moved, of_grad, of_x, at)
    rest = last - whole
    if rest > 0:
        z, g, m = np.zeros(LANES, x.dtype), np.zeros(LANES, x.dtype), np.zeros(LANES, x.dtype)
        z[:rest], g[:rest], m[:rest] = x[whole:last], grad[whole:last], moved[whole:last]
        gelu_second_vector(z, g, m, g, m, 0)
        of_grad[whole:last], of_x[whole:last] = g[:rest], m[:rest]


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _slope_parallel(tasks, x, grad, out):
    for task in nb.prange(tasks):
        _slope(task * x.size // tasks, (task + 1) * x.size // tasks, x, grad, out)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _second_parallel(tasks, x, grad, moved, of_grad, of_x):
    for task in nb.prange(tasks):
        _second(task * x.size // tasks, (task + 1) * x.size // tasks, x, grad, moved, of_grad, of_x)


def _run(serial, parallel, *tensors: Tensor) -> None:
    arrays = [as_array(tensor) for tensor in tensors]
    threads = num_threads() if arrays[0].size > SERIAL_BELOW else 1
    if threads == 1:
        serial(0, arrays[0].size, *arrays)
        return
    with parallel_region(threads):
        parallel(threads, *arrays)


def gelu_backward(grad: Tensor, x: Tensor) -> Tensor:
    """grad * GELU'(x)."""
    x = x.contiguous()
    out = x.new_empty(x.shape)
    _run(_slope, _slope_parallel, x, grad.contiguous(), out)
    return out


def gelu_second(moved: Tensor, grad: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """moved * GELU'(x) and moved * grad * GELU''(x)."""
    x = x.contiguous()
    of_grad, of_x = x.new_empty(x.shape), x.new_empty(x.shape)
    _run(_second, _second_parallel, x, grad.contiguous(), moved.contiguous(), of_grad, of_x)
    return of_grad, of_x
