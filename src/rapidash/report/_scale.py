"""Axes: values to per cent of the axis length, and the ticks a reader expects."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rapidash.report._format import MINUS, power_of_ten

LOG_FROM: Final = 10.0  # a positive axis that spans a larger factor than this is logarithmic
MAX_TICKS: Final = 6


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis from ``low`` to ``high``."""

    low: float
    high: float
    is_log: bool

    def __call__(self, value: float) -> float:
        """Position of ``value`` in per cent of the axis, clipped to [0, 100]."""
        low, high = self._warp(self.low), self._warp(self.high)
        if self.is_log and value <= 0:
            return 0.0
        return round(min(max(100 * (self._warp(value) - low) / (high - low), 0.0), 100.0), 3)

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies on the axis."""
        return self.low <= value <= self.high

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """(position in per cent, label) of at most ``MAX_TICKS`` ticks."""
        return [(self(value), label) for value, label in self.labelled_values]

    @property
    def labelled_values(self) -> list[tuple[float, str]]:
        """(value, label) of the ticks."""
        values = [value for value in self._tick_values() if self.holds(value)]
        return list(zip(values, tick_labels(values, is_log=self.is_log), strict=True))

    def _warp(self, value: float) -> float:
        return math.log10(value) if self.is_log else value

    def _tick_values(self) -> list[float]:
        if not self.is_log:
            return _linear_ticks(self.low, self.high)
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for digits in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
            values = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
            values = [value for value in values if self.holds(value)]
            if 2 <= len(values) <= MAX_TICKS:
                return values
        if len(values) < 2:
            return _linear_ticks(self.low, self.high)
        stride = math.ceil(len(values) / MAX_TICKS)
        return values[::stride]


def scale_for(values: Iterable[float], *, log: bool | None = None, with_zero: bool = False) -> Scale:
    """An axis that shows all finite ``values`` with a small margin.

    Args:
        log: True, False, or None for a logarithmic axis exactly where all values are positive and span more than 10.
        with_zero: whether a linear axis must show 0.
    """
    finite = [value for value in values if math.isfinite(value)]
    positive = [value for value in finite if value > 0]
    if log is None:
        log = len(positive) == len(finite) and bool(positive) and max(positive) / min(positive) > LOG_FROM
    if log and positive:
        low, high = min(positive), max(positive)
        margin = max((high / low) ** 0.06, 1.15)
        return Scale(low / margin, high * margin, True)
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    if with_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    span = high - low or abs(high) or 1.0
    bottom = low - 0.06 * span
    if low >= 0 and bottom < 0:
        bottom = 0.0
    return Scale(bottom, high + 0.06 * span, False)


def tick_labels(values: Sequence[float], *, is_log: bool) -> list[str]:
    """Labels of one axis in one style: powers of ten far from 1, otherwise plain numbers with equal decimals."""
    sizes = [abs(value) for value in values if value != 0]
    if not sizes:
        return ["0"] * len(values)
    if max(sizes) >= 1e5 or min(sizes) < 1e-4:
        return _power_labels(values)
    if is_log:
        return [f"{value:.6f}".rstrip("0").rstrip(".") for value in values]
    decimals = max(_decimals(value) for value in values)
    return [f"{value:.{decimals}f}".replace("-", MINUS) if value else "0" for value in values]


def _power_labels(values: Sequence[float]) -> list[str]:
    """``10⁻³``, ``2×10⁻³``: with as many digits as the values of the axis need, at most six."""
    digits = next((d for d in range(6) if all(math.isclose(float(f"{v:.{d}e}"), v, rel_tol=1e-6) for v in values)), 5)
    return [power_of_ten(value, digits).removeprefix("1×") if value else "0" for value in values]


def _decimals(value: float) -> int:
    """Digits after the point that ``value`` needs, with at most six significant ones."""
    text = f"{value:.{max(5 - math.floor(math.log10(abs(value) or 1.0)), 0)}f}"
    return len(text.partition(".")[2].rstrip("0"))


def _linear_ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / (MAX_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [round((first + index) * step, 12 - math.floor(math.log10(step))) for index in range(count)]
