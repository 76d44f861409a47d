"""edge_conv on the CPU with its forward-mode derivative: value and tangent in one pass over the kernel."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

from typing import Any

import numba as nb
from torch import Tensor

from rapidash.ops._numba_runtime import as_array, parallel_region
from rapidash.ops.edge_conv.numba import _add_product, _indices, _num_tasks


@nb.njit(nogil=True, error_model="numpy", cache=True)
def _jvp(columns, arrays, tangents, source, row_ptr, out, slope, size):
    """Every term of the product rule whose tangent is not empty."""
    x, kernel, edge_weight = arrays
    dx, dkernel, dweight = tangents
    first, width = columns[0], columns[1] - columns[0]
    one = out.dtype.type(1)
    for i in range(row_ptr.size - 1):
        at_out = i * size + first
        out[at_out : at_out + width] = 0
        slope[at_out : at_out + width] = 0
        for e in range(row_ptr[i], row_ptr[i + 1]):
            scale = edge_weight[e] if edge_weight.size > 0 else one
            at_kernel, at_x = e * size + first, source[e] * size + first
            _add_product(kernel, at_kernel, x, at_x, scale, out, at_out, width)
            if dx.size > 0:
                _add_product(kernel, at_kernel, dx, at_x, scale, slope, at_out, width)
            if dkernel.size > 0:
                _add_product(dkernel, at_kernel, x, at_x, scale, slope, at_out, width)
            if dweight.size > 0:
                _add_product(kernel, at_kernel, x, at_x, dweight[e], slope, at_out, width)


@nb.njit(nogil=True, error_model="numpy", parallel=True, cache=True)
def _jvp_parallel(tasks, arrays, tangents, source, row_ptr, out, slope, size):
    for task in nb.prange(tasks):
        columns = task * size // tasks, (task + 1) * size // tasks
        _jvp(columns, arrays, tangents, source, row_ptr, out, slope, size)


def edge_conv_jvp(
    inputs: tuple[Tensor | None, ...], tangents: tuple[Tensor | None, ...], edges: tuple[Tensor | None, ...]
) -> tuple[Tensor, Tensor]:
    """Value and tangent of the sum over edges, (T, O, C) each, from (x, kernel, edge_weight) and their tangents.

    A weight that is None is 1, a tangent that is None is 0. ``edges`` as for `edge_conv_forward`.
    """
    x = inputs[0]
    assert x is not None
    source, row_ptr = _indices(edges)
    size = x.shape[1] * x.shape[2]
    out = x.new_empty(row_ptr.shape[0] - 1, *x.shape[1:])
    slope = out.new_empty(out.shape)
    arguments = _arrays(inputs, x), _arrays(tangents, x), source, row_ptr, as_array(out), as_array(slope), size
    tasks = _num_tasks(len(source), size)
    if tasks == 1:
        _jvp((0, size), *arguments)
    else:
        with parallel_region(tasks):
            _jvp_parallel(tasks, *arguments)
    return out, slope


def _arrays(tensors: tuple[Tensor | None, ...], like: Tensor) -> tuple[Any, ...]:
    """Flat arrays, empty for None."""
    return tuple(as_array(like.new_empty(0) if tensor is None else tensor.contiguous()) for tensor in tensors)
