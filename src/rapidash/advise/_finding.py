"""One question to the data and its answer: a figure beside the same where the property is absent, and planted."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from rapidash.advise._gain import Estimate

Says = Literal["yes", "no", "cannot tell", "not asked"]
CLEAR: Final = 3.0
"""Standard errors from which on a question is answered with yes: with ten questions one wrong yes in seventy times."""
_NEARLY: Final = 2.0
_LEAST_TOLD: Final = 0.3  # standard errors below which nobody knows how many clouds would be needed


@dataclass(frozen=True)
class Finding:
    """One question to the data, and the answer.

    Args:
        key: short name.
        question: in words.
        says: ``"yes"``; ``"no"``, and the control that has it shows that it would have been seen; ``"cannot tell"``;
            ``"not asked"`` where the question has no meaning, or no time was left for it.
        sentence: the answer in words.
        figure: the name of the figure.
        null: its value for data that do not have the property.
        value: with its standard error; None where it was not asked.
        without: the same of these data with the property taken away.
        planted: the same of these data with the property planted.
        axis: of a direction that was found, ``"x"``, ``"y"`` or ``"z"``.
        needed: of clouds, for a question that these are too few for.
    """

    key: str
    question: str
    says: Says
    sentence: str
    figure: str = ""
    null: float = 0.0
    value: Estimate | None = None
    without: Estimate | None = None
    planted: Estimate | None = None
    axis: str = ""
    needed: int | None = None


@dataclass(frozen=True)
class Asked:
    """A question that is still to be asked.

    Args:
        key, question, figure, null: as of `Finding`.
        yes, no: the sentences of the answers; ``AXIS`` stands for the axis that was found.
        measure: the figure of the data, and the axis that it found.
        without, planted: the figure of the two controls.
        least: an effect below it is none, however clear.
        skip: a reason not to ask; empty for none.
    """

    key: str
    question: str
    yes: str
    no: str
    figure: str
    measure: Callable[[], tuple[Estimate, str]]
    without: Callable[[], Estimate]
    planted: Callable[[], Estimate]
    null: float = 0.0
    least: float = 0.0
    skip: str = ""

    def answer(self, num: int) -> Finding:
        """The finding on so many clouds."""
        if self.skip:
            return Finding(self.key, self.question, "not asked", self.skip)
        value, axis = self.measure()
        planted = self.planted()
        large = self.null + self.least
        given: dict[str, Any] = {"figure": self.figure, "null": self.null, "axis": axis}
        given |= {"value": value, "without": self.without(), "planted": planted}
        if _above(value, self.null) >= CLEAR and value.value >= large:
            return Finding(self.key, self.question, "yes", self.yes.replace("AXIS", axis), **given)
        if _above(planted, self.null) >= CLEAR:
            return Finding(self.key, self.question, "no", self.no + _nearly(_above(value, self.null)), **given)
        needed = clouds_needed(num, _above(planted, self.null))
        how_many = f"about {needed}" if needed else "many times as many"
        sentence = f"{num} clouds are too few: not even the planted property is seen; {how_many} would be needed"
        return Finding(self.key, self.question, "cannot tell", sentence, needed=needed, **given)


def _nearly(z: float) -> str:
    """The end of a sentence that says no and is nearly a yes; else empty."""
    return f", though not by much: {z:.1f} standard errors, and {CLEAR:g} would be a yes" if z >= _NEARLY else ""


def _above(estimate: Estimate, null: float) -> float:
    return Estimate(estimate.value - null, estimate.standard_error).z


def clouds_needed(num: int, z: float) -> int | None:
    """The number of clouds at which an effect of so many standard errors would be a clear one; None: nobody knows.

    A standard error falls with the root of the number, so that it is ``num`` times (3 / z)^2, to two digits.
    """
    if z < _LEAST_TOLD:
        return None
    return two_digits_up(num * (CLEAR / z) ** 2)


def two_digits_up(number: float) -> int:
    """A number of at least 1, rounded up to two digits."""
    unit = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit - 1e-9) * unit
