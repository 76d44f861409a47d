"""The sayings of methods that look for a symmetry, by rules written down before the study ran, and who is right.

Every method is asked the same question: which turns about an axis do the labels stand? Its outputs become one of the
sayings below by a rule of thresholds. A saying leaves some truths open and excludes the others, see `Saying.admits`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from rapidash.datasets import PlantedTruth

Words = Literal[
    "all turns",
    "turns up to",
    "steps",
    "no turn",
    "not all turns",
    "small turns",
    "no small turns",
    "at least steps",
    "no step",
    "cannot tell",
]
Verdict = Literal["right", "wrong", "abstains"]

WORDS: Final[tuple[Words, ...]] = get_args(Words)
UNTOLD: Final = 0.5  # of the error of the constant: a network above it has learned too little to say anything
SIGNIFICANT: Final = 0.05  # p of the data and the task score
UNMOVED: Final = 0.25  # relative equivariance error, and Lie derivative per radian, of a function that stays
KEPT: Final = 0.93  # share of predictions that a kept turn leaves, and effective invariance over confidence
HALF: Final = 0.5  # of the largest share of a histogram: from there on a turn is kept
RING: Final = 8  # bins
STEP: Final = 15  # degrees, of the turns at which consistency is measured
CLOSED: Final = 0.1  # size of a gate that counts as closed
GAP: Final = 5.0  # points of the error rate between the full and the projected network
NARROW: Final = 15.0  # degrees, the widest half-width that counts as no turn
WIDE: Final = 150.0  # degrees, the narrowest that counts as all
EXTENT: Final = 1.5  # factor within which a half-width must be
WITH_AMOUNT: Final = ("turns up to", "steps", "at least steps")


@dataclass(frozen=True)
class Saying:
    """One answer to the question.

    Args:
        words: see `WORDS`.
        amount: degrees of ``"turns up to"``; how many steps make a whole turn for ``"steps"`` (these and nothing else)
            and ``"at least steps"``; else 0.
    Raises: ValueError for unknown words, or an amount that is missing or does not belong to them.
    """

    words: Words
    amount: float = 0.0

    def __post_init__(self) -> None:
        if self.words not in WORDS:
            raise ValueError(f"unknown words {self.words!r}, expected one of {WORDS}")
        if (self.amount > 0) != (self.words in WITH_AMOUNT):
            raise ValueError(
                f"{self.words!r} needs {'an' if self.words in WITH_AMOUNT else 'no'} amount: {self.amount}"
            )

    def admits(self, truth: PlantedTruth) -> bool:
        """Whether the saying is true, or leaves open that it is.

        ``"all turns"``, ``"turns up to"`` (within a factor of 1.5), ``"steps"`` (of the very number) and ``"no turn"``
        name one kind of truth. The others leave several open: ``"not all turns"`` all but full, ``"small turns"`` full
        and partial, ``"no small turns"`` discrete and none, ``"at least steps"`` full and discrete of a
        multiple of the number, ``"no step"`` partial and none.
        """
        degrees = math.degrees(truth.half_width)
        match self.words:
            case "all turns":
                return truth.kind == "full"
            case "turns up to":
                return truth.kind == "partial" and degrees / EXTENT <= self.amount <= degrees * EXTENT
            case "steps":
                return truth.kind == "discrete" and self.amount == truth.order
            case "no turn":
                return truth.kind == "none"
            case "not all turns":
                return truth.kind != "full"
            case "small turns":
                return truth.kind in ("full", "partial")
            case "no small turns":
                return truth.kind in ("discrete", "none")
            case "at least steps":
                return truth.kind == "full" or (truth.kind == "discrete" and truth.order % self.amount == 0)
            case "no step":
                return truth.kind in ("partial", "none")
            case _:
                return True

    @property
    def names_one(self) -> bool:
        """Whether it names one kind of truth, and leaves no other open."""
        return self.words in ("all turns", "turns up to", "steps", "no turn")

    @property
    def claims_symmetry(self) -> bool:
        """Whether there is a symmetry about the axis if the saying is true."""
        return self.words in ("all turns", "turns up to", "steps", "small turns", "at least steps")

    @property
    def text(self) -> str:
        """The saying in words."""
        match self.words:
            case "turns up to":
                return f"turns up to {self.amount:.0f} degrees"
            case "steps":
                return f"steps of 1/{self.amount:.0f} turn"
            case "at least steps":
                return f"at least steps of 1/{self.amount:.0f} turn"
            case _:
                return self.words


def verdict(saying: Saying, truth: PlantedTruth) -> Verdict:
    """``"abstains"`` for ``"cannot tell"``; else whether the saying admits the truth."""
    if saying.words == "cannot tell":
        return "abstains"
    return "right" if saying.admits(truth) else "wrong"


def is_false_alarm(saying: Saying, truth: PlantedTruth) -> bool:
    """Whether a symmetry about the axis is claimed where none is planted, or one about another axis."""
    return truth.kind == "none" and saying.claims_symmetry


def from_p_value(p_value: float) -> Saying:
    """Of a test of "a random turn changes nothing": not all turns for p <= 0.05, else all."""
    return Saying("not all turns" if p_value <= SIGNIFICANT else "all turns")


def from_error(error: float, error_rate: float, constant: float) -> Saying:
    """Of the equivariance error of a trained network over its spread: all turns below 0.25, else not all.

    Args:
        error: over random turns.
        error_rate, constant: of the network and of always the most frequent label, percent; as below.
    """
    return _if_learned(Saying("all turns" if error < UNMOVED else "not all turns"), error_rate, constant)


def from_slope(slope: float, error_rate: float, constant: float) -> Saying:
    """Of the Lie derivative of a trained network over its spread, per radian: small turns below 0.25, else none."""
    return _if_learned(Saying("small turns" if slope < UNMOVED else "no small turns"), error_rate, constant)


def from_invariance(effective: float, confidence: float, error_rate: float, constant: float) -> Saying:
    """Of effective invariance over random turns: all turns from 0.93 of the confidence on, else not all."""
    said = Saying("all turns" if effective >= KEPT * confidence else "not all turns")
    return _if_learned(said, error_rate, constant)


def from_consistency(kept: Mapping[int, float], error_rate: float, constant: float) -> Saying:
    """Of the share of predictions that each turn leaves; a turn is kept from 0.93 on.

    All turns; else turns up to the largest angle below which all are kept, both ways; else steps of the smallest angle
    whose multiples are all kept; else no turn.

    Args:
        kept: by angle in degrees, the multiples of 15 from 15 to 345.
    Raises: ValueError for other angles.
    """
    _check_angles(kept)
    return _if_learned(_pattern({angle for angle, share in kept.items() if share >= KEPT}), error_rate, constant)


def from_histogram(shares: Mapping[int, float], error_rate: float, constant: float) -> Saying:
    """Of learned shares of turns; one is kept from half of the largest share on, the identity's among them.

    What the kept turns say is read as in `from_consistency`.

    Args:
        shares: by angle in degrees, the multiples of 15 from 0 to 345.
    Raises: ValueError for other angles.
    """
    turned = {angle: share for angle, share in shares.items() if angle}
    _check_angles(turned)
    least = HALF * max(shares.values())
    return _if_learned(_pattern({angle for angle, share in turned.items() if share >= least}), error_rate, constant)


def from_ring(order: int, error_rate: float, constant: float) -> Saying:
    """Of the order n of the turns that a layer on a ring of 8 bins keeps, of 8, 4, 2 and 1.

    At least steps for 8, beyond which the ring does not see; steps of 1/n turn for 4 and 2, for then steps of 1/8 were
    given up; no step for 1.
    """
    said = Saying("no step") if order == 1 else Saying("at least steps" if order == RING else "steps", order)
    return _if_learned(said, error_rate, constant)


def from_gate(gate: float, error_rate: float, constant: float) -> Saying:
    """Of the largest gate of ACE: all turns below 0.1, else not all."""
    return _if_learned(Saying("all turns" if gate < CLOSED else "not all turns"), error_rate, constant)


def from_projection(error: float, error_rate: float, projected: float, constant: float) -> Saying:
    """Of the network that ACE trained, with and without its free branches.

    All turns where its equivariance error is below 0.25 and dropping the branches costs less than 5 points; not all
    where neither holds; else it cannot tell.

    Args:
        error: of the full network over its spread.
        error_rate, projected: of the full and of the projected network, percent.
        constant: of always the most frequent label, percent.
    """
    moves, costs = error >= UNMOVED, projected - error_rate >= GAP
    if moves != costs:
        return Saying("cannot tell")
    return _if_learned(Saying("not all turns" if moves else "all turns"), error_rate, constant)


def from_width(half_width: float, error_rate: float, constant: float) -> Saying:
    """Of a learned half-width in degrees: no small turns up to 15, all turns from 150 on, else turns up to it."""
    if half_width <= NARROW:
        said = Saying("no small turns")
    else:
        said = Saying("all turns") if half_width >= WIDE else Saying("turns up to", half_width)
    return _if_learned(said, error_rate, constant)


def _check_angles(kept: Mapping[int, float]) -> None:
    if sorted(kept) != list(range(STEP, 360, STEP)):
        raise ValueError(f"expected the angles {STEP} to {360 - STEP} in steps of {STEP} degrees, got {sorted(kept)}")


def _pattern(stays: set[int]) -> Saying:
    """The saying of the kept angles, multiples of 15 degrees without 0."""
    if len(stays) == 360 // STEP - 1:
        return Saying("all turns")
    width = 0
    while {width + STEP, 360 - width - STEP} <= stays:
        width += STEP
    if width:
        return Saying("turns up to", width)
    for angle in (a for a in range(2 * STEP, 181, STEP) if 360 % a == 0):
        if all(multiple in stays for multiple in range(angle, 360, angle)):
            return Saying("steps", 360 / angle)
    return Saying("no turn")


def _if_learned(saying: Saying, error_rate: float, constant: float) -> Saying:
    """The saying, if the network makes at most half the errors of the constant; otherwise it cannot tell."""
    return saying if error_rate <= UNTOLD * constant else Saying("cannot tell")
