"""Figures of a set of clouds against another, of any distance: 1-NNA, minimum matching distance, coverage."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rapidash.generate.metrics._atoms import Bools, Floats

_FEWEST = 4  # of each set, so that a half has two


@dataclass(frozen=True)
class NearestNeighbors:
    """Share of clouds whose nearest other cloud is of their own set, between 0 and 1: 1/2 if the sets are alike.

    Args:
        value: over both sets.
        samples, references: over one of them.
        error: standard deviation by random halves of both sets, somewhat too large rather than too small; nan for fewer
            than 4 clouds of each.
        null_error: standard deviation where the labels mean nothing, by drawing them again.
    """

    value: float
    samples: float
    references: float
    error: float
    null_error: float

    @property
    def is_copying(self) -> bool:
        """Whether the value is more than 3 standard deviations below 1/2: samples lie on single references."""
        return self.value < 0.5 - 3 * self.null_error


def nearest_neighbor_accuracy(joint: Floats, *, num_resamples: int = 200, seed: int = 0) -> NearestNeighbors:
    """1-NNA: the leave-one-out accuracy of the nearest neighbor in telling samples from references.

    Where clouds of both sets are equally near, such as exact duplicates, a cloud counts half. Samples that repeat the
    references, one each, give 0. A cloud at infinite distance from all others, which is not finite, is told apart.

    Args:
        joint: (2n, 2n) symmetric distances of n samples, then n references; the diagonal is not looked at.
        num_resamples: random halves, n/2 of each set without replacement, and draws of the labels; the standard
            deviation over such halves is that of the whole.
        seed: of these draws.
    Raises: ValueError for a matrix of another shape, n below 2, or distances that are negative or nan.
    Source: Lopez-Paz, Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017; Yang et al., "PointFlow", ICCV 2019.
    """
    if joint.ndim != 2 or joint.shape[0] != joint.shape[1] or len(joint) % 2 or len(joint) < 4:
        raise ValueError(f"joint must be (2n, 2n) for n >= 2 samples and n references, got {joint.shape}")
    if not (joint >= 0).all():
        raise ValueError("joint has distances that are negative or nan")
    num = len(joint) // 2
    is_sample, nearest = np.arange(2 * num) < num, _nearest(joint)
    own = _own_neighbor(nearest, is_sample)
    rng = np.random.default_rng(seed)

    def half() -> float:
        rows = _half_of_each(num, rng)
        return float(_own_neighbor(_nearest(joint[np.ix_(rows, rows)]), is_sample[rows]).mean())

    halves = [half() for _ in range(num_resamples)] if num >= _FEWEST else [np.nan]
    null = [float(_own_neighbor(nearest, rng.permutation(is_sample)).mean()) for _ in range(num_resamples)]
    return NearestNeighbors(
        float(own.mean()), float(own[:num].mean()), float(own[num:].mean()), float(np.std(halves)), float(np.std(null))
    )


def _nearest(joint: Floats) -> Bools:
    """(m, m) whether the other cloud is among the nearest; no row of a cloud that is far from all."""
    others = joint.astype(np.float64)
    np.fill_diagonal(others, np.inf)
    least = others.min(axis=1, keepdims=True)
    return (others == least) & np.isfinite(least)


def _own_neighbor(nearest: Bools, is_sample: Bools) -> Floats:
    """(m,) 1 if the nearest clouds have the own label, 0 if the other, 1/2 if both are there, 1 if there is none."""
    same = is_sample[:, None] == is_sample[None, :]
    own, other = (nearest & same).any(axis=1), (nearest & ~same).any(axis=1)
    return np.where(other, 0.5 * own, 1.0)


def minimum_matching_distance(cross: Floats) -> float:
    """MMD, mean over references of the distance to the nearest sample; infinite if no sample is finite.

    Args:
        cross: (samples, references) distances.
    Raises: ValueError for an empty matrix, or distances that are negative or nan.
    Source: Achlioptas et al., "Learning Representations and Generative Models for 3D Point Clouds", ICML 2018.
    """
    _check_cross(cross)
    return float(cross.min(axis=0).mean())


def coverage(cross: Floats) -> float:
    """COV, share of the references that are the nearest one of some sample; equally near ones are covered alike.

    A sample at infinite distance covers nothing.

    Args:
        cross: (samples, references) distances.
    Raises: ValueError for an empty matrix, or distances that are negative or nan.
    Source: Achlioptas et al., "Learning Representations and Generative Models for 3D Point Clouds", ICML 2018.
    """
    _check_cross(cross)
    least = cross.min(axis=1, keepdims=True)
    return float(((cross == least) & np.isfinite(least)).any(axis=0).mean())


def _check_cross(cross: Floats) -> None:
    if cross.ndim != 2 or 0 in cross.shape or not (cross >= 0).all():
        raise ValueError(f"cross must be distances (samples, references), none negative or nan, got {cross.shape}")


def error_by_halves(
    figure: Callable[[Floats], float], cross: Floats, *, num_resamples: int = 200, seed: int = 0
) -> float:
    """Standard deviation of a figure over random halves of samples and references, which is that of the whole.

    Drawn without replacement, the mean of n/2 of n values varies by s^2/n about that of all n, as that of n does about
    the truth. A figure that depends on n, such as MMD, is estimated as if its deviation did not.
    """
    num, rng = len(cross), np.random.default_rng(seed)
    if num < _FEWEST:
        return float("nan")
    values = []
    for _ in range(num_resamples):
        rows = _half_of_each(num, rng)
        values.append(figure(cross[np.ix_(rows[: len(rows) // 2], rows[len(rows) // 2 :] - num)]))
    return float(np.std(values)) if np.isfinite(values).all() else float("nan")


def _half_of_each(num: int, rng: np.random.Generator) -> np.ndarray:
    size = num // 2
    return np.concatenate([np.sort(rng.permutation(num)[:size]), num + np.sort(rng.permutation(num)[:size])])
