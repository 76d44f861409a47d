"""The choice between implementations of the searches; all of them give the same result, to the bit."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

from torch import Tensor

from rapidash.geometry._brute_force import nearest_brute, within_brute
from rapidash.geometry._kd_tree import nearest_by_tree, within_by_tree
from rapidash.geometry._segments import Segments

TREE_ABOVE = 40  # points of the largest cloud, against all pairs in torch
TREE_ABOVE_NUMBA = 500  # the same against all pairs in numba
MOST_NEIGHBORS_TRITON = 128


class Search(NamedTuple):
    """Nearest points and points within a radius; arguments and results as of `nearest_brute` and `within_brute`."""

    nearest: Callable[[Tensor, Segments, Tensor, Tensor, int], Tensor]
    within: Callable[[Tensor, Segments, Tensor, float], Tensor]


ALL_PAIRS = Search(nearest_brute, within_brute)
TREE = Search(nearest_by_tree, within_by_tree)


def search_for(points: Tensor, segments: Segments, k: int = 1) -> Search:
    """On the CPU all pairs for small clouds and a k-d tree for large ones; on CUDA Triton kernels, if they can run."""
    if points.is_cuda:
        has_kernels = find_spec("triton") is not None and points.shape[1] <= 3 and k <= MOST_NEIGHBORS_TRITON
        return triton_search() if has_kernels else ALL_PAIRS
    if find_spec("numba") is None:
        return TREE if segments.largest > TREE_ABOVE else ALL_PAIRS
    return TREE if segments.largest > TREE_ABOVE_NUMBA else numba_search()


def numba_search() -> Search:
    """All pairs, compiled for the CPU."""
    from rapidash.geometry._neighbors_numba import nearest_by_numba, within_by_numba

    return Search(nearest_by_numba, within_by_numba)


def triton_search() -> Search:
    """All pairs, compiled for the GPU."""
    from rapidash.geometry._neighbors_triton import nearest_by_triton, within_by_triton

    return Search(nearest_by_triton, within_by_triton)
