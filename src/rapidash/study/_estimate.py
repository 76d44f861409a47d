"""A number of every seed as its mean with an interval, which ends where the quantity itself ends."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from rapidash.represent import UNEXPLAINED
from rapidash.study._statistics import Interval, mean_interval

_MEDIAN_DIFFERENCE: Final = "median difference from the rotational constant "
_RATIOS: Final = (UNEXPLAINED, _MEDIAN_DIFFERENCE)  # in per cent of something that is not their largest value
_ROUNDING: Final = 1e-9  # shares in per cent below are 0
_RANGES: Final = (  # of figures, by the words of their names; the first that fits
    (r"\bin standard deviations\b", -math.inf, math.inf),
    (r"\bp-value\b|\baccuracy\b|\beffective invariance\b|^consistency,|^confidence,", 0.0, 1.0),
    (r"\bmutual information gap\b|\bFactorVAE score\b|\breciprocal rank\b|\bhit at 1\b", 0.0, 1.0),
    (r"\border of poses$", 0.0, 2.0),  # D - 1 in D dimensions
    (r"\berrors?\b|\bdenoising loss\b|\bpenalty\b|\bnorm\b|\bdistances?\b|\bmedian difference\b", 0.0, math.inf),
    (r"\bW1\b|\bMMD\b|\bdivergence\b|\btotal variation\b|\bspread\b|\bseconds\b|\boperations\b", 0.0, math.inf),
)


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds with its 95 % interval (None with one seed), and the value of every seed."""

    mean: float
    low: float | None
    high: float | None
    by_seed: Mapping[int, float]

    @property
    def values(self) -> list[float]:
        """Values in the order of their seeds."""
        return [self.by_seed[seed] for seed in sorted(self.by_seed)]


def estimate(values: Mapping[int, float]) -> Estimate | None:
    """Mean and 95 % interval of a value per seed; None without values."""
    return Estimate(*mean_interval([values[seed] for seed in sorted(values)]), dict(values)) if values else None


def error_estimate(values: Mapping[int, float], *, most: float | None = None) -> Estimate | None:
    """As `estimate`, for errors: the interval does not reach below 0, where no value does, nor above ``most``.

    Args:
        values: by seed.
        most: the largest value that there can be, see `largest_value`; None: no end.
    """
    return _within(values, 0.0, math.inf if most is None else most)


def figure_estimate(values: Mapping[int, float], name: str, unit: str) -> Estimate | None:
    """As `estimate`, for a figure of the records: the interval ends where the figure itself does, see `value_range`.

    Shares in per cent that are 0 up to rounding are 0.

    Args:
        values: by seed.
        name: of the figure, with its unit or without.
        unit: of its values.
    """
    if _is_percent(name, unit):
        values = {seed: 0.0 if abs(value) < _ROUNDING else value for seed, value in values.items()}
    return _within(values, *value_range(name, unit))


def value_range(name: str, unit: str) -> tuple[float, float]:
    """The ends of what a figure can be, by its name and unit; infinite where there is none, or none is known.

    Per cent of all lie in [0, 100], p-values and scores in [0, 1], and distances, errors and costs above 0.

    Args:
        name: of the figure, with its unit or without.
        unit: of its values.
    """
    if _is_percent(name, unit):
        return 0.0, math.inf if (most := largest_value(name, unit)) is None else most
    ends = ((least, most) for words, least, most in _RANGES if re.search(words, name))
    return next(ends, (-math.inf, math.inf))


def largest_value(name: str, unit: str) -> float | None:
    """The end of the values of a metric or a figure: 100 for a share in per cent, such as an error rate; None: no end.

    An error of a target that is given in per cent is no share of anything; its unit is percentage points.

    Args:
        name: of the metric or the figure, with its unit or without.
        unit: of its values.
    """
    return 100.0 if _is_percent(name, unit) and not any(ratio in name for ratio in _RATIOS) else None


def _is_percent(name: str, unit: str) -> bool:
    return unit == "%" or name.endswith("(%)")


def _within(values: Mapping[int, float], least: float, most: float) -> Estimate | None:
    """As `estimate`, without the parts of the interval beyond an end; one that a value passes is no end."""
    found = estimate(values)
    if found is None:
        return None
    least = least if min(values.values()) >= least else -math.inf
    most = most if max(values.values()) <= most else math.inf
    _, low, high = Interval(found.mean, found.low, found.high).within(least, most)
    return replace(found, low=low, high=high)
