"""The section on what labels tolerate: a verdict for each motion, and the rule by which data cannot tell."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rapidash.learn import WIDTH
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
    "translations). The rule, in this order. Data cannot tell with a single seed; where the interval lies below the "
    "half-width at the start (a range that closes is no proof of harm: the penalty opens the widest one first); where "
    "the half-width changed by more than 10 % in the last quarter of the training (it still moves); where the "
    "variant's test error is clearly above that of the variant without moves (intervals apart: the penalty pays with "
    "errors); or where the data vary along the motion by less than half the half-width (what they never show, they "
    "cannot refute). Else a motion is tolerated if its interval lies above that without a penalty; where the two "
    "overlap, the data cannot tell."
)


class _Learned(NamedTuple):
    """The half-widths of a variant: at the end, the change in the last quarter, and at the start."""

    variant: VariantSummary
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
        yield (
            f"{found.variant.letter} {found.variant.name}",
            motion,
            estimate_text(end),
            fmt.NOTHING if without is None else estimate_text(without),
            fmt.number(spread[motion]) if motion in spread else fmt.NOTHING,
            verdict(
                end,
                without,
                change=found.change[motion],
                start=found.start[motion],
                spread=spread.get(motion),
                pays=_pays(found.variant, still),
            ),
        )


def verdict(
    end: Estimate, control: Estimate | None, *, change: float, start: float, spread: float | None, pays: bool
) -> str:
    """The sentence of the rule for one motion.

    Args:
        end: half-width with a penalty, over seeds.
        control: without one.
        change: of the half-width in the last quarter of the training, mean over seeds.
        start: half-width at the start.
        spread: of the data; None where it was not measured.
        pays: whether the test error is clearly above that without moves.
    """
    if end.low is None or end.high is None or control is None or control.high is None:
        return "cannot tell: one seed has no interval"
    if end.high < start:
        return f"cannot tell: it closed to {fmt.number(end.mean)}"
    if abs(change) > _STILL * end.mean:
        return f"cannot tell: still moving, by {fmt.signed(change)} in the last quarter"
    if pays:
        return "cannot tell: the penalty pays with errors"
    if spread is not None and spread < end.mean / 2:
        return f"cannot tell: the data vary by {fmt.number(spread)} only"
    if end.low > control.high:
        return f"tolerated, by about {fmt.number(end.mean)} each way"
    return "cannot tell: the same with and without a penalty"


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
    runs = [run for run in variant.runs if run.is_done and run.fraction == summary.fraction and run.history]
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
        ends,
        {motion: sum(each) / len(each) for motion, each in changes.items()},
        {motion: float(start) for motion, start in zip(ends, starts)},
        methods[0],
    )


def _three_quarters(run: Run) -> Mapping[str, Any]:
    """The row of the history nearest to three quarters of the training."""
    total = run.history[-1].get("step") or 0
    return min(run.history, key=lambda row: abs((row.get("step") or 0) - 0.75 * total))
