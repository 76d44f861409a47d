"""Samples for which no element can be chosen are told, never hidden."""

import warnings
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

Degenerate = Literal["warn", "error", "ignore"]
_NAMED = 8  # samples in a message


def check_degenerate(degenerate: str, tolerance: float) -> None:
    """Raise ValueError for an unknown choice or a negative tolerance."""
    if degenerate not in get_args(Degenerate):
        raise ValueError(f"degenerate must be one of {', '.join(map(repr, get_args(Degenerate)))}, got {degenerate!r}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")


def tell_degenerate(gap: Float[Tensor, " B"], tolerance: float, degenerate: Degenerate, what: str, advice: str) -> None:
    """Warn of samples whose gap is at or below the tolerance, or refuse them.

    Args:
        gap: how far each sample is from a degenerate one.
        tolerance: the gap at which it is one.
        degenerate: what is done.
        what: what the gap is, e.g. "relative eigenvalue gap".
        advice: what the user can do.
    Raises: ValueError with ``degenerate="error"``.
    """
    if degenerate == "ignore":
        return
    found = (~(gap > tolerance)).nonzero().flatten().tolist()  # a gap that is not a number is one
    if not found:
        return
    names = ", ".join(f"{index} ({float(gap[index]):.2g})" for index in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    message = (
        f"{len(found)} of {len(gap)} samples are degenerate: their {what} is at most {tolerance:g}, so that rounding "
        f"chooses the element and the average is not equivariant there. Sample (gap): {names}{more}. {advice}"
    )
    if degenerate == "error":
        raise ValueError(message)
    warnings.warn(message, stacklevel=4)
