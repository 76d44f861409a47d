"""Wasserstein-1 distance of numbers on a line or on a circle, and its error by resampling whole molecules."""

import numpy as np

from rapidash.generate.metrics._atoms import Floats, Ints


def wasserstein(a: Floats, b: Floats, *, period: float | None = None) -> float:
    """Wasserstein-1 distance of two sets of numbers: the least mean distance by which one is moved onto the other.

    On a line W = integral |F_a - F_b|, with the shares F of numbers up to a point. On a circle, numbers that differ by
    the period being the same, W = min over c of the integral |F_a - F_b - c| around it, and c is the median.

    Args:
        a, b: numbers (K,), (L,), each with the same weight within its set.
        period: of the circle; None for the line.
    Returns: the distance in the unit of the numbers; nan if a set is empty.
    Raises: ValueError for a period that is not above 0.
    Source: Rabin, Delon, Gousseau, "Transportation distances on the circle", JMIV 41 (2011).
    """
    if period is not None and not period > 0:
        raise ValueError(f"period must be above 0, got {period}")
    return _Merged(a, b, period).distance() if len(a) and len(b) else float("nan")


def wasserstein_error(a: Floats, owner: Ints, b: Floats, weights: Ints, *, period: float | None = None) -> float:
    """Standard deviation of the Wasserstein distance when the molecules of the first set are drawn again.

    Args:
        a: numbers (K,).
        owner: (K,) the molecule of each.
        b: numbers (L,), which stay.
        weights: (R, B) how often each molecule was drawn, R times.
        period: of the circle; None for the line.
    Returns: in the unit of the numbers; nan if a set is empty, or was in a draw, or all numbers are of one molecule.
    """
    if not len(b) or len(np.unique(owner)) < 2:
        return float("nan")
    merged = _Merged(a, b, period)
    return float(np.std([merged.distance(drawn[owner]) for drawn in weights], ddof=1))


class _Merged:
    """Both sets in one order, so that other weights of the first cost a sum each."""

    def __init__(self, a: Floats, b: Floats, period: float | None) -> None:
        values = np.concatenate([a, b]) if period is None else np.concatenate([a, b]) % period
        self.order = np.argsort(values, kind="stable")
        values = values[self.order]
        self.gaps = np.diff(values) if period is None else np.diff(values, append=values[0] + period)
        self.is_circle = period is not None
        self.second = np.cumsum(self.order >= len(a)) / len(b)
        self.num = len(a)

    def distance(self, weights: Ints | None = None) -> float:
        given = np.ones(self.num) if weights is None else weights.astype(np.float64)
        if given.sum() == 0:
            return float("nan")
        first = np.cumsum(np.concatenate([given, np.zeros(len(self.second) - self.num)])[self.order]) / given.sum()
        difference = (first - self.second)[: len(self.gaps)]
        if self.is_circle:
            difference = difference - _weighted_median(difference, self.gaps)
        return float((np.abs(difference) * self.gaps).sum())


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
