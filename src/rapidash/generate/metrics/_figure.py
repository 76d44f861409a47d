"""A figure of samples: its value with an interval, from how many samples, and beside it that of real data."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH = 110  # of notes
NORMAL_95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True)
class Figure:
    """One figure of samples, named with its protocol, e.g. "stable (bond lookup)".

    Args:
        name: quantity and protocol: figures of different protocols are not comparable.
        value: in ``unit``; nan where nothing was there to measure.
        low, high: 95 % interval over samples, which says nothing of other seeds of training; None where there is none.
        num: samples in the denominator, those that are not finite among them.
        unit: e.g. "%", "pm"; "1" for a pure number.
        real: the same figure of real data: of the reference for shares, between training data and reference, as many
            as there are samples, for distances; None where it was not computed.
        note: a limit of the protocol, or a warning about this value.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    num: int
    unit: str
    real: float | None = None
    note: str = ""


def wilson_interval(count: float, total: float) -> tuple[float, float]:
    """Ends of the 95 % interval of Wilson of a share, (p + z^2/2n +- z sqrt(p(1 - p)/n + z^2/4n^2)) / (1 + z^2/n).

    Args:
        count: successes, 0 to ``total``; p = count / total.
        total: trials n, above 0; not whole for an effective number.
    Raises: ValueError for a count outside the range.
    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if not 0 <= count <= total or total <= 0:
        raise ValueError(f"a share needs 0 <= count <= total and total > 0, got {count=}, {total=}")
    p, w = count / total, NORMAL_95**2 / total
    half = math.sqrt(w * p * (1 - p) + w * w / 4)
    return max(0.0, (p + w / 2 - half) / (1 + w)), min(1.0, (p + w / 2 + half) / (1 + w))


def share_figure(name: str, count: int, total: int, *, real: float | None = None, note: str = "") -> Figure:
    """A share of independent samples in %, with the interval of Wilson.

    Raises: ValueError for a count outside 0 to ``total``, or no samples.
    """
    low, high = wilson_interval(count, total)
    return Figure(name, 100 * count / total, 100 * low, 100 * high, total, "%", real, note)


def normal_ends(value: float, error: float, largest: float = math.inf) -> tuple[float | None, float | None]:
    """The ends value +- 1.96 error, cut off at 0 and at the largest possible value; None without an error."""
    if not math.isfinite(value) or not math.isfinite(error):
        return None, None
    return max(0.0, value - NORMAL_95 * error), min(largest, value + NORMAL_95 * error)


def median_ends(values: Sequence[float]) -> tuple[float | None, float | None]:
    """A 95 % interval of the median, whatever the law: the k-th smallest and the k-th largest of n values.

    k is the largest with P(X < k) at most 2.5 % for the number X of heads in n throws. None for fewer than 6 values.
    """
    from scipy.stats import binom

    place = int(binom.ppf(0.025, len(values), 0.5))
    ordered = sorted(values)
    return (ordered[place - 1], ordered[-place]) if place else (None, None)


def figures_table(figures: Sequence[Figure]) -> str:
    """The figures as text, a line for each, in columns; their notes follow below."""
    notes = list(dict.fromkeys(figure.note for figure in figures if figure.note))
    rows = [("figure", "value", "95 % interval", "real", "samples", "unit")]
    for figure in figures:
        mark = f" [{notes.index(figure.note) + 1}]" if figure.note else ""
        ends = "-" if figure.low is None or figure.high is None else f"{_digits(figure.low)} to {_digits(figure.high)}"
        real = "-" if figure.real is None else _digits(figure.real)
        rows.append((figure.name + mark, _digits(figure.value), ends, real, str(figure.num), figure.unit))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    for number, note in enumerate(notes, start=1):
        lines += textwrap.wrap(f"[{number}] {note}", width=_WIDTH, subsequent_indent=4 * " ")
    return "\n".join(lines)


def _digits(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if value == 0 or 0.1 <= abs(value) < 1e6 else f"{value:.3g}"
