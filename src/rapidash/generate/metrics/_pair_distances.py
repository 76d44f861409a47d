"""Clouds by the distances between their points: the same for every rotation, mirror image and order of points."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import CloudDataset
from rapidash.generate.metrics._atoms import Floats
from rapidash.generate.metrics._point_clouds import check_clouds, is_finite


def sorted_pair_distances(clouds: Float[Tensor, "B N D"]) -> Float[Tensor, "B P"]:
    """All P = N(N - 1)/2 distances between the points of each cloud, ascending, in float64.

    Raises: ValueError for clouds of a single point, which have none.
    """
    check_clouds(clouds, clouds)
    if clouds.shape[1] < 2:
        raise ValueError("a cloud of one point has no distances between its points")
    i, j = torch.triu_indices(clouds.shape[1], clouds.shape[1], offset=1)
    pos = clouds.double()
    return torch.stack([(cloud[i] - cloud[j]).norm(dim=1).sort().values for cloud in pos])


def pair_distance_quantiles(data: CloudDataset, num_quantiles: int = 64) -> Float[Tensor, "B q"]:
    """Quantiles of the distances between the points of each cloud, whatever their number, in float64.

    Args:
        data: clouds of at least 2 points.
        num_quantiles: q, at the levels (k + 1/2) / q, interpolated.
    Raises: ValueError for a cloud of one point, or no quantiles.
    """
    if num_quantiles < 1:
        raise ValueError(f"num_quantiles must be at least 1, got {num_quantiles}")
    levels = (torch.arange(num_quantiles, dtype=torch.float64) + 0.5) / num_quantiles
    clouds = data.tensors["pos"].detach().cpu().double().split(data.num_points.tolist())
    return torch.stack([sorted_pair_distances(cloud[None])[0].quantile(levels) for cloud in clouds])


def pair_distance_matrix(a: Float[Tensor, "A N D"], b: Float[Tensor, "B M D"] | None = None) -> Floats:
    """Mean difference of the 256 quantiles of the pair distances of clouds (A, B), near their Wasserstein-1 distance.

    Blind to rotations, mirror images and the order of points, and to clouds with the same distances.

    Args:
        a, b: clouds; ``b`` None for those of ``a``.
    Returns: in the unit of the positions; infinite where a point is not finite.
    Raises: ValueError for empty sets, or clouds of one point.
    """
    from scipy.spatial.distance import cdist

    other = a if b is None else b
    check_clouds(a, other)
    found = np.full((len(a), len(other)), np.inf)
    rows, columns = (is_finite(clouds).cpu().numpy() for clouds in (a, other))
    if rows.any() and columns.any():
        first, second = _profiles(a[rows]), _profiles(other[columns])
        found[np.ix_(rows, columns)] = cdist(first, second, metric="cityblock") / first.shape[1]
    return found


def _profiles(clouds: Tensor, num: int = 256) -> Floats:
    levels = (torch.arange(num, dtype=torch.float64) + 0.5) / num
    profiles = [sorted_pair_distances(cloud[None])[0].quantile(levels) for cloud in clouds.cpu()]
    return torch.stack(profiles).numpy()
