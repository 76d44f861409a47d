"""The pointwise parts of channel_mlp on the CPU in float32, each in one pass: bias and GELU, and their gradients."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

import numba as nb
import numpy as np
from torch import Tensor

from rapidash.ops._numba_runtime import as_array, num_threads, parallel_region
from rapidash.ops._simd import VECTOR_BYTES
from rapidash.ops._simd_gelu import gelu_gradient_vector, gelu_vector

LANES = VECTOR_BYTES // 4
SERIAL_BELOW = 100_000  # elements under which starting threads costs more than it gains


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _rows(task, tasks, size, width):
    rows = size // width
    return task * rows // tasks, (task + 1) * rows // tasks


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _gelu(task, tasks, product, bias, hidden, out):
    width = bias.size
    whole, rest = width - width % LANES, width % LANES
    first, last = _rows(task, tasks, hidden.size, width)
    z, b, y = np.zeros(LANES, hidden.dtype), np.zeros(LANES, hidden.dtype), np.zeros(LANES, hidden.dtype)
    b[:rest] = bias[whole:]
    for row in range(first, last):
        at = row * width
        for c in range(0, whole, LANES):
            gelu_vector(product, bias, hidden, out, at + c, c)
        if rest > 0:
            z[:rest] = product[at + whole : at + width]
            gelu_vector(z, b, z, y, 0, 0)
            hidden[at + whole : at + width], out[at + whole : at + width] = z[:rest], y[:rest]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _gelu_gradient(task, tasks, hidden, grad, activated, sums):
    width = sums.shape[1]
    whole, rest = width - width % LANES, width % LANES
    first, last = _rows(task, tasks, hidden.size, width)
    total = np.zeros(width + LANES, hidden.dtype)
    z, g, y = np.zeros(LANES, hidden.dtype), np.zeros(LANES, hidden.dtype), np.zeros(LANES, hidden.dtype)
    for row in range(first, last):
        at = row * width
        for c in range(0, whole, LANES):
            gelu_gradient_vector(hidden, grad, activated, total, at + c, c)
        if rest > 0:
            z[:rest], g[:rest] = hidden[at + whole : at + width], grad[at + whole : at + width]
            gelu_gradient_vector(z, g, y, total[whole:], 0, 0)
            grad[at + whole : at + width], activated[at + whole : at + width] = g[:rest], y[:rest]
    sums[task] = total[:width]


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _gelu_parallel(tasks, product, bias, hidden, out):
    for task in nb.prange(tasks):
        _gelu(task, tasks, product, bias, hidden, out)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _gelu_gradient_parallel(tasks, hidden, grad, activated, sums):
    for task in nb.prange(tasks):
        _gelu_gradient(task, tasks, hidden, grad, activated, sums)


def add_bias_gelu(product: Tensor, bias: Tensor, hidden: Tensor, out: Tensor) -> None:
    """hidden = product + bias, (M, H) and (H,), and out = GELU(hidden); product and hidden may be one."""
    threads = num_threads() if hidden.numel() > SERIAL_BELOW else 1
    arrays = as_array(product), as_array(bias), as_array(hidden), as_array(out)
    if threads == 1:
        _gelu(0, 1, *arrays)
        return
    with parallel_region(threads):
        _gelu_parallel(threads, *arrays)


def gelu_gradient(hidden: Tensor, grad: Tensor, activated: Tensor) -> Tensor:
    """grad *= GELU'(hidden), activated = GELU(hidden), all (M, H). Returns: grad summed over the rows, (H,)."""
    threads = num_threads() if hidden.numel() > SERIAL_BELOW else 1
    sums = hidden.new_empty(threads, hidden.shape[1])
    arrays = as_array(hidden), as_array(grad), as_array(activated), sums.numpy()
    if threads == 1:
        _gelu_gradient(0, 1, *arrays)
        return sums[0]
    with parallel_region(threads):
        _gelu_gradient_parallel(threads, *arrays)
    return sums.sum(dim=0)
