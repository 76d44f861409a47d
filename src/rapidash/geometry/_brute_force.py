"""The definition of nearest and near points: all pairs of a cloud, in pieces of bounded memory, on any device.

A squared distance is the sum over coordinates, first to last, of squared differences in float64, whatever the dtype
of the positions: never the expanded square, which loses digits. The k-d tree and the kernels compute the same number,
so all agree to the bit.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rapidash.geometry._segments import Segments

PAIRS_AT_ONCE = 1 << 21  # 16 MB of distances on the CPU
PAIRS_AT_ONCE_CUDA = 1 << 26
SORT_AT_MOST = 128  # candidates per query that are sorted whole


def squared_distance(first: Float[Tensor, "*#B D"], second: Float[Tensor, "*#B D"]) -> Float[Tensor, "..."]:
    """|first - second|^2, summed from the first coordinate to the last."""
    total = (first[..., 0] - second[..., 0]).square()
    for axis in range(1, first.shape[-1]):
        total = total + (first[..., axis] - second[..., axis]).square()
    return total


def nearest_brute(
    points: Float[Tensor, "P D"],
    segments: Segments,
    queries: Float[Tensor, "Q D"],
    query_batch: Int[Tensor, " Q"],
    k: int,
) -> Int[Tensor, "Q k"]:
    """Rows of the k points of its cloud that are nearest to each query, by distance, then by row; -1 beyond the cloud.

    Args:
        points, queries: positions in float64.
        segments: the clouds of the points.
        query_batch: the cloud of each query, in any order.
    """
    found = [
        _first_k(distance, k) + segments.start[clouds].unsqueeze(1)
        for _, distance, clouds in _pieces(points, segments, queries, query_batch)
    ]
    nearest = torch.cat(found) if found else torch.empty(0, min(k, segments.largest), dtype=torch.long)
    nearest = torch.nn.functional.pad(nearest, (0, k - nearest.shape[1]), value=-1)
    rank = torch.arange(k, device=nearest.device)
    return nearest.masked_fill(rank >= segments.count[query_batch].unsqueeze(1), -1)


def within_brute(
    points: Float[Tensor, "P D"], segments: Segments, batch: Int[Tensor, " P"], radius: float
) -> Int[Tensor, "2 E"]:
    """All pairs of a cloud at a squared distance of at most radius * radius: rows source, target, sorted by target."""
    edges = []
    for first, distance, clouds in _pieces(points, segments, points, batch):
        target, offset = (distance <= radius * radius).nonzero(as_tuple=True)
        edges.append(torch.stack([offset + segments.start[clouds[target]], target + first]))
    return torch.cat(edges, dim=1)


def _pieces(
    points: Float[Tensor, "P D"], segments: Segments, queries: Float[Tensor, "Q D"], query_batch: Int[Tensor, " Q"]
) -> Iterator[tuple[int, Float[Tensor, "q n"], Int[Tensor, " q"]]]:
    """Some queries at a time: the first one, squared distances to the points of their clouds (else inf), clouds."""
    limit = PAIRS_AT_ONCE_CUDA if points.is_cuda else PAIRS_AT_ONCE
    at_once = max(1, limit // max(1, segments.largest))
    column = torch.arange(segments.largest, device=points.device)
    for first in range(0, len(queries), at_once):
        clouds = query_batch[first : first + at_once]
        is_inside: Bool[Tensor, "q n"] = column < segments.count[clouds].unsqueeze(1)
        rows = (segments.start[clouds].unsqueeze(1) + column).clamp(max=len(points) - 1)
        distance = squared_distance(points[rows], queries[first : first + at_once].unsqueeze(1))
        yield first, distance.masked_fill(~is_inside, torch.inf), clouds


def _first_k(distance: Float[Tensor, "q n"], k: int) -> Int[Tensor, "q k"]:
    """Columns of the k smallest entries of each row, sorted by entry, then by column."""
    k = min(k, distance.shape[1])
    if distance.shape[1] <= SORT_AT_MOST:
        return distance.sort(dim=1, stable=True).indices[:, :k]
    # topk names arbitrary ones of equal entries, so it serves for the k-th value only
    kth = distance.topk(k, dim=1, largest=False).values[:, -1:]
    is_below, is_tied = distance < kth, distance == kth
    is_taken = is_below | (is_tied & (is_tied.cumsum(1) <= k - is_below.sum(1, keepdim=True)))
    column = is_taken.nonzero()[:, 1].view(-1, k)
    return column.gather(1, distance.gather(1, column).sort(dim=1, stable=True).indices)
