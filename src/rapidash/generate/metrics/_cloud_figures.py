"""All figures of generated point clouds in one report."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from rapidash.data import CloudDataset
from rapidash.generate.metrics._atoms import Floats
from rapidash.generate.metrics._chamfer import chamfer_matrix
from rapidash.generate.metrics._earth_mover import earth_mover_matrix
from rapidash.generate.metrics._figure import Figure, normal_ends, share_figure
from rapidash.generate.metrics._pair_distances import pair_distance_matrix
from rapidash.generate.metrics._point_clouds import CloudScale, is_finite, normalized, subsampled
from rapidash.generate.metrics._set_figures import (
    coverage,
    error_by_halves,
    minimum_matching_distance,
    nearest_neighbor_accuracy,
)

CloudDistance = Literal["chamfer", "earth mover", "pair distances"]

DEVIATIONS = "1-NNA - 50 in standard deviations of chance"
COPY_NOTE = (
    "more than 3 standard deviations below 50 %: samples lie nearer to single references than these to each other"
)
_LIMITS = {
    "chamfer": "Chamfer does not see the density of points, and hardly noise of 3 % of the radius: read it beside the "
    "earth mover's distance",
    "earth mover": "exact matching of points drawn once: published figures use more points and approximate matching, "
    "and are not comparable",
    "pair distances": "blind to rotations and mirrors, as for models whose poses are random",
}
_MATRIX: dict[str, Callable[[Tensor, Tensor | None], Floats]] = {
    "chamfer": chamfer_matrix,
    "earth mover": earth_mover_matrix,
    "pair distances": pair_distance_matrix,
}


def cloud_figures(
    samples: CloudDataset,
    references: CloudDataset,
    *,
    scale: CloudScale = "global",
    distances: Sequence[CloudDistance] = ("chamfer", "earth mover"),
    num_points: int = 512,
    num_points_earth_mover: int = 256,
    num_resamples: int = 200,
    seed: int = 0,
) -> tuple[Figure, ...]:
    """The figures of generated clouds against as many real ones: 1-NNA, MMD and COV by each distance.

    1-NNA is given for both sets, apart, as its distance from 50 %, and as the signed one in standard deviations that it
    has where the labels of the clouds mean nothing: below -3, samples copy single references. Its interval and those of
    MMD and COV are by random halves of both sets. Distances are those of `chamfer` (squared), `earth_mover` and, for
    models whose poses are random, `pair_distance_matrix`; all but the last depend on the poses of clouds.
    Normalization, distance and number of points are part of the name of a figure: other ones are not comparable.

    A sample that is not finite is infinitely far from every cloud: 1-NNA tells it apart, it covers nothing, and it
    stays in the denominators.

    Args:
        samples, references: as many clouds each.
        scale: the rule of `normalized`, for both sets.
        distances: any of "chamfer", "earth mover", "pair distances".
        num_points: drawn once of each cloud, at most its points.
        num_points_earth_mover: the same for the earth mover's distance, whose time is cubic in it.
        num_resamples: for the intervals.
        seed: of the points, and of the halves.
    Raises: ValueError for unequal or small sets, unknown distances, or clouds with too few points.
    """
    if len(samples) != len(references) or len(samples) < 2:
        raise ValueError(
            f"1-NNA needs as many samples as references, at least 2, got {len(samples)} and {len(references)}: "
            "take .subset of the larger set"
        )
    unknown = {*distances} - {*get_args(CloudDistance)}
    if unknown:
        raise ValueError(f"unknown distances {sorted(unknown)}, expected some of {get_args(CloudDistance)}")
    figures: list[Figure] = []
    for distance in distances:
        num = num_points_earth_mover if distance == "earth mover" else num_points
        own, real = subsampled(samples, num, seed=seed), subsampled(references, num, seed=seed + 1)
        if not figures:
            figures.append(share_figure("finite", int(is_finite(own).sum()), len(own)))
        joint = _MATRIX[distance](torch.cat(normalized(own, real, scale)), None)
        figures += _of_distance(joint, distance, f"({distance}, {scale}, {num} points)", num_resamples, seed)
    return tuple(figures)


def _of_distance(joint: Floats, distance: str, protocol: str, num_resamples: int, seed: int) -> list[Figure]:
    num = len(joint) // 2
    cross = joint[:num, num:]
    found = nearest_neighbor_accuracy(joint, num_resamples=num_resamples, seed=seed)
    note = COPY_NOTE if found.is_copying else _LIMITS[distance]

    def share(name: str, value: float, error: float, count: int) -> Figure:
        low, high = normal_ends(100 * value, 100 * error, largest=100.0)
        return Figure(f"{name} {protocol}", 100 * value, low, high, count, "%", None, note)

    def by_halves(figure: Callable[[Floats], float]) -> float:
        return error_by_halves(figure, cross, num_resamples=num_resamples, seed=seed)

    deviations = (found.value - 0.5) / found.null_error if found.null_error else math.nan
    matching = minimum_matching_distance(cross)
    low, high = normal_ends(matching, by_halves(minimum_matching_distance))
    return [
        share("1-NNA", found.value, found.error, 2 * num),
        share("1-NNA of samples", found.samples, float("nan"), num),
        share("1-NNA of references", found.references, float("nan"), num),
        share("|1-NNA - 50|", abs(found.value - 0.5), float("nan"), 2 * num),
        Figure(f"MMD {protocol}", matching, low, high, num, "1", None, note),
        share("COV", coverage(cross), by_halves(coverage), num),
        Figure(f"{DEVIATIONS} {protocol}", deviations, None, None, 2 * num, "1", None, note),
    ]
