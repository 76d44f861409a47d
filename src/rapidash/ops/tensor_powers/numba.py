"""tensor_powers on the CPU, row by row: products of a few numbers each, on which calls of torch would lose their time.

The powers follow each other in a row: power r + 1 has the entries p_i a_j of those of power r, at i A + j. ``axes`` and
``degree`` are tuples, whose lengths are the number of attributes A and the highest power: the compiler unrolls loops
over them.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

import numba as nb
import numpy as np
from torch import Tensor

from rapidash.ops._numba_runtime import as_array, num_threads, parallel_region
from rapidash.ops.tensor_powers.reference import num_powers

SERIAL_BELOW = 100_000  # entries under which starting threads costs more than it gains


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _place(order, axes):
    """Where the power of this order begins in a row, and how many entries it has."""
    begin, size = 0, len(axes)
    for _ in range(order - 1):
        begin += size
        size *= len(axes)
    return begin, size


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _fill(values, a, at_a, axes, degree):
    """The powers of one row of attributes into ``values``."""
    for j in range(len(axes)):
        values[j] = a[at_a + j]
    before, size = 0, len(axes)
    for _ in range(len(degree) - 1):
        after = before + size
        for i in range(size):
            for j in range(len(axes)):
                values[after + i * len(axes) + j] = values[before + i] * a[at_a + j]
        before, size = after, size * len(axes)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _fill_tangents(tangents, values, a, at_a, moved, axes, degree):
    """How the powers of one row change with its attributes, which change by ``moved`` (at the same place)."""
    for j in range(len(axes)):
        tangents[j] = moved[at_a + j]
    before, size = 0, len(axes)
    for _ in range(len(degree) - 1):
        after = before + size
        for i in range(size):
            for j in range(len(axes)):
                change = tangents[before + i] * a[at_a + j] + values[before + i] * moved[at_a + j]
                tangents[after + i * len(axes) + j] = change
        before, size = after, size * len(axes)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _forward(first, last, a, out, axes, degree, width):
    for n in range(first, last):
        _fill(out[n * width : (n + 1) * width], a, n * len(axes), axes, degree)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _backward(first, last, a, grad, grad_a, axes, degree, width):
    values, of_values = np.empty(width, a.dtype), np.empty(width, a.dtype)
    for n in range(first, last):
        at = n * len(axes)
        _fill(values, a, at, axes, degree)
        for k in range(width):  # faster than slices of numba
            of_values[k] = grad[n * width + k]
        for j in range(len(axes)):
            grad_a[at + j] = 0
        for order in range(len(degree) - 1, 0, -1):
            before, size = _place(order, axes)
            after = before + size
            for i in range(size):
                total = of_values[before + i]
                for j in range(len(axes)):
                    total += of_values[after + i * len(axes) + j] * a[at + j]
                of_values[before + i] = total
            for j in range(len(axes)):
                total = grad_a[at + j]
                for i in range(size):
                    total += of_values[after + i * len(axes) + j] * values[before + i]
                grad_a[at + j] = total
        for j in range(len(axes)):
            grad_a[at + j] += of_values[j]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _second(first, last, a, grad, moved, of_grad, of_a, axes, degree, width):
    """By grad: the tangents of the powers. By a: the gradient of sum(grad * tangents), through tangents and values."""
    values, of_values, of_tangents = np.empty(width, a.dtype), np.empty(width, a.dtype), np.empty(width, a.dtype)
    for n in range(first, last):
        at = n * len(axes)
        tangents = of_grad[n * width : (n + 1) * width]
        _fill(values, a, at, axes, degree)
        _fill_tangents(tangents, values, a, at, moved, axes, degree)
        for k in range(width):
            of_tangents[k], of_values[k] = grad[n * width + k], 0
        for j in range(len(axes)):
            of_a[at + j] = 0
        for order in range(len(degree) - 1, 0, -1):
            before, size = _place(order, axes)
            after = before + size
            for i in range(size):
                by_tangent, by_value = of_tangents[before + i], of_values[before + i]
                for j in range(len(axes)):
                    h, g = of_tangents[after + i * len(axes) + j], of_values[after + i * len(axes) + j]
                    by_tangent += h * a[at + j]
                    by_value += h * moved[at + j] + g * a[at + j]
                of_tangents[before + i], of_values[before + i] = by_tangent, by_value
            for j in range(len(axes)):
                total = of_a[at + j]
                for i in range(size):
                    h, g = of_tangents[after + i * len(axes) + j], of_values[after + i * len(axes) + j]
                    total += h * tangents[before + i] + g * values[before + i]
                of_a[at + j] = total
        for j in range(len(axes)):
            of_a[at + j] += of_values[j]


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _forward_parallel(tasks, rows, a, out, axes, degree, width):
    for task in nb.prange(tasks):
        _forward(task * rows // tasks, (task + 1) * rows // tasks, a, out, axes, degree, width)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _backward_parallel(tasks, rows, a, grad, grad_a, axes, degree, width):
    for task in nb.prange(tasks):
        _backward(task * rows // tasks, (task + 1) * rows // tasks, a, grad, grad_a, axes, degree, width)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _second_parallel(tasks, rows, a, grad, moved, of_grad, of_a, axes, degree, width):
    for task in nb.prange(tasks):
        first, last = task * rows // tasks, (task + 1) * rows // tasks
        _second(first, last, a, grad, moved, of_grad, of_a, axes, degree, width)


def _run(serial, parallel, tensors: tuple[Tensor, ...], shape: tuple[int, int, int, int]) -> None:
    rows, axes, degree, width = shape
    arrays = *map(as_array, tensors), (0,) * axes, (0,) * degree, width
    threads = num_threads() if rows * width > SERIAL_BELOW else 1
    if threads == 1:
        serial(0, rows, *arrays)
        return
    with parallel_region(threads):
        parallel(threads, rows, *arrays)


def _shape(a: Tensor, max_degree: int) -> tuple[int, int, int, int]:
    return a.shape[0], a.shape[1], max_degree, num_powers(a.shape[1], max_degree)


def tensor_powers_forward(a: Tensor, max_degree: int) -> Tensor:
    """(N, A) -> (N, P)."""
    shape = _shape(a, max_degree)
    out = a.new_empty(shape[0], shape[3])
    _run(_forward, _forward_parallel, (a.contiguous(), out), shape)
    return out


def tensor_powers_backward(grad: Tensor, a: Tensor, max_degree: int) -> Tensor:
    """The gradient of the attributes, (N, A), from that of the powers."""
    grad_a = a.new_empty(a.shape)
    _run(_backward, _backward_parallel, (a.contiguous(), grad.contiguous(), grad_a), _shape(a, max_degree))
    return grad_a


def tensor_powers_second(moved: Tensor, grad: Tensor, a: Tensor, max_degree: int) -> tuple[Tensor, Tensor]:
    """Gradients of sum(moved * gradient of the attributes), by grad and by the attributes."""
    of_grad, of_a = grad.new_empty(grad.shape), a.new_empty(a.shape)
    tensors = a.contiguous(), grad.contiguous(), moved.contiguous(), of_grad, of_a
    _run(_second, _second_parallel, tensors, _shape(a, max_degree))
    return of_grad, of_a
