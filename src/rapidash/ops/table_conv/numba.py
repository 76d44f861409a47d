"""table_conv on the CPU: blocks of channels whose part of the table stays in the cache, 64-byte vectors over channels.

A table of 64 x 32 nodes and 256 channels takes 2 MB, more than the cache of a core; a block of 64 channels takes a
quarter of it. A task is a block of channels and a range of orientations: it alone writes its part of the output and of
the gradient of x, and its own copy of its part of the table's gradient. So there are no races, and sums have one order.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

from typing import Any

import numba as nb
import torch
from numba.extending import overload, register_jitable
from torch import Tensor
from torch.nn.functional import pad

from rapidash.ops._numba_runtime import as_array, num_threads, parallel_region, split_evenly
from rapidash.ops._simd import VECTOR_BYTES, add_table_gradients, add_table_product, table_dot
from rapidash.ops.table_conv.reference import RANGE_TOLERANCE, Interpolation, outside_message

BLOCK_BYTES = 256  # of channels: one node's part of the table
TARGETS_AT_ONCE = 32  # targets done for one orientation before the next: their features stay in the cache
SERIAL_BELOW = 300_000  # products under which starting threads costs more than it gains

LINEAR, CUBIC = (0, 0), (0, 0, 0, 0)  # the length selects the weights when numba compiles
TAPS = {"linear": LINEAR, "bspline": CUBIC}


def _weights(taps: Any, t: float) -> tuple[float, ...]:
    raise NotImplementedError("compiled code only")


def _slopes(taps: Any, t: float) -> tuple[float, ...]:
    raise NotImplementedError("compiled code only")


@overload(_weights, inline="always")
def _overload_weights(taps, t):
    if len(taps) == 2:
        return lambda taps, t: (1.0 - t, t)

    def cubic(taps, t):
        s = 1.0 - t
        first, last = s * s * s / 6.0, t * t * t / 6.0
        second = 2.0 / 3.0 - 0.5 * t * t * (2.0 - t)
        return first, second, 1.0 - first - second - last, last

    return cubic


@overload(_slopes, inline="always")
def _overload_slopes(taps, t):
    if len(taps) == 2:
        return lambda taps, t: (-1.0, 1.0)

    def cubic(taps, t):
        s = 1.0 - t
        first, last = -0.5 * s * s, 0.5 * t * t
        second = 1.5 * t * t - 2.0 * t
        return first, second, -(first + second + last), last

    return cubic


@register_jitable(inline="always")
def _cell(u, num_nodes):
    """Index of the cell and the position in it; any u, also NaN, gives an index inside the table."""
    u = min(max(u, 0.0), num_nodes - 1.0)
    cell = min(max(int(u), 0), max(num_nodes - 2, 0))
    return cell, u - cell


def _point(taps: Any, nodes: Any, coords: Any, at: int, width: int, scale: float) -> Any:
    raise NotImplementedError("compiled code only")


@overload(_point, inline="always")
def _overload_point(taps, nodes, coords, at, width, scale):
    """First tap, stride of the first axis, and the weights on both axes at point ``at``; scale goes to the first."""
    guard = len(taps) - 2

    def line(taps, nodes, coords, at, width, scale):
        cell, t = _cell(coords[at], nodes[0])
        return cell * width, 0, (scale,), _weights(taps, t)

    def plane(taps, nodes, coords, at, width, scale):
        row, s = _cell(coords[2 * at], nodes[0])
        column, t = _cell(coords[2 * at + 1], nodes[1])
        stride = (nodes[1] + guard) * width
        return row * stride + column * width, stride, _scaled(_weights(taps, s), scale), _weights(taps, t)

    return line if len(nodes) == 1 else plane


def _scaled(weights: Any, scale: float) -> Any:
    raise NotImplementedError("compiled code only")


@overload(_scaled, inline="always")
def _overload_scaled(weights, scale):
    if len(weights) == 2:
        return lambda weights, scale: (weights[0] * scale, weights[1] * scale)
    return lambda weights, scale: (weights[0] * scale, weights[1] * scale, weights[2] * scale, weights[3] * scale)


def _slope(taps: Any, nodes: Any, coords: Any, at: int, width: int, scale: float, axis: int) -> Any:
    raise NotImplementedError("compiled code only")


@overload(_slope, inline="always")
def _overload_slope(taps, nodes, coords, at, width, scale, axis):
    """As ``_point``, for the derivative along one axis; zero where rounding put the coordinate outside the table."""
    guard = len(taps) - 2

    def line(taps, nodes, coords, at, width, scale, axis):
        cell, t = _cell(coords[at], nodes[0])
        inside = 0.0 <= coords[at] <= nodes[0] - 1
        return cell * width, 0, (scale * inside,), _slopes(taps, t)

    def plane(taps, nodes, coords, at, width, scale, axis):
        row, s = _cell(coords[2 * at], nodes[0])
        column, t = _cell(coords[2 * at + 1], nodes[1])
        stride = (nodes[1] + guard) * width
        inside = 0.0 <= coords[2 * at + axis] <= nodes[axis] - 1
        rows = _slopes(taps, s) if axis == 0 else _weights(taps, s)
        columns = _weights(taps, t) if axis == 0 else _slopes(taps, t)
        return row * stride + column * width, stride, _scaled(rows, scale * inside), columns

    return line if len(nodes) == 1 else plane


@register_jitable(inline="always")
def _task(task, shape, split):
    """First channel, number of channels, and range of orientations of a task."""
    block, chunks, _ = split
    first = task // chunks * block
    chunk = task % chunks
    width = min(block, shape[2] - first)
    return first, width, chunk * shape[1] // chunks, (chunk + 1) * shape[1] // chunks


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _count_outside(nodes, coords):
    axes = len(nodes)
    outside = 0
    for axis in range(axes):
        last = nodes[axis] - 1 + RANGE_TOLERANCE
        for at in range(axis, coords.size, axes):
            outside += not (coords[at] >= -RANGE_TOLERANCE and coords[at] <= last)
    return outside


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _forward(tasks, taps, nodes, x, table, coords, source, row_ptr, edge_weight, out, shape, split):
    """A range of tasks; a task is a block of channels and a range of orientations of the output."""
    num_targets, orientations, channels = shape
    for task in range(tasks[0], tasks[1]):
        first, width, low, high = _task(task, shape, split)
        values = table[first * split[2] :]
        for start in range(0, num_targets, TARGETS_AT_ONCE):
            for a in range(low, high):
                for i in range(start, min(start + TARGETS_AT_ONCE, num_targets)):
                    at_out = (i * orientations + a) * channels + first
                    out[at_out : at_out + width] = 0
                    for e in range(row_ptr[i], row_ptr[i + 1]):
                        scale = edge_weight[e] if edge_weight.size > 0 else 1.0
                        base, stride, rows, columns = _point(taps, nodes, coords, e * orientations + a, width, scale)
                        at_x = (source[e] * orientations + a) * channels + first
                        add_table_product(values, base, stride, width, rows, columns, x, at_x, out, at_out)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _backward(
    tasks, taps, nodes, x, table, coords, source, row_ptr, edge_weight, grad, grad_x, grad_table, shape, split
):
    """A range of tasks; each has its part of grad_x, and of a copy of grad_table of its own."""
    num_targets, orientations, channels = shape
    for task in range(tasks[0], tasks[1]):
        first, width, low, high = _task(task, shape, split)
        values = table[first * split[2] :]
        sums = grad_table[((task % split[1]) * channels + first) * split[2] :]
        for start in range(0, num_targets, TARGETS_AT_ONCE):
            for a in range(low, high):
                for i in range(start, min(start + TARGETS_AT_ONCE, num_targets)):
                    at_grad = (i * orientations + a) * channels + first
                    for e in range(row_ptr[i], row_ptr[i + 1]):
                        scale = edge_weight[e] if edge_weight.size > 0 else 1.0
                        base, stride, rows, columns = _point(taps, nodes, coords, e * orientations + a, width, scale)
                        at_x = (source[e] * orientations + a) * channels + first
                        add_table_gradients(
                            values, sums, base, stride, width, rows, columns, x, grad_x, at_x, grad, at_grad
                        )


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _edge_gradients(
    targets, taps, nodes, x, table, coords, source, row_ptr, edge_weight, grad, grad_coords, grad_weight, shape, split
):
    """Gradients of the edges of a range of targets; an empty grad_coords or grad_weight is not computed."""
    _, orientations, channels = shape
    axes = len(nodes)
    for first in range(0, channels, split[0]):
        width = min(split[0], channels - first)
        values = table[first * split[2] :]
        for i in range(targets[0], targets[1]):
            for e in range(row_ptr[i], row_ptr[i + 1]):
                scale = edge_weight[e] if edge_weight.size > 0 else 1.0
                for a in range(orientations):
                    at = e * orientations + a
                    at_grad = (i * orientations + a) * channels + first
                    at_x = (source[e] * orientations + a) * channels + first
                    if grad_weight.size > 0:
                        base, stride, rows, columns = _point(taps, nodes, coords, at, width, 1.0)
                        grad_weight[e] += table_dot(values, base, stride, width, rows, columns, x, at_x, grad, at_grad)
                    if grad_coords.size > 0:
                        for axis in range(axes):
                            base, stride, rows, columns = _slope(taps, nodes, coords, at, width, scale, axis)
                            grad_coords[at * axes + axis] += table_dot(
                                values, base, stride, width, rows, columns, x, at_x, grad, at_grad
                            )


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _forward_parallel(num_tasks, taps, nodes, x, table, coords, source, row_ptr, edge_weight, out, shape, split):
    for task in nb.prange(num_tasks):
        _forward((task, task + 1), taps, nodes, x, table, coords, source, row_ptr, edge_weight, out, shape, split)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _backward_parallel(
    num_tasks, taps, nodes, x, table, coords, source, row_ptr, edge_weight, grad, grad_x, grad_table, shape, split
):
    for task in nb.prange(num_tasks):
        _backward(
            (task, task + 1),
            taps,
            nodes,
            x,
            table,
            coords,
            source,
            row_ptr,
            edge_weight,
            grad,
            grad_x,
            grad_table,
            shape,
            split,
        )


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _edge_gradients_parallel(
    chunks, taps, nodes, x, table, coords, source, row_ptr, edge_weight, grad, grad_coords, grad_weight, shape, split
):
    for chunk in nb.prange(chunks):
        targets = chunk * shape[0] // chunks, (chunk + 1) * shape[0] // chunks
        _edge_gradients(
            targets,
            taps,
            nodes,
            x,
            table,
            coords,
            source,
            row_ptr,
            edge_weight,
            grad,
            grad_coords,
            grad_weight,
            shape,
            split,
        )


class _Problem:
    """One call in the layout of the kernels: flat arrays, channels padded to whole vectors, the table in blocks."""

    def __init__(
        self,
        x: Tensor,
        table: Tensor,
        coords: Tensor,
        source: Tensor,
        row_ptr: Tensor,
        edge_weight: Tensor | None,
        taps: Interpolation,
    ) -> None:
        itemsize = x.element_size()
        self.channels = x.shape[2]
        self.padding = -self.channels % (VECTOR_BYTES // itemsize)
        width = self.channels + self.padding
        self.shape = (row_ptr.shape[0] - 1, x.shape[1], width)
        self.block = min(width, BLOCK_BYTES // itemsize)
        self.num_blocks = -(-width // self.block) if width else 0
        work = coords[..., 0].numel() * width * len(TAPS[taps]) ** coords.shape[2]
        self.threads = num_threads() if work > SERIAL_BELOW else 1
        self.chunks = split_evenly(self.num_blocks, self.threads, limit=x.shape[1])
        self.num_tasks = self.num_blocks * self.chunks
        self.table_shape = table.shape[:-1]
        rows = self.table_shape.numel()
        guard = len(TAPS[taps]) - 2
        nodes = tuple(size - guard for size in self.table_shape)
        self.split = (self.block, self.chunks, rows)
        weight = x.new_empty(0) if edge_weight is None else edge_weight
        values, points = as_array(self._to_blocks(table)), as_array(coords.contiguous())
        edges = source.numpy(), row_ptr.numpy(), as_array(weight.contiguous())
        self.located = nodes, points
        self.arrays = (TAPS[taps], nodes, as_array(self.padded(x)), values, points, *edges)

    def padded(self, tensor: Tensor) -> Tensor:
        return pad(tensor, (0, self.padding)) if self.padding else tensor.contiguous()

    def _blocks(self, flat: Tensor) -> list[tuple[slice, Tensor]]:
        width, rows = self.shape[2], self.split[2]
        starts = range(0, width, self.block)
        stops = [min(start + self.block, width) for start in starts]
        return [
            (slice(start, min(stop, self.channels)), flat[start * rows : stop * rows].view(rows, stop - start))
            for start, stop in zip(starts, stops, strict=True)
        ]

    def _to_blocks(self, table: Tensor) -> Tensor:
        if self.num_blocks == 1 and not self.padding:
            return table.contiguous()
        flat = (table.new_zeros if self.padding else table.new_empty)(self.split[2] * self.shape[2])
        matrix = table.reshape(self.split[2], self.channels)
        for channels, block in self._blocks(flat):
            block[:, : channels.stop - channels.start] = matrix[:, channels]
        return flat

    def from_blocks(self, copies: Tensor) -> Tensor:
        """The table that a sum of copies in blocks holds."""
        flat = copies[0] if self.chunks == 1 else copies.sum(dim=0)
        if self.num_blocks == 1 and not self.padding:
            return flat.view(*self.table_shape, self.channels)
        matrix = flat.new_empty(self.split[2], self.channels)
        for channels, block in self._blocks(flat):
            matrix[:, channels] = block[:, : channels.stop - channels.start]
        return matrix.view(*self.table_shape, self.channels)

    def unpadded(self, tensor: Tensor) -> Tensor:
        return tensor[..., : self.channels].contiguous() if self.padding else tensor


def table_conv_forward(
    x: Tensor,
    table: Tensor,
    coords: Tensor,
    source: Tensor,
    row_ptr: Tensor,
    edge_weight: Tensor | None,
    taps: Interpolation,
) -> Tensor:
    """The sum over edges; ``taps`` is "linear" or "bspline". Raises ValueError for coordinates outside the table."""
    problem = _Problem(x, table, coords, source, row_ptr, edge_weight, taps)
    if _count_outside(*problem.located):
        raise ValueError(outside_message(coords, table, taps))
    out = x.new_empty(problem.shape)
    arguments = (*problem.arrays, as_array(out), problem.shape, problem.split)
    if problem.threads == 1:
        _forward((0, problem.num_tasks), *arguments)
    else:
        with parallel_region(problem.threads):
            _forward_parallel(problem.num_tasks, *arguments)
    return problem.unpadded(out)


def table_conv_backward(
    grad: Tensor,
    x: Tensor,
    table: Tensor,
    coords: Tensor,
    source: Tensor,
    row_ptr: Tensor,
    edge_weight: Tensor | None,
    taps: Interpolation,
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, table, coords and edge_weight; ``needs`` says which, the others come back empty."""
    problem = _Problem(x, table, coords, source, row_ptr, edge_weight, taps)
    grad_array = as_array(problem.padded(grad))
    grad_x, grad_table, grad_coords, grad_weight = (x.new_empty(0) for _ in range(4))
    if needs[0] or needs[1]:
        grad_x = x.new_zeros(x.shape[0], *problem.shape[1:])
        copies = x.new_zeros(problem.chunks, problem.split[2] * problem.shape[2])
        arguments = (*problem.arrays, grad_array, as_array(grad_x), as_array(copies), problem.shape, problem.split)
        if problem.threads == 1:
            _backward((0, problem.num_tasks), *arguments)
        else:
            with parallel_region(problem.threads):
                _backward_parallel(problem.num_tasks, *arguments)
        grad_x, grad_table = problem.unpadded(grad_x), problem.from_blocks(copies)
    if needs[2] or needs[3]:
        grad_coords = torch.zeros_like(coords, memory_format=torch.contiguous_format) if needs[2] else grad_coords
        grad_weight = x.new_zeros(len(source)) if needs[3] else grad_weight
        edges = as_array(grad_coords), as_array(grad_weight)
        arguments = (*problem.arrays, grad_array, *edges, problem.shape, problem.split)
        if problem.threads == 1:
            _edge_gradients((0, problem.shape[0]), *arguments)
        else:
            with parallel_region(problem.threads):
                _edge_gradients_parallel(8 * problem.threads, *arguments)
    return grad_x, grad_table, grad_coords, grad_weight
