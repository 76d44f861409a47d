"""Sentences that a race and a diagnosis say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rapidash.advise._finding import Finding, two_digits_up
from rapidash.advise._numbers import number
from rapidash.advise._outlook import Curve, Range

Values = NDArray[np.float64]
_CLEARLY_LESS = 0.9  # of single trainings, whose errors nobody knows the spread of
APART = 2.0
"""Standard errors of a difference from which on two variants are told apart."""


@dataclass(frozen=True)
class Said:
    """A sentence under a title."""

    title: str
    text: str


def depends_on_place(findings: Sequence[Finding]) -> bool:
    """Whether the absolute position tells about the target, which no variant of a race sees."""
    return any(each.key == "place" and each.says == "yes" for each in findings)


def in_words(found: Range) -> str:
    """A value with its interval."""
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def not_told_apart(named: str, draws: Mapping[str, Values]) -> list[str]:
    """The variants whose expected error is within two standard errors of the difference from the named one's."""
    found = []
    for name, values in draws.items():
        difference = values - draws[named]
        if name != named and abs(float(difference.mean())) <= APART * float(difference.std()):
            found.append(name)
    return found


def validation_needed(first: Values, second: Values, num: int) -> int | None:
    """The validation clouds at which two variants would be told apart.

    None for equal errors, and for more than a thousand times as many.
    """
    difference = first - second
    mean, spread = abs(float(difference.mean())), float(difference.std())
    if mean == 0 or mean * 1000**0.5 < APART * spread:
        return None
    return two_digits_up(num * max(1.0, (APART * spread / mean) ** 2))


def change_by(curves: Sequence[Curve], named: str, what: str, now: Mapping[str, float]) -> str:
    """Whether another variant is ahead where one has more of something, by the laws of the best two.

    Args:
        curves: of the best variants.
        named: the variant that is advised.
        what: there is more of.
        now: by variant, how much there is.
    """
    known = {curve.variant: curve for curve in curves}
    if named not in known:
        return f"{named} was not followed against {what}: whether more of it would change the advice is not known."
    own = known.pop(named)
    before = _ahead_before(own, known, named, what, now)
    if own.exponent.low <= 0:
        return (
            f"The error of {named} does not clearly fall with {what} in this race (power {in_words(own.exponent)}): "
            "whether more of it would help, or another variant be ahead, is not known. A longer race would tell more."
            f"{before}"
        )
    falls = [f"{place / now[named]:g} times: {in_words(found)}" for place, found in own.ahead.items()]
    falling = f"Expected with more {what}, {'; '.join(falls)}.{before}"
    if not known:
        return falling
    other = next(iter(known.values()))
    for (place, mine), theirs in zip(own.ahead.items(), other.ahead.values(), strict=True):
        if theirs.value < mine.value:
            sure = ", but the intervals overlap" if theirs.high > mine.low else ""
            return (
                f"With {place / now[named]:g} times the {what}, {other.variant} would be ahead by the fitted laws: "
                f"{in_words(theirs)} against {in_words(mine)}{sure}.{before}"
            )
    return f"{named} stays ahead of {other.variant} by the fitted laws. {falling}"


def _ahead_before(own: Curve, others: Mapping[str, Curve], named: str, what: str, now: Mapping[str, float]) -> str:
    """A sentence where another variant was a tenth ahead with the least data or time that was tried; else nothing."""
    for other in others.values():
        if other.errors[0] < _CLEARLY_LESS * own.errors[0]:
            return (
                f" With {number(own.at[0] / now[named], 2)} times the {what} {other.variant} was ahead: "
                f"{number(other.errors[0])} against {number(own.errors[0])}, in one training each."
            )
    return ""
