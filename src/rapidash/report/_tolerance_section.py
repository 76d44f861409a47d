"""The section on what labels tolerate: a verdict for each motion, and the rule by which data cannot tell."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rapidash.learn import WIDTH, beyond_the_box
from rapidash.report import _format as fmt
from rapidash.report._phrases import estimate_text
from rapidash.report._sections import Section
from rapidash.study import Estimate, Run, StudySummary, VariantSummary, estimate
from rapidash.study.measures.motion_spread import SPREAD

_VALUE = f"value/{WIDTH}"
_STILL = 0.1  # of the half-width: a larger change in the last quarter of the training is movement
_HEAD = ("variant", "motion", "half-width", "without penalty", "the data vary by", "what the labels say")
_TEXT = (
    "Half-widths at the end of the training, with 95 % intervals over seeds, of moves after which the labels still "
    "hold (radian for rotations, logarithms for scalings, stretches and shears, and the task's length for "
    "translations). The rule, in this order. Data cannot tell with a single seed; where the half-width left the safe "
    "box in some of the seeds; where the interval lies below the half-width at the start (a range that closes is no "
    "proof of harm: the penalty opens the widest one first, and none once another one left the box); where "
    "the half-width changed by more than 10 % in the last quarter of the training (it still moves); where the "
    "variant's test error is clearly above that of the variant without moves (intervals apart: the penalty pays with "
    "errors); or where the data vary along the motion by less than half the half-width (what they never show, they "
    "cannot refute). Else a motion is tolerated if its interval lies above that without a penalty; where the two "
    "overlap, the data cannot tell. Of a half-width that left the safe box in every seed its size and its movement say "
    "nothing: the motion is tolerated beyond the box, if the errors are not above those without moves, the data vary "
    "along it by no less than the half-width at the start, and without a penalty it stays in the box."
)


class Box(NamedTuple):
    """A motion that has left the safe box: the seeds in which it did, of how many, and the half-width in words.

    ``ended`` are seeds in which any motion did, so that from then on the run had no penalty.
    """

    end: float
    seeds: tuple[int, ...]
    num_seeds: int
    words: str
    ended: tuple[int, ...]

    @property
    def is_left(self) -> bool:
        """In all seeds."""
        return len(self.seeds) == self.num_seeds


class _Learned(NamedTuple):
    """The half-widths of a variant: by seed and motion, at the end, the change in the last quarter, at the start."""

    variant: VariantSummary
    widths: dict[str, dict[int, float]]
    end: dict[str, Estimate]
    change: dict[str, float]
    start: dict[str, float]
    method: Mapping[str, Any]


def tolerance_section(summary: StudySummary) -> Section | None:
    """The verdicts of a study with half-widths learned with and without a penalty; None for any other."""
    rows = []
    levels: dict[str, list[VariantSummary]] = {}
    for variant in summary.variants:
        levels.setdefault(variant.level_text, []).append(variant)
    for variants in levels.values():
        learned = [found for variant in variants if (found := _learned(summary, variant)) is not None]
        still = next((variant for variant in variants if variant.runs and not _methods(variant.runs[0])), None)
        for found in learned:
            if not found.method.get("weight"):
                continue
            control = next((other for other in learned if _is_control(other.method, found.method)), None)
            if control is not None:
                rows += list(_rows(found, control, still))
    if not rows:
        return None
    return Section("What the labels tolerate", _TEXT, _HEAD, rows)


def _is_control(method: Mapping[str, Any], of: Mapping[str, Any]) -> bool:
    return not method.get("weight") and method.get("group") == of.get("group")


def _rows(found: _Learned, control: _Learned, still: VariantSummary | None) -> Iterator[tuple[str, ...]]:
    spread = _spreads(found.variant)
    for motion, end in found.end.items():
        without = control.end.get(motion)
        box = _box(found, motion)
        yield (
            f"{found.variant.letter} {found.variant.name}",
            motion,
            _width_text(found, motion, end),
            fmt.NOTHING if without is None else _width_text(control, motion, without),
            fmt.number(spread[motion]) if motion in spread else fmt.NOTHING,
            verdict(
                end,
                without,
                change=found.change[motion],
                start=found.start[motion],
                spread=spread.get(motion),
                pays=_pays(found.variant, still),
                box=box,
            ),
        )


def _box(found: _Learned, motion: str) -> Box | None:
    """The motions of a variant that left the safe box; None where none has."""
    end = float(found.method.get("max_width", math.inf))
    left = {name: {seed for seed, w in widths.items() if w >= end} for name, widths in found.widths.items()}
    ended = set().union(*left.values())
    if not ended:
        return None
    words = beyond_the_box(motion, end)
    return Box(end, tuple(sorted(left[motion])), len(found.widths[motion]), words, tuple(sorted(ended)))


def _width_text(found: _Learned, motion: str, end: Estimate) -> str:
    """Mean and interval, or that it is beyond the safe box, in some seeds or all."""
    box = _box(found, motion)
    if box is None or not box.seeds:
        return estimate_text(end)
    return box.words if box.is_left else f"{box.words} in {_seeds(box.seeds)}"


def _seeds(seeds: tuple[int, ...]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {fmt.listed([str(seed) for seed in seeds])}"


def verdict(
    end: Estimate,
    control: Estimate | None,
    *,
    change: float,
    start: float,
    spread: float | None,
    pays: bool,
    box: Box | None = None,
) -> str:
    """The sentence of the rule for one motion.

    Args:
        end: half-width with a penalty, over seeds.
        control: without one.
        change: of the half-width in the last quarter of the training, mean over seeds.
        start: half-width at the start.
        spread: of the data; None where it was not measured.
        pays: whether the test error is clearly above that without moves.
        box: what has left the safe box; None where nothing has.
    """
    if end.low is None or end.high is None or control is None or control.high is None:
        return "cannot tell: one seed has no interval"
    if box is not None and box.is_left:
        return _beyond(box, control, start=start, spread=spread, pays=pays)
    if box is not None and box.seeds:
        return f"cannot tell: {box.words} in {_seeds(box.seeds)} alone"
    without = "" if box is None else f" (no penalty to the end in {_seeds(box.ended)}: another left the box)"
    if end.high < start:
        return f"cannot tell: it closed to {fmt.number(end.mean)}{without}"
    if abs(change) > _STILL * end.mean:
        return f"cannot tell: still moving, by {fmt.signed(change)} in the last quarter"
    if pays:
        return "cannot tell: the penalty pays with errors"
    if spread is not None and spread < end.mean / 2:
        return f"cannot tell: the data vary by {fmt.number(spread)} only"
    if end.low > control.high:
        return f"tolerated, by about {fmt.number(end.mean)} each way"
    return f"cannot tell: the same with and without a penalty{without}"


def _beyond(box: Box, control: Estimate, *, start: float, spread: float | None, pays: bool) -> str:
    """The sentence of the rule for a motion that left the safe box in every seed."""
    assert control.high is not None
    if pays:
        return "cannot tell: the penalty pays with errors"
    if spread is not None and spread < start:
        return f"cannot tell: the data vary by {fmt.number(spread)} only"
    if control.high >= box.end:
        return "cannot tell: the same with and without a penalty"
    return f"tolerated {box.words}"


def _pays(variant: VariantSummary, still: VariantSummary | None) -> bool:
    if still is None or variant.test is None or still.test is None:
        return False
    return variant.test.low is not None and still.test.high is not None and variant.test.low > still.test.high


def _spreads(variant: VariantSummary) -> dict[str, float]:
    found = [figure for figure in variant.figures if figure.name == SPREAD and not figure.view]
    return {figure.group: next(iter(figure.moments.values())).mean for figure in found}


def _methods(run: Run) -> list[Mapping[str, Any]]:
    found = run.get("config", "variant", "methods")
    return [method for method in found or () if isinstance(method, Mapping)]


def _learned(summary: StudySummary, variant: VariantSummary) -> _Learned | None:
    runs = [run for run in variant.finished if run.history]
    methods = [m for run in runs[:1] for m in _methods(run) if m.get("kind") == "augerino" and m.get("learns", True)]
    if len(methods) != 1:
        return None
    by_motion: dict[str, dict[int, float]] = {}
    changes: dict[str, list[float]] = {}
    for run in runs:
        last, before = run.history[-1], _three_quarters(run)
        for key, value in last.items():
            if key.startswith(_VALUE) and isinstance(value, int | float):
                motion = key.removeprefix(_VALUE)
                by_motion.setdefault(motion, {})[run.seed] = float(value)
                changes.setdefault(motion, []).append(float(value) - float(before.get(key, value)))
    ends = {motion: found for motion, values in by_motion.items() if (found := estimate(values)) is not None}
    init = methods[0].get("init_width", 0.0)
    starts = init if isinstance(init, list) else [init] * len(ends)
    return _Learned(
        variant,
        by_motion,
        ends,
        {motion: sum(each) / len(each) for motion, each in changes.items()},
        {motion: float(start) for motion, start in zip(ends, starts)},
        methods[0],
    )


def _three_quarters(run: Run) -> Mapping[str, Any]:
    """The row of the history nearest to three quarters of the training."""
    total = run.history[-1].get("step") or 0
    return min(run.history, key=lambda row: abs((row.get("step") or 0) - 0.75 * total))
