"""Nearest and near points on the CPU by a k-d tree: time n log n and memory linear in the points and edges."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from rapidash.geometry._brute_force import nearest_brute
from rapidash.geometry._segments import Segments

CANDIDATES_AT_ONCE = 1 << 21
MOST_CANDIDATES = 256  # per query that the tree is asked for; beyond, all pairs cost less
MARGIN = 1e-12  # relative; the tree's rounding of a squared distance is below 1e-14


def nearest_by_tree(
    points: Float[Tensor, "P D"],
    segments: Segments,
    queries: Float[Tensor, "Q D"],
    query_batch: Int[Tensor, " Q"],
    k: int,
) -> Int[Tensor, "Q k"]:
    """Same result as `nearest_brute`, to the bit.

    The tree proposes candidates. Their distances are computed as the definition does, and the candidates sorted by
    distance, then by row. A query whose k-th distance is tied with the last candidate's asks for twice as many, and at
    last for all points.
    """
    batch = torch.repeat_interleave(torch.arange(len(segments)), segments.count)
    apart = _gap(points, queries) if len(segments) > 1 else 0.0
    tree = _tree(_lifted(points, batch, apart))
    p, q = points.numpy(), queries.numpy()
    lifted, limit = _lifted(queries, query_batch, apart), segments.count[query_batch].numpy()
    nearest = np.full((len(q), k), -1)
    # near queries in turn find their part of the tree in the cache
    pending, width = _tree(lifted).indices, k + 1
    while len(pending) and width <= max(MOST_CANDIDATES, k + 1):
        unresolved = []
        at_once = max(1, CANDIDATES_AT_ONCE // width)
        for first in range(0, len(pending), at_once):
            rows = pending[first : first + at_once]
            found, is_settled = _ranked(tree, p, q[rows], lifted[rows], limit[rows], k, width)
            nearest[rows[is_settled], : found.shape[1]] = found[is_settled]
            unresolved.append(rows[~is_settled])
        pending, width = np.concatenate(unresolved), 2 * width
    if len(pending):
        left = torch.from_numpy(pending)
        nearest[pending] = nearest_brute(points, segments, queries[left], query_batch[left], k).numpy()
    return torch.from_numpy(nearest)


def within_by_tree(
    points: Float[Tensor, "P D"], segments: Segments, batch: Int[Tensor, " P"], radius: float
) -> Int[Tensor, "2 E"]:
    """Same result as `within_brute`, to the bit."""
    tree = _tree(_lifted(points, batch, _gap(points, points) + 2 * radius if len(segments) > 1 else 0.0))
    pairs = tree.query_pairs(radius * (1 + MARGIN), output_type="ndarray")
    p = points.numpy()
    first, second = pairs[_squared_distance(p[pairs[:, 0]], p[pairs[:, 1]]) <= radius * radius].T
    own = np.arange(len(p))
    source, target = np.concatenate([first, second, own]), np.concatenate([second, first, own])
    order = np.argsort(target * len(p) + source)
    return torch.from_numpy(np.stack([source[order], target[order]]))


def _ranked(tree: Any, points: Any, queries: Any, lifted: Any, limit: Any, k: int, width: int) -> tuple[Any, Any]:
    """The first k of ``width`` candidates of each query (-1 beyond its cloud), and whether no other can be nearer."""
    width = min(width, len(points))
    _, candidate = tree.query(lifted, k=np.arange(1, width + 1), workers=torch.get_num_threads())
    distance = _squared_distance(points[candidate], queries[:, None])
    distance[np.arange(width) >= limit[:, None]] = np.inf  # the tree names all points of the own cloud first
    last = distance[:, -1]
    order = np.lexsort((candidate, distance))[:, :k]
    rank = np.arange(order.shape[1])
    found = np.take_along_axis(candidate, order, axis=1)
    kth = np.take_along_axis(distance, order[:, -1:], axis=1)[:, 0]
    is_settled = (limit <= width) | (kth * (1 + MARGIN) < last)
    return np.where(rank < limit[:, None], found, -1), is_settled


def _squared_distance(first: Any, second: Any) -> Any:
    """As `squared_distance` of the definition."""
    total = np.square(first[..., 0] - second[..., 0])
    for axis in range(1, first.shape[-1]):
        total += np.square(first[..., axis] - second[..., axis])
    return total


def _tree(pos: Any) -> Any:
    return cKDTree(pos, leafsize=32, compact_nodes=False, balanced_tree=False)


def _gap(points: Float[Tensor, "P D"], queries: Float[Tensor, "Q D"]) -> float:
    """More than the distance of any query from any point."""
    extent = torch.cat([points, queries]).aminmax(dim=0)
    return float(2 * (extent.max - extent.min).norm() + 1)


def _lifted(pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"], apart: float) -> Any:
    """Positions with one more coordinate, which puts clouds far apart and leaves distances within each as they are."""
    if apart == 0:
        return pos.numpy()
    return torch.cat([pos, (batch * apart).unsqueeze(1)], dim=1).numpy()
