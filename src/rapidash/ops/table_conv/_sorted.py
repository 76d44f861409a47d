"""The points of coordinates that stay as they are, sorted by cell once for all layers and the backward pass."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

from collections.abc import Callable
from typing import Any, NamedTuple

import numba as nb
import numpy as np
import torch
from torch import Tensor

from rapidash.geometry import num_changes
from rapidash.ops._numba_runtime import as_array, parallel_region
from rapidash.ops.table_conv._cells import sort_points, weigh_points
from rapidash.ops.table_conv._kept import kept_points

SMALLEST_KEPT = 2**11  # points of all orientations: fewer are sorted faster than looked up
LARGEST_KEPT = 2**20  # 24 bytes of each beside the weights, of float32 and linear on two axes 16 more: 42 MB


class Sizes(NamedTuple):
    """All that the sorted points depend on, besides the edges: see `rapidash.ops.table_conv._cells`."""

    taps: tuple[int, ...]
    nodes: tuple[int, ...]
    width: int
    orientations: int
    num_nodes: int


_State = tuple[tuple[Any, ...], ...]


def _state(tensors: tuple[Tensor, ...]) -> _State:
    """Where the numbers of tensors are, and how often torch has seen them change: equal only for the same numbers,
    as long as the memory is in use."""
    return tuple((tensor.data_ptr(), tensor.shape, tensor.stride(), num_changes(tensor)) for tensor in tensors)


class SortedPoints:
    """All points of some coordinates, sorted by cell for every orientation and chunk of targets, with their weights.

    Args:
        indices: source, target and row_ptr of the edges.
        sizes: of the table.
        state: of the coordinates and indices, see `sorted_points`.
    """

    def __init__(self, indices: tuple[Tensor, ...], sizes: Sizes, state: _State) -> None:
        self._indices, self._sizes = indices, sizes  # the indices, so that their memory stays theirs
        self.state = state
        self.are_inside = False  # the table, as far as is known
        self._points: Any = None
        self._weights: list[tuple[_State, tuple[Tensor, ...], Any]] = []

    def arrays(self, edges: Any, bounds: Any, edge_weight: Tensor | None, tasks: int, like: Tensor) -> tuple[Any, Any]:
        """The points, see `sort_chunk`, and their weights of the type of ``like`` with this factor of every edge.

        Args:
            edges: coordinates, indices and factors as arrays.
            bounds: of the chunks of targets.
            edge_weight: the tensor of the factors.
            tasks: how many threads share the work.
            like: a tensor of the dtype of x.
        """
        if self._points is None:
            self._points = self._sort(edges, bounds, tasks)
        factors = () if edge_weight is None else (edge_weight,)
        state = _state(factors)
        for known, _, weights in self._weights:
            if known == state:
                return self._points, weights
        taps, nodes, _, orientations, _ = self._sizes
        weights = as_array(like.new_empty(len(edges[1]) * orientations * len(taps) ** len(nodes)))
        arguments = taps, nodes, edges, bounds, orientations, self._points, weights
        _each(weigh_points, _weigh_points_parallel, tasks, *arguments)
        memory = tuple(factor.detach() for factor in factors)  # without the graph, which may hold the coordinates
        self._weights = [*self._weights[:1], (state, memory, weights)]  # the first, of all layers, and the latest
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

    They are sorted anew for other edges, and after a change of either that torch has counted.

    ``dtype`` is that of the weights.
    """
    kept = kept_points(coords)
    if kept is None or not SMALLEST_KEPT <= coords.shape[0] * coords.shape[1] <= LARGEST_KEPT:
        return None
    known = tuple(index for index in indices if index is not None)
    state = _state((coords, *known))
    found: SortedPoints | None = kept.get((sizes, dtype))
    if found is None or found.state != state:
        found = kept[sizes, dtype] = SortedPoints(known, sizes, state)
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
