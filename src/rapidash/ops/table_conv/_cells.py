"""Points sorted by the cell of the table they lie in, with the weights of the nodes around: compiled by numba."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# numba gives the types of what it compiles

from typing import Any

import numba as nb
import numpy as np
from numba.extending import overload, register_jitable

from rapidash.ops.table_conv.reference import RANGE_TOLERANCE

LINEAR, CUBIC = (0, 0), (0, 0, 0, 0)  # the length selects the weights when numba compiles
TAPS = {"linear": LINEAR, "bspline": CUBIC}


@register_jitable(inline="always")
def locate(u, num_nodes):
    """Index of the cell and the position in it; any u, also NaN, gives an index inside the table."""
    u = min(max(u, 0.0), num_nodes - 1.0)
    cell = min(max(int(u), 0), max(num_nodes - 2, 0))
    return cell, u - cell


@nb.njit(cache=True, nogil=True, error_model="numpy")
def count_outside(nodes, coords):
    """Number of coordinates that are NaN or leave the table by more than rounding."""
    axes = len(nodes)
    outside = 0
    for axis in range(axes):
        last = nodes[axis] - 1 + RANGE_TOLERANCE
        for at in range(axis, coords.size, axes):
            outside += not (coords[at] >= -RANGE_TOLERANCE and coords[at] <= last)
    return outside


def _weights(taps: Any, t: float) -> tuple[float, ...]:
    raise NotImplementedError("compiled code only")


def _slopes(taps: Any, t: float) -> tuple[float, ...]:
    raise NotImplementedError("compiled code only")


@overload(_weights)
def _overload_weights(taps, t):
    if len(taps) == 2:
        return lambda taps, t: (1.0 - t, t)

    def cubic(taps, t):
        s = 1.0 - t
        first, last = s * s * s / 6.0, t * t * t / 6.0
        second = 2.0 / 3.0 - 0.5 * t * t * (2.0 - t)
        return first, second, 1.0 - first - second - last, last

    return cubic


@overload(_slopes)
def _overload_slopes(taps, t):
    if len(taps) == 2:
        return lambda taps, t: (-1.0, 1.0)

    def cubic(taps, t):
        s = 1.0 - t
        first, last = -0.5 * s * s, 0.5 * t * t
        second = 1.5 * t * t - 2.0 * t
        return first, second, -(first + second + last), last

    return cubic


def cell_at(taps: Any, nodes: Any, coords: Any, point: int) -> int:
    """Index of the first node of the cell in the stored table."""
    raise NotImplementedError("compiled code only")


@overload(cell_at)
def _overload_cell_at(taps, nodes, coords, point):
    def line(taps, nodes, coords, point):
        return locate(coords[point], nodes[0])[0]

    def plane(taps, nodes, coords, point):
        row, _ = locate(coords[2 * point], nodes[0])
        return row * (nodes[1] + len(taps) - 2) + locate(coords[2 * point + 1], nodes[1])[0]

    return line if len(nodes) == 1 else plane


def set_weights(taps: Any, nodes: Any, coords: Any, point: int, scale: float, axis: int, weights: Any, at: int) -> None:
    """Weights of the nodes around a point, or with axis >= 0 their derivative along that axis, times scale."""
    raise NotImplementedError("compiled code only")


@overload(set_weights)
def _overload_set_weights(taps, nodes, coords, point, scale, axis, weights, at):
    """A coordinate that rounding put outside the table is constant there: its derivative is zero."""
    points = len(taps)

    def line(taps, nodes, coords, point, scale, axis, weights, at):
        u = coords[point]
        _, t = locate(u, nodes[0])
        inside = axis < 0 or 0.0 <= u <= nodes[0] - 1
        values = _weights(taps, t) if axis < 0 else _slopes(taps, t)
        for j in range(points):
            weights[at + j] = values[j] * scale if inside else 0.0

    def plane(taps, nodes, coords, point, scale, axis, weights, at):
        u, v = coords[2 * point], coords[2 * point + 1]
        _, s = locate(u, nodes[0])
        _, t = locate(v, nodes[1])
        along = u if axis == 0 else v
        inside = axis < 0 or 0.0 <= along <= nodes[axis] - 1
        rows = _slopes(taps, s) if axis == 0 else _weights(taps, s)
        columns = _slopes(taps, t) if axis == 1 else _weights(taps, t)
        for i in range(points):
            row = rows[i] * scale if inside else 0.0
            for j in range(points):
                weights[at + i * points + j] = row * columns[j]

    return line if len(nodes) == 1 else plane


NO_INDICES, NO_RUNS, NO_COUNTS = np.empty(0, np.int64), np.empty((0, 2), np.int64), np.empty((0, 0), np.int64)
NOT_SORTED = (NO_INDICES, NO_INDICES, NO_INDICES, NO_RUNS, NO_COUNTS, NO_INDICES)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def scratch(points, most_edges, num_nodes, num_weights, like):
    """Arrays that `chunk_points` and `chunk_weights` work in; empty where all points are sorted already."""
    if points[0].size > 0:
        most_edges = num_nodes = 0
    order, source, target, cells = (
        np.empty(most_edges, np.int64),
        np.empty(most_edges, np.int64),
        np.empty(most_edges, np.int64),
        np.empty(most_edges, np.int64),
    )
    count, runs = np.empty(num_nodes, np.int64), np.empty((num_nodes, 2), np.int64)
    return order, source, target, runs, cells, count, np.empty(most_edges * num_weights, like.dtype)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def sort_chunk(taps, nodes, width, edges, first, last, orientation, orientations, cells, count, found):
    """Sort the edges of the targets first : last by the cell of one orientation, in the edges' order within a cell.

    ``found`` holds what is set: ``order``, sorted position -> edge counted from the first; rows of x and of the output
    (times width) of the sorted points; and ``runs``, (cell, end) of every cell with points.
    Returns: the number of runs.
    """
    coords, sources, targets, row_ptr, _ = edges
    order, source, target, runs = found
    low, high = row_ptr[first], row_ptr[last]
    count[:] = 0
    for e in range(low, high):
        cell = cell_at(taps, nodes, coords, e * orientations + orientation)
        cells[e - low] = cell
        count[cell] += 1
    total = num_runs = 0
    for cell in range(count.size):
        here = count[cell]
        count[cell] = total
        if here > 0:
            total += here
            runs[num_runs, 0], runs[num_runs, 1] = cell, total
            num_runs += 1
    for e in range(high - low):
        p = count[cells[e]]
        order[p], source[p], target[p] = e, sources[low + e] * width, (targets[low + e] - first) * width
        count[cells[e]] += 1
    return num_runs


@nb.njit(cache=True, nogil=True, error_model="numpy")
def set_point_weights(taps, nodes, edges, first, orientation, orientations, axis, scaled, order, weights):
    """Weights of the nodes around the sorted points of a chunk, or their derivatives along an axis >= 0."""
    coords, _, _, row_ptr, edge_weight = edges
    low, num_weights = row_ptr[first], len(taps) ** len(nodes)
    for p in range(order.size):
        e = low + order[p]
        scale = edge_weight[e] if scaled and edge_weight.size > 0 else 1.0
        set_weights(taps, nodes, coords, e * orientations + orientation, scale, axis, weights, p * num_weights)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _chunk_range(edges, bounds, chunk, orientation):
    """Where the points of one orientation and chunk of targets lie in arrays of all points."""
    begin = orientation * edges[1].size
    return begin + edges[3][bounds[chunk]], begin + edges[3][bounds[chunk + 1]]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _found(edges, bounds, chunk, orientation, points):
    """The part of one orientation and chunk of targets in all sorted points, see `sort_chunk`."""
    order, source, target, runs, _, run_ptr = points
    at, end = _chunk_range(edges, bounds, chunk, orientation)
    to = orientation * run_ptr[-1]
    return order[at:end], source[at:end], target[at:end], runs[to + run_ptr[chunk] : to + run_ptr[chunk + 1]]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def sort_points(task, tasks, taps, nodes, width, edges, bounds, orientations, num_nodes, most_edges, points):
    """Sort all points of a range of orientations, each chunk of targets as `sort_chunk`."""
    cells, count = np.empty(most_edges, np.int64), np.empty(num_nodes, np.int64)
    for a in range(orientations * task // tasks, orientations * (task + 1) // tasks):
        for chunk in range(bounds.size - 1):
            found = _found(edges, bounds, chunk, a, points)
            points[4][a, chunk] = sort_chunk(
                taps, nodes, width, edges, bounds[chunk], bounds[chunk + 1], a, orientations, cells, count, found
            )


@nb.njit(cache=True, nogil=True, error_model="numpy")
def weigh_points(task, tasks, taps, nodes, edges, bounds, orientations, points, weights):
    """Set the weights of all sorted points of a range of orientations."""
    num_weights = len(taps) ** len(nodes)
    for a in range(orientations * task // tasks, orientations * (task + 1) // tasks):
        for chunk in range(bounds.size - 1):
            at, end = _chunk_range(edges, bounds, chunk, a)
            here = weights[at * num_weights : end * num_weights]
            set_point_weights(taps, nodes, edges, bounds[chunk], a, orientations, -1, True, points[0][at:end], here)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def chunk_points(taps, nodes, width, edges, bounds, chunk, orientation, orientations, points, work):
    """The sorted points of one orientation and chunk of targets: those that are kept, or sorted now.

    Returns: the number of runs, and order, source, target and runs, see `sort_chunk`.
    """
    if points[0].size > 0:
        return points[4][orientation, chunk], _found(edges, bounds, chunk, orientation, points)
    first, last = bounds[chunk], bounds[chunk + 1]
    order, source, target, runs, cells, count, _ = work
    num = edges[3][last] - edges[3][first]
    found = order[:num], source[:num], target[:num], runs[:]
    num_runs = sort_chunk(taps, nodes, width, edges, first, last, orientation, orientations, cells, count, found)
    return num_runs, found


@nb.njit(cache=True, nogil=True, error_model="numpy")
def chunk_weights(taps, nodes, edges, bounds, chunk, orientation, orientations, order, points, weights, work):
    """The weights of the points that `chunk_points` has sorted in this order: those that are kept, or made now."""
    num_weights = len(taps) ** len(nodes)
    if points[0].size > 0:
        at, end = _chunk_range(edges, bounds, chunk, orientation)
        return weights[at * num_weights : end * num_weights]
    here = work[6][: order.size * num_weights]
    set_point_weights(taps, nodes, edges, bounds[chunk], orientation, orientations, -1, True, order, here)
    return here
