"""Nearest and near points on the CPU for clouds up to a few thousand points: all pairs, a query at a time.

The compiler neither reorders nor fuses the arithmetic, so the result is that of the definition, to the bit.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

import numba as nb
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.geometry._segments import Segments


def nearest_by_numba(
    points: Float[Tensor, "P D"],
    segments: Segments,
    queries: Float[Tensor, "Q D"],
    query_batch: Int[Tensor, " Q"],
    k: int,
) -> Int[Tensor, "Q k"]:
    """Same result as `nearest_brute`; no memory beyond the result."""
    rows = np.full((len(queries), k), -1)
    _nearest(*_coordinates(points, queries), *_ranges(segments, query_batch), np.empty(segments.largest), rows)
    return torch.from_numpy(rows)


def within_by_numba(
    points: Float[Tensor, "P D"], segments: Segments, batch: Int[Tensor, " P"], radius: float
) -> Int[Tensor, "2 E"]:
    """Same result as `within_brute`; no memory beyond the result."""
    x, _ = _coordinates(points, points)
    begin, end = _ranges(segments, batch)
    gap, first = np.empty(segments.largest), np.zeros(len(points) + 1, dtype=np.int64)
    _count(x, begin, end, radius * radius, gap, first[1:])
    first = np.cumsum(first)
    edges = np.empty((2, first[-1]), dtype=np.int64)
    _fill(x, begin, end, radius * radius, gap, first, edges)
    return torch.from_numpy(edges)


def _coordinates(*positions):
    """Arrays (D, N), so that neighboring points lie side by side."""
    return [np.ascontiguousarray(pos.numpy().T) for pos in positions]


def _ranges(segments, clouds):
    """First row, and row after the last, of the cloud of each query."""
    begin = segments.start[clouds]
    return begin.numpy(), (begin + segments.count[clouds]).numpy()


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _squared_distances(x, lo, hi, query, gap):
    """Fill gap with the distances of points lo : hi from a query, summed from the first coordinate on."""
    for i in range(hi - lo):
        offset = x[0, lo + i] - query[0]
        gap[i] = offset * offset
    for axis in range(1, x.shape[0]):
        for i in range(hi - lo):
            offset = x[axis, lo + i] - query[axis]
            gap[i] += offset * offset


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _nearest(x, queries, begin, end, gap, rows):
    k = rows.shape[1]
    kept = np.empty(k)  # distances of the nearest so far, in order
    for query in range(queries.shape[1]):
        lo, hi = begin[query], end[query]
        _squared_distances(x, lo, hi, queries[:, query], gap)
        size, farthest = 0, np.inf
        for i in range(hi - lo):
            # points come by row, so one as far as the last kept comes after it in the order of the definition
            if size < k or gap[i] < farthest:
                place = min(size, k - 1)
                while place > 0 and gap[i] < kept[place - 1]:
                    kept[place] = kept[place - 1]
                    rows[query, place] = rows[query, place - 1]
                    place -= 1
                kept[place] = gap[i]
                rows[query, place] = lo + i
                size = min(size + 1, k)
                farthest = kept[size - 1]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _count(x, begin, end, square, gap, count):
    for target in range(x.shape[1]):
        lo, hi = begin[target], end[target]
        _squared_distances(x, lo, hi, x[:, target], gap)
        total = 0
        for i in range(hi - lo):
            total += gap[i] <= square
        count[target] = total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _fill(x, begin, end, square, gap, first, edges):
    for target in range(x.shape[1]):
        lo, hi = begin[target], end[target]
        _squared_distances(x, lo, hi, x[:, target], gap)
        edge = first[target]
        for i in range(hi - lo):
            if gap[i] <= square:
                edges[0, edge] = lo + i
                edges[1, edge] = target
                edge += 1
