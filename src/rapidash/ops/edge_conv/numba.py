"""edge_conv on the CPU: product and sum in one pass over the kernel, which is read once.

A task is a range of columns of the flattened (O, C) axes: it alone writes them, so there are no races and one order.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

from typing import Any

import numba as nb
import numpy as np
import torch
from torch import Tensor

from rapidash.ops._numba_runtime import as_array, num_threads, parallel_region

SERIAL_BELOW = 300_000  # products under which starting threads costs more than it gains
LEAST_COLUMNS = 64  # of a task


@nb.njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"}, cache=True)
def _add_product(a, at_a, b, at_b, scale, out, at_out, width):
    u, v, w = a[at_a : at_a + width], b[at_b : at_b + width], out[at_out : at_out + width]
    for c in range(width):
        w[c] += scale * u[c] * v[c]


@nb.njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"}, cache=True)
def _set_product(a, at_a, b, at_b, scale, out, at_out, width):
    u, v, w = a[at_a : at_a + width], b[at_b : at_b + width], out[at_out : at_out + width]
    for c in range(width):
        w[c] = scale * u[c] * v[c]


@nb.njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"}, cache=True)
def _triple_dot(a, at_a, b, at_b, d, at_d, width):
    u, v, w = a[at_a : at_a + width], b[at_b : at_b + width], d[at_d : at_d + width]
    total = u.dtype.type(0)
    for c in range(width):
        total += u[c] * v[c] * w[c]
    return total


@nb.njit(nogil=True, error_model="numpy", cache=True)
def _forward(columns, x, kernel, source, row_ptr, edge_weight, out, size):
    first, width = columns[0], columns[1] - columns[0]
    one = out.dtype.type(1)
    for i in range(row_ptr.size - 1):
        at_out = i * size + first
        out[at_out : at_out + width] = 0
        for e in range(row_ptr[i], row_ptr[i + 1]):
            scale = edge_weight[e] if edge_weight.size > 0 else one
            _add_product(kernel, e * size + first, x, source[e] * size + first, scale, out, at_out, width)


@nb.njit(nogil=True, error_model="numpy", cache=True)
def _backward(columns, x, kernel, source, row_ptr, edge_weight, grad, grad_x, grad_kernel, grad_weight, size):
    """grad_x is added to, grad_kernel set; an empty grad_kernel or grad_weight is not computed."""
    first, width = columns[0], columns[1] - columns[0]
    one = grad.dtype.type(1)
    for i in range(row_ptr.size - 1):
        at_grad = i * size + first
        for e in range(row_ptr[i], row_ptr[i + 1]):
            scale = edge_weight[e] if edge_weight.size > 0 else one
            at_kernel, at_x = e * size + first, source[e] * size + first
            _add_product(kernel, at_kernel, grad, at_grad, scale, grad_x, at_x, width)
            if grad_kernel.size > 0:
                _set_product(x, at_x, grad, at_grad, scale, grad_kernel, at_kernel, width)
            if grad_weight.size > 0:
                grad_weight[e] += _triple_dot(kernel, at_kernel, x, at_x, grad, at_grad, width)


@nb.njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"}, cache=True)
def _combine(a, at_a, scale_a, b, at_b, scale_b, out, width):
    u, v, w = a[at_a : at_a + width], b[at_b : at_b + width], out[:width]
    for c in range(width):
        w[c] = scale_a * u[c] + scale_b * v[c]


@nb.njit(nogil=True, error_model="numpy", cache=True)
def _second(columns, x, kernel, source, row_ptr, edge_weight, grad, by_x, by_kernel, by_weight, outs, size):
    """See `edge_conv_second`; all of ``outs`` are added to but that of the kernel, which is set."""
    of_grad, of_x, of_kernel, of_weight = outs
    first, width = columns[0], columns[1] - columns[0]
    one, zero = grad.dtype.type(1), grad.dtype.type(0)
    row = np.empty(width, grad.dtype)
    for i in range(row_ptr.size - 1):
        at_grad = i * size + first
        for e in range(row_ptr[i], row_ptr[i + 1]):
            scale = edge_weight[e] if edge_weight.size > 0 else one
            slope = by_weight[e] if by_weight.size > 0 else zero
            at_kernel, at_x = e * size + first, source[e] * size + first
            _combine(by_x, at_x, scale, x, at_x, slope, row, width)
            _add_product(kernel, at_kernel, row, 0, one, of_grad, at_grad, width)
            if of_kernel.size > 0:
                _set_product(grad, at_grad, row, 0, one, of_kernel, at_kernel, width)
            _combine(by_kernel, at_kernel, scale, kernel, at_kernel, slope, row, width)
            _add_product(grad, at_grad, row, 0, one, of_x, at_x, width)
            _add_product(x, at_x, by_kernel, at_kernel, scale, of_grad, at_grad, width)
            if of_weight.size > 0:
                of_weight[e] += _triple_dot(kernel, at_kernel, by_x, at_x, grad, at_grad, width)
                of_weight[e] += _triple_dot(by_kernel, at_kernel, x, at_x, grad, at_grad, width)


@nb.njit(nogil=True, error_model="numpy", parallel=True, cache=True)
def _forward_parallel(tasks, x, kernel, source, row_ptr, edge_weight, out, size):
    for task in nb.prange(tasks):
        columns = task * size // tasks, (task + 1) * size // tasks
        _forward(columns, x, kernel, source, row_ptr, edge_weight, out, size)


@nb.njit(nogil=True, error_model="numpy", parallel=True, cache=True)
def _backward_parallel(tasks, x, kernel, source, row_ptr, edge_weight, grad, grad_x, grad_kernel, grad_weight, size):
    edges = grad_weight.size // tasks
    for task in nb.prange(tasks):
        columns = task * size // tasks, (task + 1) * size // tasks
        part = grad_weight[task * edges : (task + 1) * edges]
        _backward(columns, x, kernel, source, row_ptr, edge_weight, grad, grad_x, grad_kernel, part, size)


@nb.njit(nogil=True, error_model="numpy", parallel=True, cache=True)
def _second_parallel(tasks, x, kernel, source, row_ptr, edge_weight, grad, by_x, by_kernel, by_weight, outs, size):
    of_grad, of_x, of_kernel, of_weight = outs
    edges = of_weight.size // tasks
    for task in nb.prange(tasks):
        columns = task * size // tasks, (task + 1) * size // tasks
        part = of_grad, of_x, of_kernel, of_weight[task * edges : (task + 1) * edges]
        _second(columns, x, kernel, source, row_ptr, edge_weight, grad, by_x, by_kernel, by_weight, part, size)


def _num_tasks(num_edges: int, size: int) -> int:
    return max(1, min(num_threads(), size // LEAST_COLUMNS)) if num_edges * size > SERIAL_BELOW else 1


def _indices(edges: tuple[Tensor | None, ...]) -> tuple[Any, Any]:
    """Arrays of source and row_ptr."""
    source, _, row_ptr = (index.numpy() for index in edges[:3] if index is not None)
    return source, row_ptr


def edge_conv_forward(
    x: Tensor, kernel: Tensor, edges: tuple[Tensor | None, ...], edge_weight: Tensor | None
) -> Tensor:
    """The sum over edges (source, target, row_ptr, and two not used here): -> (T, O, C)."""
    source, row_ptr = _indices(edges)
    size = x.shape[1] * x.shape[2]
    out = x.new_empty(row_ptr.shape[0] - 1, *x.shape[1:])
    weight = as_array(x.new_empty(0) if edge_weight is None else edge_weight.contiguous())
    inputs = as_array(x.contiguous()), as_array(kernel.contiguous()), source, row_ptr, weight
    tasks = _num_tasks(len(source), size)
    if tasks == 1:
        _forward((0, size), *inputs, as_array(out), size)
    else:
        with parallel_region(tasks):
            _forward_parallel(tasks, *inputs, as_array(out), size)
    return out


def edge_conv_backward(
    grad: Tensor,
    x: Tensor,
    kernel: Tensor,
    edges: tuple[Tensor | None, ...],
    edge_weight: Tensor | None,
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, kernel and edge_weight; ``needs`` says whether the last two are wanted, else they are empty."""
    source, row_ptr = _indices(edges)
    size = x.shape[1] * x.shape[2]
    tasks = _num_tasks(len(source), size)
    grad_x = x.new_zeros(x.shape)
    grad_kernel = kernel.new_empty(kernel.shape if needs[0] else 0)
    parts = x.new_zeros(tasks, len(source) if needs[1] else 0)
    weight = as_array(x.new_empty(0) if edge_weight is None else edge_weight.contiguous())
    inputs = as_array(x.contiguous()), as_array(kernel.contiguous()), source, row_ptr, weight
    grads = as_array(grad.contiguous()), as_array(grad_x), as_array(grad_kernel), as_array(parts), size
    if tasks == 1:
        _backward((0, size), *inputs, *grads)
    else:
        with parallel_region(tasks):
            _backward_parallel(tasks, *inputs, *grads)
    return grad_x, grad_kernel, torch.sum(parts, dim=0)


