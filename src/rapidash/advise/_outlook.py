"""Errors of a race as random draws: of validation clouds and of seeds; and what they say of more data and more time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rapidash.advise._race import Raced
from rapidash.advise._trial import Trial
from rapidash.scale import fit_power_law

Values = NDArray[np.float64]
DRAWS: Final = 2000
CONFIDENCE: Final = 0.95
_FEW_SEEDS: Final = 0.05  # spread of the logarithm of an error between seeds, where no variant has two


@dataclass(frozen=True)
class Range:
    """An expected value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """How the error of a variant falls in one quantity, by a power law.

    Args:
        variant: its name.
        at, errors: the measured places, and the mean errors.
        exponent: of error ~ at^-exponent.
        ahead: at further places the expected errors.
    """

    variant: str
    at: tuple[float, ...]
    errors: tuple[float, ...]
    exponent: Range
    ahead: Mapping[float, Range]


class Draws:
    """Draws of the logarithms of mean errors, with the same validation clouds and independent noise of seeds.

    Args:
        raced: the race.
        num: draws.
        seed: of the draws.
        turned: of the turned validation clouds.
        least: an error below which these clouds cannot tell, for variants that make none; see `least_of_race`.
    """

    def __init__(
        self, raced: Raced, *, num: int = DRAWS, seed: int = 0, turned: bool = False, least: float = 0.0
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.num, self.turned, self.least = num, turned, least
        every = [trials for found in raced.rounds for trials in found.values()]
        size = next(len(trial.errors) for trials in every for trial in trials if trial.errors)
        self.counts = self.rng.multinomial(size, np.full(size, 1 / size), size=num) / size
        self.spread = seed_spread(every)

    def of(self, trials: Sequence[Trial]) -> Values:
        """(num,) draws of the logarithm of the mean error over trials that differ in the seed."""
        errors = np.array([trial.turned if self.turned else trial.errors for trial in trials if trial.errors])
        floor = max(least_error(errors), self.least)
        means = np.maximum(errors @ self.counts.T, floor)
        noise = self.spread / math.sqrt(len(errors)) * self.rng.standard_normal(self.num)
        return np.log(means).mean(axis=0) + noise

    def estimate(self, trials: Sequence[Trial]) -> float:
        """The logarithm of the mean error, without noise."""
        errors = np.array([trial.turned if self.turned else trial.errors for trial in trials if trial.errors])
        return float(np.log(np.maximum(errors.mean(axis=1), max(least_error(errors), self.least))).mean())


def least_error(errors: Values) -> float:
    """A mean error below which these clouds cannot tell: half of the least error above 0 that a single cloud had."""
    positive = errors[errors > 0]
    return 0.5 * float(positive.min()) / errors.shape[-1] if len(positive) else 1e-12


def least_of_race(raced: Raced, unit: str) -> float:
    """The least mean error that the validation clouds can tell from none: half of the least error of a single cloud.

    Over all trials of the rounds; of rates in per cent half a cloud, where no trial made an error.
    """
    trials = [trial for found in raced.rounds for each in found.values() for trial in each if trial.errors]
    errors = np.array([trial.errors for trial in trials])
    return 50 / errors.shape[1] if unit == "%" and not errors.any() else least_error(errors)


def seed_spread(groups: Sequence[Sequence[Trial]]) -> float:
    """The standard deviation of the logarithm of a mean error between seeds, pooled over groups of trials."""
    squares, freedom = 0.0, 0
    for trials in groups:
        means = [trial.mean for trial in trials if trial.errors and trial.mean > 0]
        if len(means) > 1:
            logs = np.log(means)
            squares += float(np.square(logs - logs.mean()).sum())
            freedom += len(means) - 1
    return math.sqrt(squares / freedom) if freedom else _FEW_SEEDS


def expected_errors(raced: Raced, draws: Draws, transfer: float) -> dict[str, Values]:
    """By variant, draws of the logarithm of its error after a training as long as the last, on all data.

    One that left earlier keeps its ratio to the mean of those in the last round, as it was in its last round, with a
    further deviation for every round that it missed.

    Args:
        raced: the race.
        draws: see `Draws`.
        transfer: standard deviation by which the logarithm of a ratio changes from one round to the next.
    """
    last = len(raced.rounds) - 1
    found = {name: draws.of(trials) for name, trials in raced.rounds[last].items() if _ended(trials)}
    finalists = list(found)
    level = np.mean([found[name] for name in finalists], axis=0)
    for index in range(last - 1, -1, -1):
        of_round = raced.rounds[index]
        shared = [draws.of(of_round[name]) for name in finalists if _ended(of_round[name])]
        if not shared:
            continue
        for name, trials in of_round.items():
            if name in found or not _ended(trials):
                continue
            ratio = draws.of(trials) - np.mean(shared, axis=0)
            noise = transfer * math.sqrt(last - index) * draws.rng.standard_normal(draws.num)
            found[name] = level + ratio + noise
    return found


def _ended(trials: Sequence[Trial]) -> bool:
    return any(trial.errors for trial in trials)


def probability_of_best(draws: Mapping[str, Values]) -> dict[str, float]:
    """By variant, the share of the draws in which its error is the least; equal ones share a draw."""
    table = np.stack(list(draws.values()))
    least = table == table.min(axis=0)
    shares = (least / least.sum(axis=0)).mean(axis=1)
    return dict(zip(draws, shares.tolist(), strict=True))


def power_curve(
    variant: str,
    groups: Mapping[float, Sequence[Trial]],
    draws: Draws,
    ahead: Sequence[float],
    most: float = math.inf,
) -> Curve | None:
    """The power law of a variant's errors at some places, and what it says of further ones; None for too few places.

    The interval of a further place has the noise of validation clouds and seeds, and the deviation of the measured
    errors from the law.

    Args:
        variant: its name.
        groups: by place, the trials there, which differ in the seed.
        draws: see `Draws`.
        ahead: further places.
        most: the largest error that there can be, such as 100 %: neither a law nor an interval goes beyond.
    """
    groups = {at: trials for at, trials in sorted(groups.items()) if _ended(trials)}
    if len(groups) < 3:
        return None
    at = np.log(list(groups))
    logs = np.array([draws.estimate(trials) for trials in groups.values()])
    law = fit_power_law(np.exp(at), np.exp(logs))
    table = np.stack([draws.of(trials) for trials in groups.values()])
    slopes, offsets = np.polyfit(at, table, 1)
    reach = np.square(at - at.mean()).sum()
    found = {}
    for place in ahead:
        x = math.log(place)
        off = law.spread * math.sqrt(1 / len(at) + (x - at.mean()) ** 2 / reach)
        drawn = offsets + slopes * x + off * draws.rng.standard_normal(draws.num)
        found[place] = interval(min(law(place), most), np.minimum(np.exp(drawn), most))
    exponent = interval(law.exponent.value, -slopes)
    return Curve(variant, tuple(groups), tuple(np.exp(logs).tolist()), exponent, found)


def interval(value: float, draws: Any) -> Range:
    """The value with the ends of the interval that holds 95 % of the draws, widened to hold it."""
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Range(float(value), min(float(low), float(value)), max(float(high), float(value)))
