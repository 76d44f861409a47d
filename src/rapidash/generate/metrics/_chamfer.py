"""Chamfer distance of point clouds."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from rapidash.generate.metrics._atoms import Floats
from rapidash.generate.metrics._point_clouds import check_clouds, is_finite
from rapidash.geometry import nearest_means


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

    From differences, see `rapidash.geometry.nearest_means`. Distances to a cloud with a point that is not finite are
    infinite.

    Args:
        a: clouds of N points.
        b: clouds of M points, or None for those of ``a``.
        squared: as in `chamfer`.
    Raises: ValueError for sets that are empty, or of different dimensions.
    """
    other = a if b is None else b
    check_clouds(a, other)
    found = np.full((len(a), len(other)), np.inf)
    rows, columns = (is_finite(clouds).cpu() for clouds in (a, other))
    if rows.any() and columns.any():
        there, back = nearest_means(a[rows], None if b is None else b[columns], squared=squared)
        found[np.ix_(rows.numpy(), columns.numpy())] = (there + back).numpy()
    return found
