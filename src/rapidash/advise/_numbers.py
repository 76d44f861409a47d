"""Numbers, times and units in words."""


def number(value: float, digits: int = 3) -> str:
    """So many digits, without a power of ten below a million."""
    return f"{float(f'{value:.{digits}g}'):g}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, with two digits."""
    if seconds < 100:
        return f"{number(seconds, 2)} s"
    return f"{number(seconds / 60, 2)} min" if seconds < 6000 else f"{number(seconds / 3600, 2)} h"


def unit_words(unit: str) -> str:
    """A unit that says something, else nothing: not that of a share, nor one that only repeats the name of a target."""
    return "" if unit in ("", "1") or unit.startswith("unit of ") else unit
