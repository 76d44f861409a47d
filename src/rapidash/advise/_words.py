"""Sentences that a race and a diagnosis say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rapidash.advise._finding import two_digits_up
from rapidash.advise._outlook import Curve, Range

Values = NDArray[np.float64]
APART = 2.0
"""Standard errors of a difference from which on two variants are told apart."""


@dataclass(frozen=True)
class Said:
    """A sentence under a title."""

    title: str
    text: str


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}"


def in_words(found: Range) -> str:
    """A value with its interval."""
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 6000 else f"{seconds / 3600:.2g} h"


def not_told_apart(named: str, draws: Mapping[str, Values]) -> list[str]:
    """The variants whose expected error is within two standard errors of the difference from the named one's."""
    found = []
    for name, values in draws.items():
        difference = values - draws[named]
        if name != named and abs(float(difference.mean())) <= APART * float(difference.std()):
            found.append(name)
    return found


def validation_needed(first: Values, second: Values, num: int) -> int | None:
    """The validation clouds at which two variants would be told apart; None for more than a thousand times as many."""
    difference = first - second
    mean, spread = abs(float(difference.mean())), float(difference.std())
    if mean * 1000**0.5 < APART * spread:
        return None
    return two_digits_up(num * max(1.0, (APART * spread / mean) ** 2)) if mean else num


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
        return f"{named} was not followed against {what}, so nothing is said."
    own = known.pop(named)
    if own.exponent.low <= 0:
        return (
            f"The error of {named} does not clearly fall with {what} in this race (power {in_words(own.exponent)}), so "
            "nothing is expected of it: give the race more time."
        )
    falls = [f"{place / now[named]:g} times: {in_words(found)}" for place, found in own.ahead.items()]
    falling = f"Expected with more {what}, {'; '.join(falls)}."
    if not known:
        return falling
    other = next(iter(known.values()))
    for (place, mine), theirs in zip(own.ahead.items(), other.ahead.values(), strict=True):
        if theirs.value < mine.value:
            sure = ", but the intervals overlap" if theirs.high > mine.low else ""
            return (
                f"With {place / now[named]:g} times the {what}, {other.variant} would be ahead by the fitted laws: "
                f"{in_words(theirs)} against {in_words(mine)}{sure}."
            )
    return f"{named} stays ahead of {other.variant} by the fitted laws. {falling}"
