"""The points of coordinates that stay as they are, sorted by cell once for all layers and the backward pass."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

from collections.abc import Callable
from typing import Any, NamedTuple

import numba as nb
import numpy as np
import torch
from torch import Tensor

from rapidash.ops._numba_runtime import as_array, parallel_region
from rapidash.ops.table_conv._cells import sort_points, weigh_points
from rapidash.ops.table_conv._kept import kept_points

SMALLEST_KEPT = 2**11  # points of all orientations: fewer are sorted faster than looked up
LARGEST_KEPT = 2**20  # some 50 MB


class Sizes(NamedTuple):
    """All that the sorted points depend on, besides the edges: see `rapidash.ops.table_conv._cells`."""

    taps: tuple[int, ...]
    nodes: tuple[int, ...]
    width: int
    orientations: int
    num_nodes: int


class SortedPoints:
    """All points of some coordinates, sorted by cell for every orientation and chunk of targets, with their weights.

    Args:
        indices: source, target and row_ptr of the edges.
        sizes: of the table.
    """

    def __init__(self, indices: tuple[Tensor, ...], sizes: Sizes) -> None:
        self._indices, self._sizes = indices, sizes
        self.are_inside = False  # the table, as far as is known
        self._points: Any = None
        self._weights: list[tuple[Tensor | None, Any]] = []

    def are_of(self, indices: tuple[Tensor, ...]) -> bool:
        """Whether the edges lie in the same memory, which they keep."""
        return all(
            own is other or (own.data_ptr(), own.shape) == (other.data_ptr(), other.shape)
            for own, other in zip(self._indices, indices, strict=True)
        )

    def arrays(self, edges: Any, bounds: Any, edge_weight: Tensor | None, tasks: int, like: Tensor) -> tuple[Any, Any]:
        """The points, see `sort_chunk`, and their weights of the type of ``like`` with this factor of every edge.

        Args:
            edges: coordinates, indices and factors as arrays.
            bounds: of the chunks of targets.
            edge_weight: the tensor of the factors, which stays as it is.
            tasks: how many threads share the work.
            like: a tensor of the dtype of x.
        """
        if self._points is None:
            self._points = self._sort(edges, bounds, tasks)
        for factor, weights in self._weights:
            if factor is edge_weight:
                return self._points, weights
        taps, nodes, _, orientations, _ = self._sizes
        weights = as_array(like.new_empty(len(edges[1]) * orientations * len(taps) ** len(nodes)))
        arguments = taps, nodes, edges, bounds, orientations, self._points, weights
        _each(weigh_points, _weigh_points_parallel, tasks, *arguments)
        self._weights = [*self._weights[:1], (edge_weight, weights)]  # the first factor, of all layers, and the latest
        return self._points, weights

    def _sort(self, edges: Any, bounds: Any, tasks: int) -> Any:
        taps, nodes, width, orientations, num_nodes = self._sizes
        in_chunks = np.diff(edges[3][bounds])
        run_ptr = np.concatenate([[0], np.cumsum(np.minimum(in_chunks, num_nodes))])
        order, source, target = (np.empty(len(edges[1]) * orientations, np.int64) for _ in range(3))
        runs, num_runs = (
            np.empty((orientations * run_ptr[-1], 2), np.int64),
            np.empty((orientations, len(in_chunks)), np.int64),
        )
        points = order, source, target, runs, num_runs, run_ptr
        arguments = taps, nodes, width, edges, bounds, orientations, num_nodes, int(in_chunks.max()), points
        _each(sort_points, _sort_points_parallel, tasks, *arguments)
        return points


def sorted_points(
    coords: Tensor, indices: tuple[Tensor | None, ...], sizes: Sizes, dtype: torch.dtype
) -> SortedPoints | None:
    """The points of these coordinates and edges, sorted by the first call that needs them; None where none are kept.

    ``dtype`` is that of the weights.
    """
    kept = kept_points(coords)
    if kept is None or not SMALLEST_KEPT <= coords.shape[0] * coords.shape[1] <= LARGEST_KEPT:
        return None
    known = tuple(index for index in indices if index is not None)
    found: SortedPoints | None = kept.get((sizes, dtype))
    if found is None or not found.are_of(known):
        found = kept[sizes, dtype] = SortedPoints(known, sizes)
    return found


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _sort_points_parallel(tasks, taps, nodes, width, edges, bounds, orientations, num_nodes, most_edges, points):
    for task in nb.prange(tasks):
        sort_points(task, tasks, taps, nodes, width, edges, bounds, orientations, num_nodes, most_edges, points)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _weigh_points_parallel(tasks, taps, nodes, edges, bounds, orientations, points, weights):
    for task in nb.prange(tasks):
        weigh_points(task, tasks, taps, nodes, edges, bounds, orientations, points, weights)


def _each(serial: Callable[..., None], parallel: Callable[..., None], tasks: int, *arguments: Any) -> None:
    """All tasks, here or on the threads."""
    if tasks == 1:
        serial(0, 1, *arguments)
        return
    with parallel_region(tasks):
        parallel(tasks, *arguments)
