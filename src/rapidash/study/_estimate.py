"""A number of every seed as its mean with an interval, which ends where the quantity itself ends."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from rapidash.represent import UNEXPLAINED
from rapidash.study._statistics import Interval, mean_interval

_MEDIAN_DIFFERENCE: Final = "median difference from the rotational constant "
_RATIOS: Final = (UNEXPLAINED, _MEDIAN_DIFFERENCE)  # in per cent of something that is not their largest value


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
    found = estimate(values)
    if found is None or min(values.values()) < 0:
        return found
    end = most if most is not None and max(values.values()) <= most else math.inf
    _, low, high = Interval(found.mean, found.low, found.high).within(0.0, end)
    return replace(found, low=low, high=high)


def largest_value(name: str, unit: str) -> float | None:
    """The end of the values of a metric or a figure: 100 for a share in per cent, such as an error rate; None: no end.

    An error of a target that is given in per cent is no share of anything; its unit is percentage points.

    Args:
        name: of the metric or the figure, with its unit or without.
        unit: of its values.
    """
    is_percent = unit == "%" or name.endswith("(%)")
    return 100.0 if is_percent and not any(ratio in name for ratio in _RATIOS) else None
