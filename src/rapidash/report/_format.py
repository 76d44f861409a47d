"""Numbers as a reader wants them: few digits, the same everywhere."""

import math
import unicodedata
from collections.abc import Sequence
from typing import Final

MINUS: Final = "\N{MINUS SIGN}"
NOTHING: Final = "\N{EN DASH}"
TIMES: Final = "\N{MULTIPLICATION SIGN}"
ARROW: Final = "\N{RIGHTWARDS ARROW}"
TIE: Final = "\N{NO-BREAK SPACE}"  # keeps a number with its unit, and an interval on one line
_SUPERSCRIPT: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 3) -> str:
    """``value`` with significant digits; powers of ten below 1e-4 and from 1e5 on."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    sign, size = (MINUS if value < 0 else ""), abs(value)
    rounded = f"{size:.{digits - 1}e}"
    power = int(rounded.split("e")[1])
    if -4 <= power < 5:
        return sign + f"{float(rounded):.{max(digits - 1 - power, 0)}f}"
    return power_of_ten(value, digits - 1)


def one_line(text: str) -> str:
    """A text on one line: breaks as spaces, and what has no picture (controls, turns of direction) as escapes."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(sign: str) -> str:
    if sign.isprintable() or unicodedata.category(sign) == "Zs":
        return sign
    return " " if sign.isspace() else repr(sign)[1:-1]


def signed(value: float | None, digits: int = 3) -> str:
    """``number`` with a plus sign for what is positive."""
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 else text


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """``[low, high]``, or the empty string without an interval."""
    return "" if low is None or high is None else f"[{number(low, digits)},{TIE}{number(high, digits)}]"


def fixed(value: float, decimals: int = 0) -> str:
    """``value`` with digits after the point, a minus sign where something is below zero, and never "-0"."""
    text = f"{abs(value):.{decimals}f}"
    return MINUS + text if value < 0 and float(text) != 0 else text


def percent(share: float | None) -> str:
    """A share in whole per cent."""
    return NOTHING if share is None or not math.isfinite(share) else f"{fixed(100 * share)}{TIE}%"


def ratio(value: float | None) -> str:
    """A factor such as 1.83x, with two digits after the point below 10 and none above 100."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{fixed(value, 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0)}{TIMES}"


def power_of_ten(value: float | None, decimals: int = 1) -> str:
    """A number as 3.1x10^-2, whatever its size."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    mantissa, exponent = f"{abs(value):.{decimals}e}".split("e")
    return f"{MINUS if value < 0 else ''}{mantissa}{TIMES}10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def relative_error(value: float | None) -> str:
    """A relative error with two digits: 0.37, or a power of ten below 0.01."""
    return number(value, 2) if value is not None and value >= 0.01 else power_of_ten(value)


def count(value: float | None) -> str:
    """An integer with thousands set apart by narrow spaces."""
    return NOTHING if value is None else f"{round(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def short_count(value: float | None) -> str:
    """A count in thousands or millions: 152 k, 1.25 M."""
    if value is None:
        return NOTHING
    if value < 1000:
        return fixed(value)
    scaled, suffix = (value / 1e6, "M") if value >= 999_500 else (value / 1e3, "k")
    return f"{scaled:.3g}{TIE}{suffix}"


def memory(num_bytes: float | None) -> str:
    """Bytes in MB or GB (powers of ten)."""
    if num_bytes is None:
        return NOTHING
    if num_bytes >= 1e9:
        return f"{fixed(num_bytes / 1e9, 2)}{TIE}GB"
    return f"{fixed(num_bytes / 1e6, 0 if num_bytes >= 1e7 else 1)}{TIE}MB"


def seconds(value: float | None) -> str:
    """A duration in ms, s, min or h, with three digits."""
    if value is None:
        return NOTHING
    for limit, scale, unit in ((1.0, 1e3, "ms"), (120.0, 1.0, "s"), (7200.0, 1 / 60, "min")):
        if value < limit:
            return f"{number(value * scale)}{TIE}{unit}"
    return f"{number(value / 3600)}{TIE}h"


def p_value(value: float | None) -> str:
    """``p = 0.013``, or ``p < 0.001``; one that is a little above 0.05 with as many digits as show it."""
    if value is None:
        return ""
    digits = 3 if value < 0.1 else 2
    while value > 0.05 >= float(f"{value:.{digits}f}"):
        digits += 1
    sign, text = ("<", "0.001") if value < 0.001 else ("=", f"{value:.{digits}f}")
    return f"p{TIE}{sign}{TIE}{text}"


def unit(text: str) -> str:
    """A unit with its powers raised: length^2 becomes length²."""
    for power, raised in (("^2", "²"), ("^3", "³"), ("^-1", "⁻¹"), ("^-2", "⁻²")):
        text = text.replace(power, raised)
    return text


def plural(num: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{num} {noun}" if num == 1 else f"{num} {noun}s"


def listed(items: Sequence[str]) -> str:
    """Names in a sentence: a, b and c."""
    return " and ".join(items) if len(items) < 3 else f"{', '.join(items[:-1])} and {items[-1]}"
