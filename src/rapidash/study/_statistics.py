r"""Intervals over seeds and paired comparisons of variants.

Why these and not others. Seeds are few (3 to 10), and every variant sees the same seeds, hence the same subsets and
orders of the data; differences are therefore taken seed by seed, which removes what the seeds share.

* Means and differences: Student's t-interval, exact when the values over seeds are normal.
* Ratio of means: Fieller's interval for paired values, exact under joint normality. A bootstrap is no alternative at
  3 seeds: it has 10 distinct resamples, so that its ends are the extreme values and it covers far less than 95 %.
* p-value: the paired t-test, or the exact sign-flip permutation test of the differences, which assumes only that a
  difference is as likely to be +d as -d when the variants are equal. Its smallest two-sided value is 2^(1 - n): 0.25
  with 3 seeds, and below 0.05 only from 6 seeds on. `_judge` says which is used when. Many comparisons are adjusted
  together (Benjamini and Hochberg: false-discovery rate).
* One seed has no interval: None, never 0.
* Errors cannot be negative, error rates cannot exceed 100 % nor p-values 1, which a t-interval over few seeds does not
  know: the parts of an interval beyond these ends are cut off (`Interval.within`). Coverage stays what it was: the
  truth was never in those parts.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean (or a ratio of means) with the ends of its interval; None where the data cannot bound it."""

    mean: float
    low: float | None
    high: float | None

    def within(self, least: float, most: float = math.inf) -> "Interval":
        """Without the parts below ``least`` and above ``most``, for quantities that cannot lie there."""
        low, high = self.low, self.high
        return Interval(self.mean, None if low is None else max(least, low), None if high is None else min(most, high))


def mean_interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval:
    """Mean and Student t-interval of independent values; no interval (None) for a single one.

    Raises: ValueError for no value, or one that is not finite.
    """
    data = _finite(values)
    half = _half_width(data, confidence)
    mean = float(data.mean())
    return Interval(mean, None, None) if half is None else Interval(mean, mean - half, mean + half)


def paired_difference(a: Mapping[int, float], b: Mapping[int, float], *, confidence: float = CONFIDENCE) -> Interval:
    """Mean of a - b over the seeds that both have, with its t-interval.

    Args:
        a, b: the value of each seed.
        confidence: coverage of the interval, in (0, 1).
    Raises: ValueError when no seed is in both.
    """
    first, second = _paired(a, b)
    return mean_interval((first - second).tolist(), confidence=confidence)


def sign_flip_p_value(a: Mapping[int, float], b: Mapping[int, float]) -> float | None:
    """Two-sided p-value of the exact sign-flip test of a - b by seed; None with one seed.

    All 2^n sign patterns up to 16 seeds, 65536 random ones (seeded) beyond.
    Raises: ValueError when no seed is in both.
    """
    from scipy import stats

    first, second = _paired(a, b)
    if len(first) < 2:
        return None
    result = stats.permutation_test(
        (first - second,), np.mean, permutation_type="samples", vectorized=True, n_resamples=2**16, rng=0
    )
    return float(result.pvalue)


def paired_t_p_value(a: Mapping[int, float], b: Mapping[int, float]) -> float | None:
    """Two-sided p-value of the paired t-test of a - b by seed; None with one seed.

    Raises: ValueError when no seed is in both.
    """
    from scipy import stats

    first, second = _paired(a, b)
    difference = first - second
    if len(difference) < 2:
        return None
    spread = difference.std(ddof=1) / math.sqrt(len(difference))
    if spread == 0:  # identical differences: certain, whichever way
        return 1.0 if difference.mean() == 0 else 0.0
    return float(2 * stats.t.sf(abs(difference.mean()) / spread, len(difference) - 1))


def ratio_interval(a: Mapping[int, float], b: Mapping[int, float], *, confidence: float = CONFIDENCE) -> Interval:
    r"""mean(a) / mean(b) over the seeds that both have, with Fieller's interval.

    The interval holds every ratio r for which a - r b has a mean that a t-test does not reject. It is unbounded, here
    None, when mean(b) itself cannot be told from 0, and None with one seed.
    Raises: ValueError when no seed is in both, or when the mean of b is 0.
    Source: Fieller, "Some problems in interval estimation", J. R. Stat. Soc. B 16 (1954).
    """
    first, second = _paired(a, b)
    top, bottom, count = float(first.mean()), float(second.mean()), len(first)
    if bottom == 0:
        raise ValueError("the ratio of means needs a denominator whose mean is not 0")
    if count < 2:
        return Interval(top / bottom, None, None)
    covariance = np.cov(first, second) / count * _student_point(confidence, count - 1) ** 2
    square = bottom**2 - covariance[1, 1]
    if square <= 0:
        return Interval(top / bottom, None, None)
    middle = top * bottom - covariance[0, 1]
    spread = math.sqrt(max(0.0, middle**2 - square * (top**2 - covariance[0, 0])))
    return Interval(top / bottom, float((middle - spread) / square), float((middle + spread) / square))


def false_discovery(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini-Hochberg adjusted p-values in the given order; a comparison without p-value (None) stays out."""
    from scipy import stats

    known = [value for value in p_values if value is not None]
    adjusted = iter(stats.false_discovery_control(known).tolist() if known else [])
    return [None if value is None else next(adjusted) for value in p_values]


def smallest_p_value(num_seeds: int) -> float:
    """The least two-sided p-value that a sign-flip test over this many seeds can give: 2^(1 - n), at most 1."""
    return min(1.0, 2.0 ** (1 - num_seeds))


def _finite(values: Sequence[float]) -> Values:
    data = np.asarray(list(values), dtype=np.float64)
    if len(data) == 0:
        raise ValueError("an interval needs at least one value, got none")
    if not np.isfinite(data).all():
        raise ValueError(f"values must be finite, got {data.tolist()}")
    return data


def _paired(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[Values, Values]:
    seeds = sorted(set(a) & set(b))
    if not seeds:
        raise ValueError(f"no seed in common: {sorted(a)} and {sorted(b)}")
    return _finite([a[seed] for seed in seeds]), _finite([b[seed] for seed in seeds])


def _half_width(data: Values, confidence: float) -> float | None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    if len(data) < 2:
        return None
    return _student_point(confidence, len(data) - 1) * float(data.std(ddof=1)) / math.sqrt(len(data))


def _student_point(confidence: float, freedom: int) -> float:
    """Half the width of Student's central interval, in standard errors."""
    from scipy import stats  # here and below: half of the start-up time of every process that imports the package

    return float(stats.t.ppf((1 + confidence) / 2, freedom))
