"""Who is near whom: edges among the points of each cloud, without gradients.

Distances are taken in float64 whatever the dtype of the positions, and ties go to the lower index: the result is the
same on every device and does not depend on the order of the points, up to ties.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.geometry._arrays import has_arrays
from rapidash.geometry._check_cloud import check_cloud
from rapidash.geometry._search import search_for
from rapidash.geometry._segments import Segments, ranges
from rapidash.geometry._transforms import on_values


@on_values
def fully_connected_edges(batch: Int[Tensor, " N"]) -> Int[Tensor, "2 E"]:
    """All ordered pairs of points of the same cloud, each point with itself included.

    Args:
        batch: (N,) the cloud of each point, sorted.
    Shape: (2, E), rows source and target, sorted by target, then by source; E is the sum of the squared cloud sizes.
    Raises: ValueError for a batch that is empty, not sorted, or leaves out a number.
    """
    check_cloud(torch.zeros(batch.shape[0] if batch.dim() else 1, 1, device=batch.device), batch)
    if has_arrays(batch):
        from rapidash.geometry._clouds_numba import complete_edges

        return torch.from_numpy(complete_edges(batch.numpy()))
    segments = Segments.from_batch(batch)
    source, target = ranges(segments.start[batch], segments.count[batch])
    return torch.stack([source, target])


@on_values
def knn_edges(
    pos: Float[Tensor, "N D"],
    batch: Int[Tensor, " N"],
    k: int,
    *,
    queries: Float[Tensor, "Q D"] | None = None,
    query_batch: Int[Tensor, " Q"] | None = None,
    reverse: bool = False,
    clamp: bool = False,
) -> Int[Tensor, "2 E"]:
    """Edges from the k nearest points of its cloud to each point, the point itself included, or to each query.

    Args:
        pos: positions.
        batch: (N,) the cloud of each point, sorted.
        k: neighbors per target, at least 1. Among points at equal distance those of lower index come first (so of k
            or more points at one place, the last do not find themselves).
        queries: other positions to find neighbors for; needs ``query_batch``, the cloud of each, in any order.
        reverse: swap the rows, so that each point sends to its nearest, as in the released network.
        clamp: take all points of a cloud that has fewer than k, instead of raising.
    Shape: (2, E), rows source and target, a target's edges together, nearest first; targets number the queries.
    Raises: ValueError for k below 1 or, without ``clamp``, above the size of a cloud, and for what `check_cloud` finds.
    """
    check_cloud(pos, batch)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k must be an integer of at least 1, got {k!r}")
    if (queries is None) != (query_batch is None):
        raise ValueError("queries and query_batch belong together: give both or neither")
    segments = Segments.from_batch(batch)
    if queries is None or query_batch is None:
        queries, query_batch = pos, batch
    else:
        _check_queries(pos, len(segments), queries, query_batch)
    if not clamp:
        _check_k(k, segments, query_batch)
    nearest = _nearest(pos, segments, queries, query_batch.long(), min(k, segments.largest))
    target, rank = (nearest >= 0).nonzero(as_tuple=True)
    source = nearest[target, rank]
    return torch.stack([target, source] if reverse else [source, target])


@on_values
def radius_edges(pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"], r: float) -> Int[Tensor, "2 E"]:
    """All pairs of points of the same cloud with |x_source - x_target| <= r, each point with itself included.

    There is no cap on the number of neighbors.

    Args:
        pos: positions.
        batch: (N,) the cloud of each point, sorted.
        r: radius, positive, in units of the positions; it is rounded to their dtype.
    Shape: (2, E), rows source and target, sorted by target, then by source.
    Raises: ValueError for a radius that is not positive and finite, and for what `check_cloud` finds.
    """
    check_cloud(pos, batch)
    radius = torch.tensor(r, dtype=pos.dtype).item()
    if not 0 < radius < math.inf:
        raise ValueError(f"r must be positive and finite, got {r} (for all pairs of a cloud: fully_connected_edges)")
    segments, points = Segments.from_batch(batch), _exact(pos)
    return search_for(points, segments).within(points, segments, batch.long(), radius)


@on_values
def nearest_sample_edges(
    pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"], index: Int[Tensor, " M"]
) -> Int[Tensor, "2 N"]:
    """An edge from every point to the nearest of the sampled points of its cloud.

    Args:
        pos: positions.
        batch: (N,) the cloud of each point, sorted.
        index: (M,) rows of the sampled points, sorted by cloud, at least one in each: `farthest_point_sample`.
    Shape: (2, N), rows source (all points in turn) and target (position in ``index``; of equally near ones the first).
    Raises: ValueError for an index outside the points, not sorted by cloud, or without a point of some cloud.
    """
    check_cloud(pos, batch)
    if index.dim() != 1 or index.is_floating_point() or index.dtype == torch.bool:
        raise ValueError(f"index must be (M,) integers, got {index.dtype} of shape {tuple(index.shape)}")
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(pos):
        raise ValueError(f"index must be in [0, {len(pos)}), got {int(index.min())} to {int(index.max())}")
    sampled = batch[index]
    if bool((sampled.diff() < 0).any()):
        raise ValueError("index must be sorted by cloud, as farthest_point_sample returns it")
    segments = Segments.from_batch(sampled, num_clouds=int(batch[-1]) + 1)
    if bool((segments.count == 0).any()):
        cloud = int((segments.count == 0).nonzero()[0])
        raise ValueError(f"index has no point of cloud {cloud}: sample at least one point of every cloud")
    target = _nearest(pos[index], segments, pos, batch.long(), 1)[:, 0]
    return torch.stack([torch.arange(len(pos), device=pos.device), target])


def _nearest(pos: Tensor, segments: Segments, queries: Tensor, query_batch: Tensor, k: int) -> Int[Tensor, "Q k"]:
    """Rows of the k nearest points of its cloud to each query, -1 beyond the cloud."""
    points, wanted = _exact(pos), _exact(queries)
    return search_for(points, segments, k).nearest(points, segments, wanted, query_batch, k)


def _exact(pos: Tensor) -> Float[Tensor, "N D"]:
    """Positions in float64 and without gradient."""
    return pos.detach().to(dtype=torch.float64).contiguous()


def _check_queries(pos: Tensor, num_clouds: int, queries: Tensor, query_batch: Tensor) -> None:
    """Queries must be finite points of the same space, in clouds that exist."""
    if queries.dim() != 2 or queries.shape[1] != pos.shape[1] or not queries.is_floating_point():
        raise ValueError(
            f"queries must be (Q, {pos.shape[1]}) floating point, got {queries.dtype} of shape {tuple(queries.shape)}"
        )
    if query_batch.shape != queries.shape[:1] or query_batch.is_floating_point() or query_batch.dtype == torch.bool:
        raise ValueError(
            f"query_batch must be ({len(queries)},) integers, got {query_batch.dtype} of shape "
            f"{tuple(query_batch.shape)}"
        )
    if not pos.device == queries.device == query_batch.device:
        raise ValueError(f"pos is on {pos.device}, queries on {queries.device}, query_batch on {query_batch.device}")
    if not bool(queries.isfinite().all()):
        point = int((~queries.isfinite().all(dim=1)).nonzero()[0])
        raise ValueError(f"queries has NaN or infinite coordinates, first in row {point}: {queries[point].tolist()}")
    if len(queries) and not 0 <= int(query_batch.min()) <= int(query_batch.max()) < num_clouds:
        raise ValueError(
            f"query_batch must name clouds in [0, {num_clouds}), got {int(query_batch.min())} to "
            f"{int(query_batch.max())}"
        )


def _check_k(k: int, segments: Segments, query_batch: Tensor) -> None:
    """Every cloud that is searched must have k points."""
    is_short = segments.count[query_batch] < k
    if bool(is_short.any()):
        cloud = int(query_batch[is_short.nonzero()[0]])
        raise ValueError(
            f"k={k} neighbors asked for, but cloud {cloud} has {int(segments.count[cloud])} points (a point counts as "
            "its own neighbor; on a coarser scale a cloud has a part of its points): lower k, or take edges "
            f"'knn-{k}-clamp' (clamp=True), which are all points of smaller clouds"
        )
