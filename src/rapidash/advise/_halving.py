"""Successive halving: which share of the data, how many variants and how much time each round of a race has."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ROUNDS: Final = 3
SMALLEST_FRACTION: Final = 0.25
_FEWEST_CLOUDS: Final = 24  # of the first round, where the data has as many
CURVES: Final = 2  # variants whose errors are followed against data and time


@dataclass(frozen=True)
class Round:
    """One round of a race.

    Args:
        fraction: of the training clouds.
        entering: variants.
        seeds: trainings of each.
        length: of one training, in units of one in the first round.
    """

    fraction: float
    entering: int
    seeds: int
    length: float

    @property
    def cost(self) -> float:
        """Of the whole round, in the same unit."""
        return self.entering * self.seeds * self.length


@dataclass(frozen=True)
class CurvePoint:
    """One training that shows how errors fall with data or with time: the fraction, and its length."""

    purpose: str  # "data" or "time"
    fraction: float
    length: float


def fractions(num_train: int) -> tuple[float, ...]:
    """The shares of the data in the three rounds: a quarter, a half and all of it, of small data more in the first.

    Raises: ValueError for no clouds.
    """
    if num_train < 1:
        raise ValueError(f"a race needs training clouds, got {num_train}")
    first = min(max(SMALLEST_FRACTION, _FEWEST_CLOUDS / num_train), 0.64)
    return first, math.sqrt(first), 1.0


def rounds(num_variants: int, num_train: int) -> tuple[Round, ...]:
    """The plan of a race: half of the variants leave after each of the first two rounds, at least two stay.

    A variant has the same time in its first round, twice that in its second and four times in its third; in the later
    ones it is divided between two seeds.

    Raises: ValueError for no variant or no clouds.
    """
    if num_variants < 1:
        raise ValueError("a race needs at least one variant")
    entering = [num_variants]
    for _ in range(1, ROUNDS):
        entering.append(min(entering[-1], max(2, math.ceil(entering[-1] / 2))))
    given = zip(fractions(num_train), entering, (1, 2, 2), (1.0, 1.0, 2.0))
    return tuple(Round(*each) for each in given)


def curve_points(num_train: int) -> tuple[CurvePoint, ...]:
    """The trainings beside the last round: three sizes of the data at half its time, all data at a quarter and a half.

    The one with all data at half the time belongs to both curves.
    """
    first, second, _ = fractions(num_train)
    return (
        CurvePoint("data", first, 1.0),
        CurvePoint("data", second, 1.0),
        CurvePoint("both", 1.0, 1.0),
        CurvePoint("time", 1.0, 0.5),
    )


def cost_from(plan: Sequence[Round], num_train: int, start: int) -> float:
    """The cost from a round on, with the curves, in units of a training in the first round."""
    curves = min(CURVES, plan[-1].entering) * sum(point.length for point in curve_points(num_train))
    return sum(each.cost for each in plan[start:]) + curves


def survivors(errors: Sequence[tuple[str, float]], keep: int) -> list[str]:
    """The names with the least errors, in the order in which they came; of equal errors the first."""
    ranked = sorted(range(len(errors)), key=lambda index: (errors[index][1], index))[:keep]
    return [errors[index][0] for index in sorted(ranked)]
