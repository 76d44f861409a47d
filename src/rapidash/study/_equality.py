"""The quantity that the variants of a study have in common, as their records show it."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from rapidash.study._level import row_name
from rapidash.study._recorded_run import Run
from rapidash.study._records import Study


@dataclass(frozen=True)
class Equality:
    """The quantity that is equal between the variants of a level, and how far the runs are from it.

    Args:
        what: ``"steps"``, ``"time"`` or ``"flops"``, by the design.
        steps: the least and the largest number of optimizer steps of a run.
        steps_spread, time_spread: of steps, and of the seconds of the training steps: over the variants of a level the
            largest median over the least; the largest of all levels, 1 for a single variant; None where no record says.
        step_time_spread: the same of the seconds of one step.
    """

    what: str
    steps: tuple[int, int]
    steps_spread: float
    time_spread: float | None
    step_time_spread: float | None


def equality_of(study: Study, fraction: float) -> Equality | None:
    """The equality of the finished runs at a data fraction; None without runs that say how many steps they took."""
    known = [run for run in study.done if run.fraction == fraction and run.number("config", "train", "steps")]
    if not known:
        return None
    steps = [int(run.number("config", "train", "steps") or 0) for run in known]
    timed = [run for run in known if run.number("seconds_per_step")]
    of_a_step = [(run, run.number("seconds_per_step") or 0.0) for run in timed]
    in_all = [(run, seconds * (run.number("config", "train", "steps") or 0)) for run, seconds in of_a_step]
    return Equality(
        str(study.design.get("equal") or "steps"),
        (min(steps), max(steps)),
        _spread(zip(known, map(float, steps), strict=True)) or 1.0,
        _spread(in_all),
        _spread(of_a_step),
    )


def _spread(values: Iterable[tuple[Run, float]]) -> float | None:
    """Over the variants of a level the largest median over the least, of the level where it is largest."""
    by_level: dict[str, dict[str, list[float]]] = {}
    for run, value in values:
        by_level.setdefault(row_name("", run.level), {}).setdefault(run.variant, []).append(value)
    medians = [[statistics.median(own) for own in variants.values()] for variants in by_level.values()]
    return max((max(level) / min(level) for level in medians), default=None)
