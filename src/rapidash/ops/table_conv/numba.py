"""table_conv on the CPU: for one orientation and a chunk of targets, the edges are sorted by cell of the table.

The edges of a cell share the rows of the table, which stay in registers, as do the sums of their gradients. Features
are packed, so that a block of channels of one orientation is contiguous and stays in the cache. A task is a range of
blocks of channels and a range of orientations: it alone writes its part of the output and of the gradient of x, and its
own copy of its part of the table's gradient. So there are no races, and sums have one order.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

import math
from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
import torch
from torch import Tensor

from rapidash.ops._numba_runtime import as_array, num_threads, parallel_region
from rapidash.ops._simd import block_width, copy_vectors, num_taps, run_backward, run_dots, run_forward
from rapidash.ops.table_conv._cells import (
    NOT_SORTED,
    TAPS,
    chunk_points,
    chunk_weights,
    count_outside,
    scratch,
    set_point_weights,
)
from rapidash.ops.table_conv._sorted import Sizes, sorted_points
from rapidash.ops.table_conv.reference import Interpolation, outside_message

CHUNK_EDGES = 8192  # sorted together: more make longer runs, fewer stay in the cache
SERIAL_BELOW = 300_000  # products under which starting threads costs more than it gains
NOTHING = {torch.float32: np.empty(0, np.float32), torch.float64: np.empty(0, np.float64)}


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _chunk_bounds(row_ptr):
    """Ranges of targets with at most CHUNK_EDGES edges (or one target) and at most CHUNK_EDGES targets."""
    num_targets = row_ptr.size - 1
    bounds = np.empty(num_targets + 1, np.int64)
    bounds[0] = num_chunks = 0
    for i in range(1, num_targets + 1):
        start = bounds[num_chunks]
        if i - 1 > start and (row_ptr[i] - row_ptr[start] > CHUNK_EDGES or i - start > CHUNK_EDGES):
            num_chunks += 1
            bounds[num_chunks] = i - 1
    if num_targets > 0:
        num_chunks += 1
        bounds[num_chunks] = num_targets
    return bounds[: num_chunks + 1]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _largest(row_ptr, bounds):
    """Most targets and most edges of a chunk."""
    targets = edges = 0
    for i in range(bounds.size - 1):
        targets = max(targets, bounds[i + 1] - bounds[i])
        edges = max(edges, row_ptr[bounds[i + 1]] - row_ptr[bounds[i]])
    return targets, edges


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _part(task, shape, width, split):
    """Ranges of blocks of channels and of orientations of a task: groups * chunks tasks share them."""
    groups, chunks, _ = split
    group, chunk = task // chunks, task % chunks
    num_blocks = -(-shape[2] // width)
    blocks = num_blocks * group // groups, num_blocks * (group + 1) // groups
    return blocks, (shape[1] * chunk // chunks, shape[1] * (chunk + 1) // chunks)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _pack(x, first, last, orientation, shape, blocks, width, packed):
    """Rows first : last of one orientation, as (block, row, channel), with zeros after the last channel."""
    _, orientations, channels, _ = shape
    rows = last - first
    for n in range(rows):
        at = ((first + n) * orientations + orientation) * channels
        for b in range(blocks[0], blocks[1]):
            to = ((b - blocks[0]) * rows + n) * width
            valid = min(width, channels - b * width)
            if valid == width:
                copy_vectors(x, at + b * width, packed, to, width)
            else:
                packed[to : to + valid] = x[at + b * width : at + b * width + valid]
                packed[to + valid : to + width] = 0


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _unpack(packed, first, last, orientation, shape, blocks, width, x):
    """Inverse of ``_pack``."""
    _, orientations, channels, _ = shape
    rows = last - first
    for n in range(rows):
        at = ((first + n) * orientations + orientation) * channels
        for b in range(blocks[0], blocks[1]):
            to = ((b - blocks[0]) * rows + n) * width
            valid = min(width, channels - b * width)
            if valid == width:
                copy_vectors(packed, to, x, at + b * width, width)
            else:
                x[at + b * width : at + b * width + valid] = packed[to : to + valid]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _forward(task, taps, nodes, width, edges, bounds, points, weights, x, table, out, shape, split):
    blocks, orientations = _part(task, shape, width, split)
    num_blocks, num_sources, num_nodes = blocks[1] - blocks[0], shape[3], split[2]
    most_targets, most_edges = _largest(edges[3], bounds)
    work = scratch(points, most_edges, num_nodes, len(taps) ** len(nodes), x)
    xs = np.empty(num_blocks * num_sources * width, x.dtype)
    outs = np.empty(num_blocks * most_targets * width, x.dtype)
    stride = (nodes[-1] + len(taps) - 2) * width
    for a in range(orientations[0], orientations[1]):
        _pack(x, 0, num_sources, a, shape, blocks, width, xs)
        for chunk in range(bounds.size - 1):
            first, last = bounds[chunk], bounds[chunk + 1]
            num_runs, (order, source, target, runs) = chunk_points(
                taps, nodes, width, edges, bounds, chunk, a, shape[1], points, work
            )
            here = chunk_weights(taps, nodes, edges, bounds, chunk, a, shape[1], order, points, weights, work)
            outs[: num_blocks * (last - first) * width] = 0
            for b in range(num_blocks):
                values = table[(blocks[0] + b) * num_nodes * width :]
                at_x, at_out, begin = b * num_sources * width, b * (last - first) * width, 0
                for r in range(num_runs):
                    at, end = runs[r, 0] * width, runs[r, 1]
                    run_forward(
                        taps,
                        nodes,
                        values,
                        at,
                        width,
                        stride,
                        here,
                        source,
                        target,
                        begin,
                        end,
                        xs,
                        at_x,
                        outs,
                        at_out,
                    )
                    begin = end
            _unpack(outs, first, last, a, shape, blocks, width, out)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _backward(
    task, taps, nodes, width, edges, bounds, points, weights, x, table, grad, grad_x, grad_table, shape, split
):
    blocks, orientations = _part(task, shape, width, split)
    num_blocks, num_sources, num_nodes = blocks[1] - blocks[0], shape[3], split[2]
    most_targets, most_edges = _largest(edges[3], bounds)
    work = scratch(points, most_edges, num_nodes, len(taps) ** len(nodes), x)
    xs = np.empty(num_blocks * num_sources * width, x.dtype)
    grad_xs = np.empty(num_blocks * num_sources * width, x.dtype)
    grads = np.empty(num_blocks * most_targets * width, x.dtype)
    stride = (nodes[-1] + len(taps) - 2) * width
    copy = grad_table[(task % split[1]) * table.size :]
    for a in range(orientations[0], orientations[1]):
        _pack(x, 0, num_sources, a, shape, blocks, width, xs)
        grad_xs[:] = 0
        for chunk in range(bounds.size - 1):
            first, last = bounds[chunk], bounds[chunk + 1]
            num_runs, (order, source, target, runs) = chunk_points(
                taps, nodes, width, edges, bounds, chunk, a, shape[1], points, work
            )
            here = chunk_weights(taps, nodes, edges, bounds, chunk, a, shape[1], order, points, weights, work)
            _pack(grad, first, last, a, shape, blocks, width, grads)
            for b in range(num_blocks):
                values = table[(blocks[0] + b) * num_nodes * width :]
                sums = copy[(blocks[0] + b) * num_nodes * width :]
                at_x, at_grad, begin = b * num_sources * width, b * (last - first) * width, 0
                for r in range(num_runs):
                    at, end = runs[r, 0] * width, runs[r, 1]
                    run_backward(
                        taps, nodes, values, at, width, stride, here, source, target, begin, end,
                        xs, grad_xs, at_x, grads, at_grad, sums,
                    )  # fmt: skip
                    begin = end
        _unpack(grad_xs, 0, num_sources, a, shape, blocks, width, grad_x)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _dots(task, taps, nodes, width, edges, bounds, points, weights, x, table, grad, dots, axes, scaled, shape, split):
    """dots[e, a, k] = sum over channels of x * grad * the kernel's derivative along axes[k]; -1 is the kernel."""
    _, orientations = _part(task, shape, width, split)
    num_blocks, num_sources, num_nodes = -(-shape[2] // width), shape[3], split[2]
    blocks = (0, num_blocks)
    most_targets, most_edges = _largest(edges[3], bounds)
    work = scratch(points, most_edges, num_nodes, len(taps) ** len(nodes), x)
    own = np.empty(most_edges * len(taps) ** len(nodes), x.dtype)
    xs = np.empty(num_blocks * num_sources * width, x.dtype)
    grads = np.empty(num_blocks * most_targets * width, x.dtype)
    sums = np.empty(most_edges, x.dtype)
    stride = (nodes[-1] + len(taps) - 2) * width
    for a in range(orientations[0], orientations[1]):
        _pack(x, 0, num_sources, a, shape, blocks, width, xs)
        for chunk in range(bounds.size - 1):
            first, last = bounds[chunk], bounds[chunk + 1]
            num_runs, (order, source, target, runs) = chunk_points(
                taps, nodes, width, edges, bounds, chunk, a, shape[1], points, work
            )
            _pack(grad, first, last, a, shape, blocks, width, grads)
            for k in range(axes.size):
                set_point_weights(taps, nodes, edges, first, a, shape[1], axes[k], scaled[k], order, own)
                sums[:] = 0
                for b in range(num_blocks):
                    values = table[b * num_nodes * width :]
                    at_x, at_grad, begin = b * num_sources * width, b * (last - first) * width, 0
                    for r in range(num_runs):
                        at, end = runs[r, 0] * width, runs[r, 1]
                        run_dots(
                            taps, nodes, values, at, width, stride, own, source, target, begin, end,
                            xs, at_x, grads, at_grad, sums,
                        )  # fmt: skip
                        begin = end
                low = edges[3][first]
                for p in range(edges[3][last] - low):
                    dots[((low + order[p]) * shape[1] + a) * axes.size + k] = sums[p]


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _forward_parallel(taps, nodes, width, edges, bounds, points, weights, x, table, out, shape, split):
    for task in nb.prange(split[0] * split[1]):
        _forward(task, taps, nodes, width, edges, bounds, points, weights, x, table, out, shape, split)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _backward_parallel(
    taps, nodes, width, edges, bounds, points, weights, x, table, grad, grad_x, grad_table, shape, split
):
    for task in nb.prange(split[0] * split[1]):
        _backward(
            task, taps, nodes, width, edges, bounds, points, weights, x, table, grad, grad_x, grad_table, shape, split
        )


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _dots_parallel(
    taps, nodes, width, edges, bounds, points, weights, x, table, grad, dots, axes, scaled, shape, split
):
    for task in nb.prange(split[1]):
        _dots(
            task, taps, nodes, width, edges, bounds, points, weights, x, table, grad, dots, axes, scaled, shape, split
        )


class _Problem:
    """One call in the layout of the kernels: flat arrays, and the table in blocks of channels."""

    def __init__(
        self,
        x: Tensor,
        table: Tensor,
        coords: Tensor,
        edges: tuple[Tensor | None, ...],
        edge_weight: Tensor | None,
        taps: Interpolation,
        layouts: dict[str, Any] | None = None,
    ) -> None:
        points, axes = len(TAPS[taps]), coords.shape[2]
        self.channels = x.shape[2]
        self.width = block_width(points, axes, x.element_size())
        self.num_blocks = -(-self.channels // self.width)
        self.table_shape = table.shape[:-1]
        source, target, row_ptr = (index.numpy() for index in edges[:3] if index is not None)
        self.shape = (len(row_ptr) - 1, x.shape[1], self.channels, x.shape[0])
        self.threads = 1
        if coords.numel() * self.channels * num_taps(points, axes) > SERIAL_BELOW:
            self.threads = num_threads()
        groups = math.gcd(self.threads, self.num_blocks) if self.num_blocks < 4 * self.threads else self.threads
        chunks = max(1, min(x.shape[1], self.threads // max(groups, 1)))
        self.split = (groups, chunks, self.table_shape.numel())
        weight = NOTHING[x.dtype] if edge_weight is None else as_array(edge_weight.contiguous())
        self.nodes = tuple(size - points + 2 for size in self.table_shape)
        self.coords = as_array(coords.contiguous())
        blocks = None if layouts is None else layouts.get(taps)
        if blocks is None:
            blocks = self._to_blocks(table)
        if layouts is not None:
            layouts[taps] = blocks
        self.edges, self.bounds = (self.coords, source, target, row_ptr, weight), _chunk_bounds(row_ptr)
        sizes = Sizes(TAPS[taps], self.nodes, self.width, self.shape[1], self.split[2])
        self.sorted = sorted_points(coords, edges[:3], sizes, x.dtype)
        own: tuple[Any, Any] = NOT_SORTED, NOTHING[x.dtype]
        if self.sorted is not None:
            tasks = max(1, min(self.threads, self.shape[1]))
            own = self.sorted.arrays(self.edges, self.bounds, edge_weight, tasks, like=x)
        self.arguments = (
            TAPS[taps], self.nodes, self.width, self.edges, self.bounds, *own,
            as_array(x.contiguous()), blocks,
        )  # fmt: skip

    def num_outside(self) -> int:
        """The number of coordinates outside the table; those that are kept are looked at once."""
        if self.sorted is not None and self.sorted.are_inside:
            return 0
        outside = int(count_outside(self.nodes, self.coords))
        if self.sorted is not None:
            self.sorted.are_inside = outside == 0
        return outside

    def run(
        self, serial: Callable[..., None], parallel: Callable[..., None], *arrays: Any, by_orientation: bool = False
    ) -> None:
        """One task here, or all tasks on the threads; by orientation only, each task has every channel."""
        split = (1, max(1, min(self.threads, self.shape[1])), self.split[2]) if by_orientation else self.split
        if self.threads == 1:
            serial(0, *self.arguments, *arrays, self.shape, split)
        else:
            with parallel_region(self.threads):
                parallel(*self.arguments, *arrays, self.shape, split)

    def _to_blocks(self, table: Tensor) -> Any:
        """(nodes, channels) -> (blocks, nodes, channels of a block), with zeros after the last channel."""
        blocks = np.empty(self.num_blocks * self.split[2] * self.width, as_array(table).dtype)
        shape = (1, 1, self.channels, self.split[2])
        _pack(as_array(table.contiguous()), 0, self.split[2], 0, shape, (0, self.num_blocks), self.width, blocks)
        return blocks

    def from_blocks(self, copies: Tensor) -> Tensor:
        """The table whose copies in blocks, to be summed, these are."""
        blocks = copies[0] if len(copies) == 1 else copies.sum(dim=0)
        table = blocks.new_empty(*self.table_shape, self.channels)
        shape = (1, 1, self.channels, self.split[2])
        _unpack(as_array(blocks), 0, self.split[2], 0, shape, (0, self.num_blocks), self.width, as_array(table))
        return table


def checked_problem(
    x: Tensor,
    table: Tensor,
    coords: Tensor,
    edges: tuple[Tensor | None, ...],
    edge_weight: Tensor | None,
    taps: Interpolation,
    layouts: dict[str, Any] | None = None,
) -> _Problem:
    """The problem of `table_conv_forward`; ValueError for coordinates outside the table."""
    problem = _Problem(x, table, coords, edges, edge_weight, taps, layouts)
    if problem.num_outside():
        raise ValueError(outside_message(coords, table, taps))
    return problem


def table_conv_forward(
    x: Tensor,
    table: Tensor,
    coords: Tensor,
    edges: tuple[Tensor | None, ...],
    edge_weight: Tensor | None,
    taps: Interpolation,
    layouts: dict[str, Any] | None = None,
) -> Tensor:
    """The sum over edges (source, target, row_ptr, and two not used here); ``taps`` is "linear" or "bspline".

    ``layouts`` holds the array that was made of the table in an earlier call, and takes it in the first.

    Raises: ValueError for coordinates outside the table.
    """
    problem = checked_problem(x, table, coords, edges, edge_weight, taps, layouts)
    out = x.new_empty(problem.shape[:3])
    problem.run(_forward, _forward_parallel, as_array(out))
    return out


def table_conv_backward(
    grad: Tensor,
    x: Tensor,
    table: Tensor,
    coords: Tensor,
    edges: tuple[Tensor | None, ...],
    edge_weight: Tensor | None,
    taps: Interpolation,
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, table, coords and edge_weight; ``needs`` says which, the others come back empty."""
    problem = _Problem(x, table, coords, edges, edge_weight, taps)
    grad_array = as_array(grad.contiguous())
    grad_x, grad_table, grad_coords, grad_weight = (x.new_empty(0) for _ in range(4))
    if needs[0] or needs[1]:
        grad_x = x.new_empty(x.shape)
        copies = x.new_zeros(problem.split[1], problem.num_blocks, problem.split[2], problem.width)
        problem.run(_backward, _backward_parallel, grad_array, as_array(grad_x), as_array(copies))
        grad_table = problem.from_blocks(copies)
    if needs[2] or needs[3]:
        axes = [-1] * needs[3] + list(range(coords.shape[2])) * needs[2]
        dots = x.new_zeros(*coords.shape[:2], len(axes))
        scaled = np.array([axis >= 0 for axis in axes])
        problem.run(_dots, _dots_parallel, grad_array, as_array(dots), np.array(axes), scaled, by_orientation=True)
        if needs[3]:
            grad_weight = dots[..., 0].sum(dim=1)
        if needs[2]:
            grad_coords = dots[..., int(needs[3]) :].contiguous()
    return grad_x, grad_table, grad_coords, grad_weight
