"""Farthest point sampling on the CPU: points in buckets with boxes, so that a step looks at few of them.

A bucket knows the largest gap (squared distance to the chosen points) of its points. A new choice that is at least as
far from the bucket's box cannot lower any gap there, so the bucket is left alone. Rounding is monotone, so the bound
holds for the computed numbers too, and the choice is that of the definition, to the bit.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# numba gives the types of what it compiles

import numba as nb
import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from rapidash.geometry._segments import Segments

BUCKET = 64
ORDER_ABOVE = 256  # points of the largest cloud; smaller clouds have buckets of points as they come


def farthest_points_numba(
    points: Float[Tensor, "N D"], segments: Segments, number: Int[Tensor, " B"], first: Int[Tensor, " B"]
) -> Int[Tensor, " M"]:
    """Same result as `farthest_points_reference`; time near M log N for points that spread in space."""
    order = np.arange(len(points))
    if segments.largest > ORDER_ABOVE:
        batch = torch.repeat_interleave(torch.arange(len(segments)), segments.count).numpy()
        order = cKDTree(points.numpy(), leafsize=BUCKET // 2).indices
        order = order[np.argsort(batch[order], kind="stable")]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    chosen = np.empty(int(number.sum()), dtype=np.int64)
    _sample(
        np.ascontiguousarray(points.numpy()[order].T),
        order,
        segments.start.numpy(),
        segments.count.numpy(),
        number.numpy(),
        place[first.numpy()],
        chosen,
    )
    return torch.from_numpy(chosen)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _sample(x, order, start, count, number, first, chosen):
    """Fill ``chosen``; ``x`` (D, N) and ``order`` (the rows before sorting) hold the clouds one after the other."""
    size = (count.max() + BUCKET - 1) // BUCKET
    low, high = np.empty((size, x.shape[0])), np.empty((size, x.shape[0]))
    peak, peak_at = np.empty(size), np.empty(size, dtype=np.int64)
    gap = np.full(x.shape[1], np.inf)
    written = 0
    for cloud in range(len(count)):
        begin, end = start[cloud], start[cloud] + count[cloud]
        num_buckets = (count[cloud] + BUCKET - 1) // BUCKET
        for bucket in range(num_buckets):
            lo, hi = begin + bucket * BUCKET, min(begin + (bucket + 1) * BUCKET, end)
            for axis in range(x.shape[0]):
                low[bucket, axis], high[bucket, axis] = x[axis, lo:hi].min(), x[axis, lo:hi].max()
            peak[bucket] = np.inf
        last = first[cloud]
        chosen[written] = order[last]
        for step in range(1, number[cloud]):
            gap[last] = -1.0  # never chosen again
            own = (last - begin) // BUCKET
            best = -1
            for bucket in range(num_buckets):
                if bucket == own or _box_distance(low[bucket], high[bucket], x[:, last]) < peak[bucket]:
                    lo, hi = begin + bucket * BUCKET, min(begin + (bucket + 1) * BUCKET, end)
                    peak_at[bucket] = _lower(x, gap, order, lo, hi, last)
                    peak[bucket] = gap[peak_at[bucket]]
                if best < 0 or _precedes(peak[bucket], order[peak_at[bucket]], peak[best], order[peak_at[best]]):
                    best = bucket
            last = peak_at[best]
            chosen[written + step] = order[last]
        written += number[cloud]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _precedes(gap, row, other_gap, other_row):
    return gap > other_gap or (gap == other_gap and row < other_row)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _box_distance(low, high, point):
    """Squared distance of a point from a box, summed as the definition sums distances of points."""
    total = 0.0
    for axis in range(len(point)):
        outside = max(low[axis] - point[axis], point[axis] - high[axis], 0.0)
        total += outside * outside
    return total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _lower(x, gap, order, lo, hi, last):
    """Take a new choice into account in the gaps lo : hi, and return the place of the largest of them."""
    total = np.zeros(BUCKET)
    for axis in range(x.shape[0]):
        for i in range(lo, hi):
            offset = x[axis, i] - x[axis, last]
            total[i - lo] += offset * offset
    best = lo
    for i in range(lo, hi):
        gap[i] = min(gap[i], total[i - lo])
        if _precedes(gap[i], order[i], gap[best], order[best]):
            best = i
    return best