def edge_conv_second(
    moved: tuple[Tensor | None, Tensor | None, Tensor | None],
    grad: Tensor,
    x: Tensor,
    kernel: Tensor,
    edges: tuple[Tensor | None, ...],
    edge_weight: Tensor | None,
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of sum(moved * gradients of `edge_conv_backward`), by grad, x, kernel and edge_weight.

    With g of the target, weight w of the edge and factors a, b, c of the gradients of x, kernel and w, they are sums
    over edges and channels of k (w a + c x) + w b x, and g (w b + c k), and per edge g (w a + c x) and
    sum(g (k a + b x)). ``needs`` says whether those of kernel and edge_weight are wanted, else they are empty.
    """
    source, row_ptr = _indices(edges)
    size = x.shape[1] * x.shape[2]
    tasks = _num_tasks(len(source), size)
    by_x, by_kernel, by_weight = moved
    outs = (
        grad.new_zeros(grad.shape),
        x.new_zeros(x.shape),
        kernel.new_empty(kernel.shape if needs[0] else 0),
        x.new_zeros(tasks, len(source) if needs[1] else 0),
    )
    factors = (
        x.new_zeros(x.shape) if by_x is None else by_x,
        kernel.new_zeros(kernel.shape) if by_kernel is None else by_kernel,
        x.new_empty(0) if by_weight is None else by_weight,
    )
    weight = x.new_empty(0) if edge_weight is None else edge_weight
    indices = source, row_ptr, as_array(weight.contiguous())
    inputs = as_array(x.contiguous()), as_array(kernel.contiguous()), *indices, as_array(grad.contiguous())
    arguments = *inputs, *(as_array(factor.contiguous()) for factor in factors), tuple(map(as_array, outs)), size
    if tasks == 1:
        _second((0, size), *arguments)
    else:
        with parallel_region(tasks):
            _second_parallel(tasks, *arguments)
    return *outs[:3], torch.sum(outs[3], dim=0)
