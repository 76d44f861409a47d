"""Mean distance from the points of one cloud to the nearest of another, between all clouds of two sets."""

from importlib.util import find_spec

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

MOST_POINTS_NUMBA = 2048  # of the larger cloud; beyond, trees cost less than all pairs
_POINTS_AT_ONCE = 2**19
_DIFFERENCES_AT_ONCE = 2**24


def nearest_means(
    a: Float[Tensor, "A N D"], b: Float[Tensor, "B M D"] | None = None, *, squared: bool = True
) -> tuple[Float[Tensor, "A B"], Float[Tensor, "A B"]]:
    """mean_x min_y |x - y|^2 over x in cloud a_i, y in b_j, and mean_y min_x |x - y|^2, for all pairs of clouds.

    From differences, never from |x|^2 + |y|^2 - 2xy, which cancels far from the origin. On the CPU by compiled loops
    over all pairs (extra ``fast``, up to 2048 points), else by a k-d tree of each cloud; on a GPU by tiles.

    Args:
        a: clouds of N points, all finite.
        b: clouds of M points, all finite, or None for those of ``a``.
        squared: False for distances that are not squared.
    Shape: both (A, B), float64, on the CPU; from a to b, and from b to a.
    Raises: ValueError for sets that are empty, or of different dimensions.
    """
    other = a if b is None else b
    for name, clouds in (("a", a), ("b", other)):
        if clouds.dim() != 3 or 0 in clouds.shape:
            raise ValueError(f"{name} must be clouds (B, N, D), none of them empty, got shape {tuple(clouds.shape)}")
    if a.shape[2] != other.shape[2]:
        raise ValueError(f"clouds need one dimension, got {a.shape[2]} and {other.shape[2]}")
    if a.is_cuda or other.is_cuda:
        there, back = nearest_means_reference(a, other, squared)
        return there.cpu(), back.cpu()
    a, other = a.detach().double(), other.detach().double()
    is_small = max(a.shape[1], other.shape[1]) <= MOST_POINTS_NUMBA and a.shape[2] <= 3
    if is_small and find_spec("numba"):
        from rapidash.geometry._nearest_means_numba import nearest_means_numba

        return nearest_means_numba(a, other, squared, b is None)
    there = nearest_means_by_trees(a, other, squared)
    return there, there.T if b is None else nearest_means_by_trees(other, a, squared).T


def nearest_means_reference(a: Tensor, b: Tensor, squared: bool) -> tuple[Tensor, Tensor]:
    """The definition, on any device: all differences, a tile of clouds at a time."""
    there, back = torch.zeros(2, len(a), len(b), dtype=torch.float64, device=a.device)
    step = max(1, _DIFFERENCES_AT_ONCE // (a.shape[1] * b.shape[1]))
    for i, cloud in enumerate(a):
        for begin in range(0, len(b), step):
            block = slice(begin, begin + step)
            distance = (cloud[:, None, :] - b[block, None, :, :]).square().sum(dim=-1)
            for found, axis in ((there, 2), (back, 1)):
                nearest = distance.amin(dim=axis)
                found[i, block] = (nearest if squared else nearest.sqrt()).mean(dim=1, dtype=torch.float64)
    return there, back


def nearest_means_by_trees(a: Tensor, b: Tensor, squared: bool) -> Tensor:
    """The first of both means, with a k-d tree of every cloud of b, to which the points of all clouds of a are sent."""
    found = np.zeros((len(a), len(b)))
    points, step = a.numpy(), max(1, _POINTS_AT_ONCE // a.shape[1])
    for j, cloud in enumerate(b.numpy()):
        tree = cKDTree(cloud)
        for begin in range(0, len(points), step):
            block = points[begin : begin + step]
            distance, _ = tree.query(block.reshape(-1, block.shape[2]))
            found[begin : begin + step, j] = (distance**2 if squared else distance).reshape(len(block), -1).mean(axis=1)
    return torch.from_numpy(found)
