"""Chamfer distance of point clouds, by nearest neighbors: never by |a|^2 + |b|^2 - 2ab, which cancels far from 0."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.generate.metrics._atoms import Floats
from rapidash.generate.metrics._point_clouds import check_clouds, is_finite

_POINTS_AT_ONCE = 2**19
_DIFFERENCES_AT_ONCE = 2**24


def chamfer(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"], *, squared: bool = True) -> float:
    """Chamfer distance mean_a min_b |a - b|^2 + mean_b min_a |a - b|^2: the sum of both means, of squared distances.

    Args:
        a, b: points.
        squared: False for the other habit, distances that are not squared.
    Returns: in squared units of the positions, or in their unit; infinite if a point is not finite.
    Raises: ValueError for empty clouds or other dimensions.
    Source: Fan, Su, Guibas, "A Point Set Generation Network for 3D Object Reconstruction", CVPR 2017.
    """
    return float(chamfer_matrix(a[None], b[None], squared=squared)[0, 0])


def chamfer_matrix(
    a: Float[Tensor, "A N D"], b: Float[Tensor, "B M D"] | None = None, *, squared: bool = True
) -> Floats:
    """Chamfer distances (A, B) of every cloud of one set to every cloud of the other, or within one set, in float64.

    On the CPU with a k-d tree of each cloud, made once; on a GPU by all differences, in tiles. Distances to a cloud
    with a point that is not finite are infinite.

    Args:
        a: clouds of N points.
        b: clouds of M points, or None for those of ``a``.
        squared: as in `chamfer`.
    Raises: ValueError for sets that are empty, or of different dimensions.
    """
    other = a if b is None else b
    check_clouds(a, other)
    nearest = nearest_by_differences if a.is_cuda else _nearest_by_trees
    if b is None:
        means = nearest(a, a, squared)
        return means + means.T
    return nearest(a, b, squared) + nearest(b, a, squared).T


def nearest_by_differences(a: Tensor, b: Tensor, squared: bool) -> Floats:
    """Mean over points of cloud a_i of the (squared) distance to the nearest point of b_j, (A, B): the definition."""
    found = torch.full((len(a), len(b)), torch.inf, dtype=torch.float64, device=a.device)
    good_a, good_b = (torch.nonzero(is_finite(clouds)).flatten() for clouds in (a, b))
    for i in good_a.tolist():
        for block in good_b.split(max(1, _DIFFERENCES_AT_ONCE // (a.shape[1] * b.shape[1]))):
            difference = a[i][None, :, None, :] - b[block][:, None, :, :]
            nearest = difference.square().sum(dim=-1).amin(dim=-1)
            found[i, block] = (nearest if squared else nearest.sqrt()).mean(dim=-1, dtype=torch.float64)
    return found.cpu().numpy()


def _nearest_by_trees(a: Tensor, b: Tensor, squared: bool) -> Floats:
    """The same with a tree of every cloud of b, to which the points of all clouds of a are sent."""
    from scipy.spatial import cKDTree

    found = np.full((len(a), len(b)), np.inf)
    good_a, good_b = (np.flatnonzero(is_finite(clouds).numpy()) for clouds in (a, b))
    clouds = a.detach().double().numpy()[good_a]
    step = max(1, _POINTS_AT_ONCE // a.shape[1])
    for j in good_b.tolist():
        tree = cKDTree(b[j].detach().double().numpy())
        for begin in range(0, len(clouds), step):
            block = clouds[begin : begin + step]
            distance, _ = tree.query(block.reshape(-1, a.shape[2]))
            nearest = (distance**2 if squared else distance).reshape(len(block), -1)
            found[good_a[begin : begin + step], j] = nearest.mean(axis=1)
    return found
