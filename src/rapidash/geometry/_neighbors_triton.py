"""Nearest and near points on the GPU: all pairs of a cloud, tile by tile, without a matrix of distances.

A program takes a few queries and walks over the points from the first to the last of their clouds. The arithmetic is
that of the definition (float64, no fused multiply-add), so the result is the same to the bit.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Triton gives the types of what it compiles

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.geometry._segments import Segments

QUERIES_AT_ONCE = 16
POINTS_AT_ONCE = 128
LAST_ROW = tl.constexpr(2**62)  # a row number after all others


def nearest_by_triton(
    points: Float[Tensor, "P D"],
    segments: Segments,
    queries: Float[Tensor, "Q D"],
    query_batch: Int[Tensor, " Q"],
    k: int,
) -> Int[Tensor, "Q k"]:
    """Same result as `nearest_brute`; made for k up to 128, since a query's neighbors so far stay in registers."""
    begin, end = _ranges(segments, query_batch)
    gap = points.new_empty(len(queries), k)
    row = torch.empty(len(queries), k, dtype=torch.long, device=points.device)
    if len(queries) == 0:
        return row
    _nearest_kernel[(triton.cdiv(len(queries), QUERIES_AT_ONCE),)](
        points.T.contiguous(), queries.T.contiguous(), begin, end, gap, row, len(points), len(queries), k,
        D=points.shape[1], K=triton.next_power_of_2(k), QUERIES=QUERIES_AT_ONCE, POINTS=POINTS_AT_ONCE,
        enable_fp_fusion=False,
    )  # fmt: skip
    # the kernel gives the k nearest in no order: sort by row, then, keeping that order, by distance
    order = row.argsort(dim=1)
    order = order.gather(1, gap.gather(1, order).sort(dim=1, stable=True).indices)
    return row.gather(1, order).masked_fill(gap.gather(1, order).isinf(), -1)


def within_by_triton(
    points: Float[Tensor, "P D"], segments: Segments, batch: Int[Tensor, " P"], radius: float
) -> Int[Tensor, "2 E"]:
    """Same result as `within_brute`; memory for the edges only."""
    begin, end = _ranges(segments, batch)
    coordinates = points.T.contiguous()
    grid = (triton.cdiv(len(points), QUERIES_AT_ONCE),)
    limit = points.new_tensor([radius * radius])  # an argument of a kernel would be rounded to float32
    count = torch.empty(len(points), dtype=torch.long, device=points.device)

    def run(first: Tensor, edges: Tensor, num_edges: int) -> None:
        _within_kernel[grid](
            coordinates, begin, end, limit, count, first, edges, len(points), num_edges, D=points.shape[1],
            HAS_EDGES=num_edges > 0, QUERIES=QUERIES_AT_ONCE, POINTS=POINTS_AT_ONCE, enable_fp_fusion=False,
        )  # fmt: skip

    run(count, count, 0)
    first = torch.cumsum(count, 0) - count
    edges = torch.empty(2, int(count.sum()), dtype=torch.long, device=points.device)
    run(first, edges, edges.shape[1])
    return edges


def _ranges(segments: Segments, clouds: Tensor) -> tuple[Tensor, Tensor]:
    """First row, and row after the last, of the cloud of each query."""
    begin = segments.start[clouds]
    return begin, begin + segments.count[clouds]


@triton.jit
def _squared_distance(points, row, is_point, query, num_points, D: tl.constexpr):
    """Distances of queries (coordinates in a tuple) from a tile of points, summed from the first coordinate on."""
    offset = query[0][:, None] - tl.load(points + row, mask=is_point, other=0.0)[None, :]
    total = offset * offset
    for axis in tl.static_range(1, D):
        offset = query[axis][:, None] - tl.load(points + axis * num_points + row, mask=is_point, other=0.0)[None, :]
        total = total + offset * offset
    return total


@triton.jit
def _load_queries(queries, rows, is_query, num_queries, D: tl.constexpr):
    """The coordinates of the queries of this program: three vectors, in the plane two and one of them again."""
    x = tl.load(queries + rows, mask=is_query, other=0.0)
    y = tl.load(queries + (D > 1) * num_queries + rows, mask=is_query, other=0.0)
    z = tl.load(queries + (D > 2) * 2 * num_queries + rows, mask=is_query, other=0.0)
    return x, y, z


