"""table_conv on the CPU with its forward-mode derivative: one pass over the edges gives value and tangent.

The points of a run use the same rows of the table: the kernel and its slope along the tangents of the coordinates are
two weighted sums of them. See `rapidash.ops.table_conv.numba` for the order of the work.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

import numba as nb
import numpy as np
import torch
from torch import Tensor

from rapidash.ops._numba_runtime import as_array
from rapidash.ops._simd import run_jvp
from rapidash.ops.table_conv._cells import chunk_points, chunk_weights, scratch, set_weights
from rapidash.ops.table_conv.numba import _largest, _pack, _part, _unpack, checked_problem, table_conv_forward
from rapidash.ops.table_conv.reference import Interpolation


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _set_slopes(taps, nodes, edges, first, last, orientation, orientations, dcoords, dweight, order, part, slopes):
    """Tangents of the weights of the sorted points: along each axis by the coordinate's tangent, and of the factor."""
    coords, _, _, row_ptr, edge_weight = edges
    low, axes, count = row_ptr[first], len(nodes), len(taps) ** len(nodes)
    for p in range(row_ptr[last] - low):
        e = low + order[p]
        point = e * orientations + orientation
        scale = edge_weight[e] if edge_weight.size > 0 else 1.0
        factor = dweight[e] if dweight.size > 0 else 0.0
        set_weights(taps, nodes, coords, point, factor, -1, slopes, p * count)
        for axis in range(axes):
            set_weights(taps, nodes, coords, point, scale * dcoords[point * axes + axis], axis, part, 0)
            for tap in range(count):
                slopes[p * count + tap] += part[tap]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _jvp(
    task, taps, nodes, width, edges, bounds, points, weights, x, table, dx, dcoords, dweight, out, dout, shape, split
):
    blocks, orientations = _part(task, shape, width, split)
    num_blocks, num_sources, num_nodes = blocks[1] - blocks[0], shape[3], split[2]
    most_targets, most_edges = _largest(edges[3], bounds)
    work = scratch(points, most_edges, num_nodes, len(taps) ** len(nodes), x)
    count = len(taps) ** len(nodes)
    slopes, part = np.empty(most_edges * count, x.dtype), np.empty(count, x.dtype)
    xs = np.empty(num_blocks * num_sources * width, x.dtype)
    outs = np.empty(num_blocks * most_targets * width, x.dtype)
    dxs, douts = np.empty_like(xs), np.empty_like(outs)
    stride = (nodes[-1] + len(taps) - 2) * width
    for a in range(orientations[0], orientations[1]):
        _pack(x, 0, num_sources, a, shape, blocks, width, xs)
        _pack(dx, 0, num_sources, a, shape, blocks, width, dxs)
        for chunk in range(bounds.size - 1):
            first, last = bounds[chunk], bounds[chunk + 1]
            num_runs, (order, source, target, runs) = chunk_points(
                taps, nodes, width, edges, bounds, chunk, a, shape[1], points, work
            )
            here = chunk_weights(taps, nodes, edges, bounds, chunk, a, shape[1], order, points, weights, work)
            _set_slopes(taps, nodes, edges, first, last, a, shape[1], dcoords, dweight, order, part, slopes)
            outs[: num_blocks * (last - first) * width] = 0
            douts[: num_blocks * (last - first) * width] = 0
            for b in range(num_blocks):
                values = table[(blocks[0] + b) * num_nodes * width :]
                at_x, at_out, begin = b * num_sources * width, b * (last - first) * width, 0
                for r in range(num_runs):
                    at, end = runs[r, 0] * width, runs[r, 1]
                    run_jvp(
                        taps, nodes, values, at, width, stride, here, source, target, begin, end,
                        slopes, xs, dxs, at_x, outs, douts, at_out,
                    )  # fmt: skip
                    begin = end
            _unpack(outs, first, last, a, shape, blocks, width, out)
            _unpack(douts, first, last, a, shape, blocks, width, dout)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _jvp_parallel(
    taps, nodes, width, edges, bounds, points, weights, x, table, dx, dcoords, dweight, out, dout, shape, split
):
    for task in nb.prange(split[0] * split[1]):
        _jvp(
            task,
            taps,
            nodes,
            width,
            edges,
            bounds,
            points,
            weights,
            x,
            table,
            dx,
            dcoords,
            dweight,
            out,
            dout,
            shape,
            split,
        )


def table_conv_jvp(
    inputs: tuple[Tensor, Tensor, Tensor, Tensor | None],
    tangents: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None],
    edges: tuple[Tensor | None, ...],
    taps: Interpolation,
) -> tuple[Tensor, Tensor]:
    """Value and tangent of the sum over edges from (x, table, coords, edge_weight) and their tangents; None is 0.

    With linear interpolation the kernel's slope is constant between two nodes; at a node it is that of the cell above.
    ``edges`` and ``taps`` as for `table_conv_forward`.
    Raises: ValueError for coordinates outside the table.
    """
    x, table, coords, edge_weight = inputs
    dx, dtable, dcoords, dweight = tangents
    terms = []  # of the tangent
    if dcoords is None and dweight is None:
        out = table_conv_forward(x, table, coords, edges, edge_weight, taps)
        if dx is not None:
            terms.append(table_conv_forward(dx, table, coords, edges, edge_weight, taps))
    else:
        problem = checked_problem(x, table, coords, edges, edge_weight, taps)
        dx, dcoords = (torch.zeros_like(t) if dt is None else dt for t, dt in ((x, dx), (coords, dcoords)))
        dweight = x.new_empty(0) if dweight is None else dweight
        out, slope = x.new_empty(problem.shape[:3]), x.new_empty(problem.shape[:3])
        arrays = (as_array(tensor.contiguous()) for tensor in (dx, dcoords, dweight))
        problem.run(_jvp, _jvp_parallel, *arrays, as_array(out), as_array(slope))
        terms.append(slope)
    if dtable is not None:
        terms.append(table_conv_forward(x, dtable, coords, edges, edge_weight, taps))
    return out, terms[0] if len(terms) == 1 else terms[0] + terms[1]
