"""Earth mover's distance of point clouds of one size, exact, by the best matching of their points."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from rapidash.generate.metrics._atoms import Floats
from rapidash.generate.metrics._point_clouds import check_clouds, is_finite


def earth_mover(a: Float[Tensor, "N D"], b: Float[Tensor, "N D"]) -> float:
    """Earth mover's distance min over bijections pi of mean_a |a - pi(a)|: distances not squared, the mean over points.

    Exact, by linear assignment. Published figures come from an approximate matching on the GPU, some of them as sums:
    they are not comparable.

    Args:
        a, b: as many points each.
    Returns: in the unit of the positions; infinite if a point is not finite.
    Raises: ValueError for empty clouds, other dimensions, or other numbers of points.
    """
    return float(earth_mover_matrix(a[None], b[None])[0, 0])


def earth_mover_matrix(a: Float[Tensor, "A N D"], b: Float[Tensor, "B N D"] | None = None) -> Floats:
    """Earth mover's distances (A, B) of every cloud of one set to every cloud of the other, or within one set.

    The time of a pair grows with the third power of N: draw 256 points or fewer, see `subsampled`.

    Args:
        a, b: clouds of N points; ``b`` None for those of ``a``.
    Raises: ValueError for empty sets, other dimensions, or other numbers of points.
    """
    other = a if b is None else b
    check_clouds(a, other)
    if a.shape[1] != other.shape[1]:
        raise ValueError(
            f"a matching needs as many points in both clouds, got {a.shape[1]} and {other.shape[1]}: see subsampled"
        )
    found = np.full((len(a), len(other)), np.inf)
    points, others = a.detach().cpu().double().numpy(), other.detach().cpu().double().numpy()
    columns = np.flatnonzero(is_finite(other).cpu().numpy())
    for i in np.flatnonzero(is_finite(a).cpu().numpy()):
        for j in columns[columns > i] if b is None else columns:
            found[i, j] = _matched(points[i], others[j])
        if b is None:
            found[i, i] = 0
    return np.minimum(found, found.T) if b is None else found


def _matched(a: Floats, b: Floats) -> float:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    cost = cdist(a, b)
    return float(cost[linear_sum_assignment(cost)].mean())
