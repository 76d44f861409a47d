"""How good each policy was in a cell: the test errors of all variants, the variant that it names, and its regret."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from rapidash.advise._outlook import Draws, expected_errors
from rapidash.advise._race import Raced
from rapidash.advise._rule import RULE, Rule

WITHIN: Final = 2.0
"""Standard errors of the difference from the best within which a variant is as good."""
ADVICE, RACE, FULL, INVARIANT, AUGMENT, FLOWCHART = (
    "the advice",
    "the best of the race",
    "a full race, by validation",
    "always E(D) on R^D",
    "always augmentation",
    "the flowchart",
)
POLICIES: Final = (ADVICE, RACE, FULL, INVARIANT, AUGMENT, FLOWCHART)


@dataclass(frozen=True)
class Outcome:
    """One cell.

    Args:
        cell, data, half: its names.
        errors: by variant, the test error of every seed of the full study.
        validation: by variant, the mean validation error of the same.
        choices: by policy, the variant.
        symmetry: by variant, how much it keeps.
        group: by variant, the group that it keeps.
        says: by question, the answer.
        truth: the planted group; empty where nobody knows.
        seconds: of the advice.
    """

    cell: str
    data: str
    half: str
    errors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    symmetry: Mapping[str, float] = field(default_factory=dict)
    group: Mapping[str, str] = field(default_factory=dict)
    says: Mapping[str, str] = field(default_factory=dict)
    truth: str = ""
    seconds: float = 0.0

    def regret(self, name: str) -> float:
        """The mean logarithm of the test errors of a variant, less that of the best one; 0 where it is the best."""
        logs = self._logs()
        return logs[name] - min(logs.values())

    def is_right(self, name: str) -> bool:
        """Whether a variant is at most two standard errors of the difference behind the best."""
        return self.regret(name) <= WITHIN * self.standard_error + 1e-12

    @property
    def standard_error(self) -> float:
        """Of the difference of two mean logarithms of errors, from the spread between seeds, pooled over variants."""
        squares, freedom, counts = 0.0, 0, []
        for values in self.errors.values():
            logs = np.log(np.maximum(values, self._floor))
            counts.append(len(values))
            squares += float(np.square(logs - logs.mean()).sum())
            freedom += len(values) - 1
        spread = math.sqrt(squares / freedom) if freedom else 0.0
        return spread * math.sqrt(2 / max(1, min(counts, default=1)))

    @property
    def _floor(self) -> float:
        positive = [value for values in self.errors.values() for value in values if value > 0]
        return 0.5 * min(positive) if positive else 1e-12

    def _logs(self) -> dict[str, float]:
        return {name: float(np.log(np.maximum(values, self._floor)).mean()) for name, values in self.errors.items()}


def flowchart(names: Sequence[str], says: Mapping[str, str]) -> str:
    """The variant by the diagnosis alone, in the spirit of the flowchart of arXiv 2510.01349.

    From its abstract and summary, for the figure was not at hand: is the distribution of poses uniform, build the
    symmetry in; does the pose tell about the target, neither build it in nor augment; else augment.

    Raises: ValueError where no variant is of that kind.
    """
    if says.get("pose") == "no":
        return policy_variant(names, INVARIANT)
    tells = "yes" in (says.get("pose tells"), says.get("pose beyond shape"), says.get("vertical"))
    if not tells:
        return policy_variant(names, AUGMENT)
    return _first(names, lambda name: name.startswith("T(") and _is_flat(name) and "+" not in name)


def policy_variant(names: Sequence[str], policy: str) -> str:
    """The variant that a policy without data names.

    Raises: ValueError where no variant is of that kind.
    """
    if policy == INVARIANT:
        return _first(names, lambda name: name.startswith("E(") and _is_flat(name) and "+" not in name)
    return _first(names, lambda name: name.startswith("T(") and name.endswith("+ rotations"))


def _is_flat(name: str) -> bool:
    return "x" not in name.split(" on ")[-1].split(" ")[0]


def _first(names: Sequence[str], fits: Callable[[str], bool]) -> str:
    found = next((name for name in names if fits(name)), None)
    if found is None:
        raise ValueError(f"none of the variants fits: {', '.join(names)}")
    return found


def named_by(rule: Rule, raced: Raced, outcome: Outcome) -> str:
    """The variant that a rule names in a cell, of those that have a test error."""
    draws = expected_errors(raced, Draws(raced), rule.transfer)
    known = {name: values for name, values in draws.items() if name in outcome.errors or not outcome.errors}
    return rule.name(known, outcome.symmetry, outcome.says, raced.finalists)


@dataclass(frozen=True)
class Score:
    """A policy over several cells, with 95 % intervals by drawing data sets.

    Args:
        policy: its name.
        right: share of the cells in which it named a variant as good as the best.
        regret: mean over cells of the ratio of its error to that of the best (geometric means over seeds), less 1.
    """

    policy: str
    right: tuple[float, float, float]
    regret: tuple[float, float, float]


def scores(outcomes: Sequence[Outcome], *, num: int = 2000, seed: int = 0) -> list[Score]:
    """Every policy; data sets are drawn with replacement, all their cells together.

    Raises: ValueError for no outcome.
    """
    if not outcomes:
        raise ValueError("no cell has been run")
    found = []
    for policy in POLICIES:
        known = [outcome for outcome in outcomes if policy in outcome.choices]
        if not known:
            continue
        right = {o.cell: float(o.is_right(o.choices[policy])) for o in known}
        regret = {o.cell: math.expm1(o.regret(o.choices[policy])) for o in known}
        found.append(Score(policy, _interval(known, right, num, seed), _interval(known, regret, num, seed)))
    return found


def _interval(outcomes: Sequence[Outcome], values: Mapping[str, float], num: int, seed: int) -> Any:
    by_data: dict[str, list[float]] = {}
    for outcome in outcomes:
        by_data.setdefault(outcome.data, []).append(values[outcome.cell])
    groups = list(by_data.values())
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(num):
        drawn = [value for index in rng.integers(0, len(groups), len(groups)) for value in groups[index]]
        means.append(float(np.mean(drawn)))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(np.mean([value for group in groups for value in group])), float(low), float(high)


def fitted(outcomes: Sequence[tuple[Outcome, Raced]]) -> list[tuple[Rule, float, float]]:
    """Every rule of a grid with its mean regret and share of right variants, the best first; of equal ones the simpler.

    Args:
        outcomes: of the cells on which the rule is chosen, with their races.
    Raises: ValueError for no cell.
    """
    if not outcomes:
        raise ValueError("no cell has been run")
    found = []
    for ties in (0.0, 0.5, 1.0, 2.0, 3.0):
        for prefers in ("never", "uniform", "silent", "always"):
            if (ties == 0.0) != (prefers == "never"):
                continue
            rule = Rule(ties, prefers, RULE.transfer, RULE.fitted_on)
            names = [named_by(rule, raced, outcome) for outcome, raced in outcomes]
            pairs = list(zip((outcome for outcome, _ in outcomes), names, strict=True))
            regret = float(np.mean([math.expm1(outcome.regret(name)) for outcome, name in pairs]))
            right = float(np.mean([outcome.is_right(name) for outcome, name in pairs]))
            found.append((rule, regret, right))
    return sorted(found, key=lambda entry: (round(entry[1], 6), entry[0].ties))


def changes_of_ratios(outcomes: Sequence[tuple[Outcome, Raced]]) -> dict[int, tuple[float, int]]:
    """By rounds that a variant missed, how much the logarithm of its ratio to the finalists changed until the study.

    The root mean square over variants and cells, and their number: what `Rule.transfer` times the root of the rounds
    stands for.

    Args:
        outcomes: cells with a study, with their races.
    """
    squares: dict[int, list[float]] = {}
    for outcome, raced in outcomes:
        logs, last = outcome._logs(), len(raced.rounds) - 1
        finalists = [name for name in raced.finalists if name in logs]
        for index, of_round in enumerate(raced.rounds[:last]):
            means = {name: float(np.mean([trial.mean for trial in trials])) for name, trials in of_round.items()}
            shared = [math.log(means[name]) for name in finalists if 0 < means.get(name, 0) < math.inf]
            for name in means.keys() - raced.rounds[index + 1].keys():
                if shared and name in logs and 0 < means[name] < math.inf:
                    then = math.log(means[name]) - float(np.mean(shared))
                    now = logs[name] - float(np.mean([logs[other] for other in finalists]))
                    squares.setdefault(last - index, []).append((now - then) ** 2)
    return {missed: (math.sqrt(float(np.mean(found))), len(found)) for missed, found in sorted(squares.items())}


def wilson(right: int, num: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson's score.

    Raises: ValueError for no case.
    """
    if num < 1:
        raise ValueError("a share needs at least one case")
    z, share = 1.959964, right / num
    middle = share + z**2 / (2 * num)
    half = z * math.sqrt(share * (1 - share) / num + z**2 / (4 * num**2))
    scale = 1 + z**2 / num
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
