"""The unit of an error of numbers."""


def error_unit(unit: str) -> str:
    """The unit of a difference of two numbers in ``unit``: percentage points for per cent, which it is no share of."""
    return "percentage points" if unit == "%" else unit