@triton.jit
def _nearest_kernel(
    points, queries, begin, end, gap, row, num_points, num_queries, k,
    D: tl.constexpr, K: tl.constexpr, QUERIES: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0).to(tl.int64) * QUERIES + tl.arange(0, QUERIES)
    is_query = rows < num_queries
    query = _load_queries(queries, rows, is_query, num_queries, D)
    lo = tl.load(begin + rows, mask=is_query, other=num_points)
    hi = tl.load(end + rows, mask=is_query, other=0)
    slot = tl.arange(0, K).to(tl.int64)[None, :]
    # the nearest so far, in no order; empty slots are infinitely far, slots beyond k are never given away
    best = tl.where(slot < k, float("inf"), -float("inf")).to(tl.float64) + tl.zeros([QUERIES, K], tl.float64)
    best_row = tl.where(slot < k, LAST_ROW - slot, -1) + tl.zeros([QUERIES, K], tl.int64)
    farthest = tl.max(best, axis=1)
    for tile in range(tl.min(lo, axis=0), tl.max(hi, axis=0), POINTS):
        column = tile + tl.arange(0, POINTS).to(tl.int64)
        total = _squared_distance(points, column, column < num_points, query, num_points, D)
        is_own = (column[None, :] >= lo[:, None]) & (column[None, :] < hi[:, None])
        total = tl.where(is_own, total, float("inf"))
        # points come by row, so one at the distance of the farthest kept comes after it in the order of the definition
        while tl.max((total < farthest[:, None]).to(tl.int32)) > 0:
            nearest = tl.min(total, axis=1)
            nearest_row = tl.min(tl.where(total == nearest[:, None], column[None, :], LAST_ROW), axis=1)
            is_taken = nearest < farthest
            leaving = tl.max(tl.where(best == farthest[:, None], best_row, -1), axis=1)
            is_leaving = is_taken[:, None] & (best == farthest[:, None]) & (best_row == leaving[:, None])
            best = tl.where(is_leaving, nearest[:, None], best)
            best_row = tl.where(is_leaving, nearest_row[:, None], best_row)
            farthest = tl.max(best, axis=1)
            total = tl.where(column[None, :] == nearest_row[:, None], float("inf"), total)
    out = rows[:, None] * k + slot
    is_out = is_query[:, None] & (slot < k)
    tl.store(gap + out, best, mask=is_out)
    tl.store(row + out, best_row, mask=is_out)


@triton.jit
def _within_kernel(
    points, begin, end, limit, count, first, edges, num_points, num_edges,
    D: tl.constexpr, HAS_EDGES: tl.constexpr, QUERIES: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """Without edges: the number of near points of each point. With edges: those, from ``first`` on."""
    rows = tl.program_id(0).to(tl.int64) * QUERIES + tl.arange(0, QUERIES)
    is_query = rows < num_points
    query = _load_queries(points, rows, is_query, num_points, D)
    lo = tl.load(begin + rows, mask=is_query, other=num_points)
    hi = tl.load(end + rows, mask=is_query, other=0)
    square = tl.load(limit)
    seen = tl.zeros([QUERIES], tl.int64)
    if HAS_EDGES:
        start = tl.load(first + rows, mask=is_query, other=0)
    for tile in range(tl.min(lo, axis=0), tl.max(hi, axis=0), POINTS):
        column = tile + tl.arange(0, POINTS).to(tl.int64)
        total = _squared_distance(points, column, column < num_points, query, num_points, D)
        is_near = (total <= square) & (column[None, :] >= lo[:, None]) & (column[None, :] < hi[:, None])
        if HAS_EDGES:
            place = start[:, None] + seen[:, None] + tl.cumsum(is_near.to(tl.int64), axis=1) - 1
            tl.store(edges + place, column[None, :] + tl.zeros_like(place), mask=is_near)
            tl.store(edges + num_edges + place, rows[:, None] + tl.zeros_like(place), mask=is_near)
        seen += tl.sum(is_near.to(tl.int64), axis=1)
    if not HAS_EDGES:
        tl.store(count + rows, seen, mask=is_query)
