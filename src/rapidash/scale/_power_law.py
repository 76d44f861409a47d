"""Power laws of a loss in one quantity, and the frontier of least losses."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

Values = NDArray[np.float64]

CONFIDENCE = 0.95
LEAST_SIZES = 3
"""Different sizes that a fit needs: through two any power law goes."""
FRONTIER_POINTS = 256


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its 95 % interval; None where the data cannot bound it."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class PowerLaw:
    r"""L(x) = coefficient * x^(-exponent).

    Args:
        coefficient: L at x = 1.
        exponent: positive where the loss falls.
        spread: standard deviation of log L about the law, with as many degrees of freedom as points less two.
        num: points.
    """

    coefficient: Interval
    exponent: Interval
    spread: float
    num: int

    def __call__(self, x: float) -> float:
        """The loss at x."""
        return self.coefficient.value * x**-self.exponent.value


def fit_power_law(sizes: ArrayLike, losses: ArrayLike) -> PowerLaw:
    """Least squares of log L on log x, with Student's intervals, which are exact where log L is normal about the law.

    Resampling is no alternative for as few points as a sweep has: of three points of different sizes there is a single
    resample with three sizes, and of 3 sizes with 3 seeds its intervals held the truth in 85 % of data sets, not 95 %.

    Args:
        sizes: x, e.g. operations or samples.
        losses: L at each.
    Raises: ValueError for values that are not positive and finite, or fewer than three different sizes.
    """
    line = _line(sizes, losses)
    return PowerLaw(line.at(0.0), line.exponent, line.spread, line.num)


def extrapolate(sizes: ArrayLike, losses: ArrayLike, at: float) -> Interval:
    """The loss at a further size if the power law of `fit_power_law` goes on, with its interval.

    The interval is that of the law, not of a single run; that the law goes on is assumed.

    Args:
        sizes, losses: as of `fit_power_law`.
        at: the size.
    Raises: ValueError as `fit_power_law`; for a size that is not positive and finite.
    """
    line = _line(sizes, losses)
    return line.at(float(np.log(checked("at", at))[0]))


@dataclass(frozen=True)
class _Line:
    """A line of least squares through the logarithms of points.

    Args:
        slope, offset: of the line.
        spread: standard deviation of the points about it.
        num: points.
        mean, reach: mean of the log sizes, and the sum of their squared distances to it.
    """

    slope: float
    offset: float
    spread: float
    num: int
    mean: float
    reach: float

    @property
    def exponent(self) -> Interval:
        """That of the power law."""
        half = self._half_width(1 / self.reach)
        return Interval(-self.slope, -self.slope - half, -self.slope + half)

    def at(self, x: float) -> Interval:
        """The loss at a log size."""
        half = self._half_width(1 / self.num + (x - self.mean) ** 2 / self.reach)
        with np.errstate(over="ignore"):  # an end beyond all numbers is infinite
            low, value, high = np.exp(self.offset + self.slope * x + half * np.array([-1.0, 0.0, 1.0]))
        return Interval(float(value), float(low), float(high))

    def _half_width(self, variance: float) -> float:
        """Of the interval of a quantity with this variance, where that of a point is 1."""
        return float(stdtrit(self.num - 2, (1 + CONFIDENCE) / 2)) * self.spread * math.sqrt(variance)


def _line(sizes: ArrayLike, losses: ArrayLike) -> _Line:
    """The line of least squares of log L on log x. Raises: ValueError as `fit_power_law`."""
    x, loss = np.log(checked("sizes", sizes)), np.log(checked("losses", losses))
    check_lengths(sizes=x, losses=loss)
    check_sizes("sizes", x)
    slope, offset = np.polyfit(x, loss, 1)
    spread = math.sqrt(np.square(loss - offset - slope * x).sum() / (len(x) - 2))
    return _Line(float(slope), float(offset), spread, len(x), float(x.mean()), float(np.square(x - x.mean()).sum()))


def frontier(compute: ArrayLike, losses: ArrayLike) -> tuple[Values, Values]:
    """The least loss that any run reached with at most so much compute, where it falls: sorted, losses decreasing.

    Raises: ValueError for values that are not positive and finite, or none.
    """
    x, loss = checked("compute", compute), checked("losses", losses)
    check_lengths(compute=x, losses=loss)
    order = np.lexsort((loss, x))
    x, least = x[order], np.minimum.accumulate(loss[order])
    falls = np.concatenate([[True], least[1:] < least[:-1]])
    return x[falls], least[falls]


def fit_frontier(
    compute: ArrayLike,
    losses: ArrayLike,
    *,
    between: tuple[float, float] | None = None,
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> PowerLaw:
    """A power law of the frontier, a staircase that is sampled at 256 values of compute, equidistant in the logarithm.

    Intervals are by resampling runs, each time with a frontier of its own, which begins in the lower half of the
    interval of compute.

    Args:
        compute: operations, or seconds, of each run.
        losses: of each run.
        between: the interval of compute in which it is sampled, e.g. the one that several models have in common; None:
            from the least to the largest.
        num_bootstrap: resamples; those with fewer than `LEAST_SIZES` different values of compute are drawn again.
        seed: of the resamples.
    Raises: ValueError as `fit_power_law`; for an interval that is empty, or that begins before the first run.
    """
    x, loss = checked("compute", compute), checked("losses", losses)
    check_lengths(compute=x, losses=loss)
    check_sizes("compute", np.log(x))
    low, high = between or (float(x.min()), float(x.max()))
    if not 0 < low < high or low < x.min() * (1 - 1e-12):
        raise ValueError(f"between must be an interval from at least {x.min():.4g}, the least compute, got {low, high}")
    at = np.geomspace(low, high, FRONTIER_POINTS)

    def fitted(rows: NDArray[np.int64]) -> Values:
        steps, least = frontier(x[rows], loss[rows])
        index = np.searchsorted(steps, at * (1 + 1e-12), side="right") - 1
        return np.polyfit(np.log(at[index >= 0]), np.log(least[index[index >= 0]]), 1)

    slope, offset = fitted(np.arange(len(x)))
    steps, least = frontier(x, loss)
    index = np.searchsorted(steps, at * (1 + 1e-12), side="right") - 1
    residual = np.log(least[index]) - offset - slope * np.log(at)
    rng = np.random.default_rng(seed)
    middle = (math.log(low) + math.log(high)) / 2
    draws = np.array([fitted(rows) for rows in resamples(rng, num_bootstrap, np.log(x), low=middle)])
    draws = draws.reshape(-1, 2)
    return PowerLaw(
        interval(math.exp(offset), np.exp(draws[:, 1])),
        interval(-slope, -draws[:, 0]),
        float(residual.std()),
        len(x),
    )


def checked(name: str, values: ArrayLike) -> Values:
    """The values as an array. Raises: ValueError, naming one that is not positive and finite, or for none."""
    found = np.asarray(values, dtype=np.float64).reshape(-1)
    if not len(found):
        raise ValueError(f"{name} has no values")
    wrong = found[~(np.isfinite(found) & (found > 0))]
    if len(wrong):
        raise ValueError(f"{name} must be positive and finite for a power law, got {wrong[0]:g}")
    return found


def check_lengths(**columns: Values) -> None:
    """Raise ValueError unless all columns are equally long."""
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError("as many values are needed of each: " + str({name: len(c) for name, c in columns.items()}))


def check_sizes(name: str, logs: Values) -> None:
    """Raise ValueError for fewer than three different sizes."""
    count = len(distinct(logs))
    if count < LEAST_SIZES:
        raise ValueError(f"a fit needs at least {LEAST_SIZES} different {name}, got {count}")


def distinct(logs: Values) -> Values:
    """The different values of a column of logarithms, up to rounding."""
    return np.unique(np.round(logs, 9))


def num_points(*columns: Values) -> int:
    """The different rows of columns of logarithms, up to rounding."""
    return len(np.unique(np.round(np.stack(columns, axis=1), 9), axis=0))


def resamples(
    rng: np.random.Generator, num: int, *columns: Values, low: float | None = None, least: int = LEAST_SIZES
) -> list[NDArray[np.int64]]:
    """Rows drawn with replacement, with at least three different values in every column; at most ten draws for each.

    With ``low`` the first column must also begin there or below; ``least`` rows must differ. Of no more rows than that
    there are none: all would be the rows themselves.
    """
    found: list[NDArray[np.int64]] = []
    if len(columns[0]) <= least:
        return found
    for _ in range(10 * num):
        if len(found) == num:
            break
        rows = rng.integers(0, len(columns[0]), len(columns[0]))
        if low is not None and columns[0][rows].min() > low:
            continue
        is_wide = all(len(distinct(column[rows])) >= LEAST_SIZES for column in columns)
        if is_wide and num_points(*(column[rows] for column in columns)) >= least:
            found.append(rows)
    return found


def interval(value: float, draws: Values) -> Interval:
    """The value with the percentiles of its draws that are finite."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Interval(float(value), None, None)
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(value), float(low), float(high))
