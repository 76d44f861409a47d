"""The section on learned ranges: half-widths of motions with intervals over seeds, and histograms over a group."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rapidash.learn import SHARE, WIDTH, beyond_the_box
from rapidash.report import _charts as charts
from rapidash.report import _format as fmt
from rapidash.report._chart_types import XYChart
from rapidash.report._phrases import estimate_text, has_intervals
from rapidash.report._scale import scale_for
from rapidash.report._sections import Section
from rapidash.study import Run, StudySummary, VariantSummary, estimate

_VALUE = "value/"
_HEAD = ("variant", "motion", "half-width at the start", "half-width at the end", "elements, exp of the entropy")
_TEXT = (
    "How far each motion may go without a change of the label, as the training data have it: half-widths w of moves by "
    "a parameter uniform in [-w, w] (radian, length, logarithm of a size), and shares of the elements of a histogram. "
    "{}; the weights that validation chose, which are "
    "tested, may be of an earlier step. A range is no group: a model with one tolerates "
    "moves within it, approximately and in expectation. A weight of 0 is the control: there nothing opens a range that "
    "the data do not ask for. A motion that the data never show keeps a width that says little."
)


def learned_section(summary: StudySummary) -> Section | None:
    """The learned ranges of a study with methods of `rapidash.learn` that have them; None for any other."""
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    curves: dict[str, list[tuple[VariantSummary, list[charts.CurveRow]]]] = {}
    for variant in summary.variants:
        runs = [run for run in variant.finished if run.history]
        runs = [run for run in runs if any(_learns(method) for method in _methods(run))]
        if not runs:
            continue
        name = f"{variant.letter} {variant.name}"
        for motion, (start, end) in _widths(runs).items():
            first = estimate(start)
            assert first is not None
            rows.append((name, motion, fmt.number(first.mean), _end_text(motion, runs, end), fmt.NOTHING))
            notes += _limits(name, motion, runs, end)
        for motion, shares in _shares(runs).items():
            sizes = estimate({seed: math.exp(_entropy(found)) for seed, found in shares.items()})
            assert sizes is not None
            rows.append((name, motion, fmt.NOTHING, fmt.NOTHING, estimate_text(sizes)))
            places = sorted(set.intersection(*(set(found) for found in shares.values())))
            curve = [charts.curve_row(u, [found[u] for found in shares.values()]) for u in places]
            curves.setdefault(motion, []).append((variant, curve))
            notes.append(f"{name}: {motion} by {_largest(curve)}.")
            notes += _ends(name, motion, runs, curve)
    if not rows:
        return None
    kept = [index for index in range(len(_HEAD)) if any(row[index] != fmt.NOTHING for row in rows)]
    head = [_HEAD[index] for index in kept]
    shown = [[row[index] for index in kept] for row in rows]
    over = "means over seeds with 95 % intervals" if has_intervals(summary) else "of one seed"
    text = _TEXT.format(f"At the end of the training, {over}")
    return Section("Learned ranges", text, head, shown, notes, tuple(_chart(*each) for each in curves.items()))


def _methods(run: Run) -> list[Mapping[str, Any]]:
    found = run.get("config", "variant", "methods")
    return [method for method in found or () if isinstance(method, Mapping)]


def _learns(method: Mapping[str, Any]) -> bool:
    return method.get("kind") == "group-histogram" or (method.get("kind") == "augerino" and method.get("learns", True))


def _widths(runs: list[Run]) -> dict[str, tuple[dict[int, float], dict[int, float]]]:
    """By generator the half-widths of all seeds in the first and in the last row of their histories."""
    found: dict[str, tuple[dict[int, float], dict[int, float]]] = {}
    for run in runs:
        for motion, end in _named(run.history[-1], WIDTH):
            start = _at_start(run, motion)
            both = found.setdefault(motion, ({}, {}))
            both[0][run.seed] = dict(_named(run.history[0], WIDTH)).get(motion, end) if start is None else start
            both[1][run.seed] = end
    return found


def _at_start(run: Run, motion: str) -> float | None:
    """The half-width of the configuration, where it is one number for all generators or each has its own."""
    motions = [name for name, _ in _named(run.history[-1], WIDTH)]
    for method in _methods(run):
        init = method.get("init_width") if method.get("kind") == "augerino" else None
        if isinstance(init, int | float):
            return float(init)
        if isinstance(init, list) and len(init) == len(motions):
            return float(init[motions.index(motion)])
    return None


def _shares(runs: list[Run]) -> dict[str, dict[int, dict[float, float]]]:
    """By generator and seed the share of every bin by its parameter."""
    found: dict[str, dict[int, dict[float, float]]] = {}
    for run in runs:
        for name, share in _named(run.history[-1], SHARE):
            motion, place = name.rsplit(" by ", 1)
            found.setdefault(motion, {}).setdefault(run.seed, {})[float(place)] = share
    return found


def _named(row: Mapping[str, object], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in row.items():
        if key.startswith(_VALUE + prefix) and isinstance(value, int | float) and math.isfinite(value):
            yield key.removeprefix(_VALUE + prefix), float(value)


def _entropy(shares: Mapping[float, float]) -> float:
    return -sum(share * math.log(share) for share in shares.values() if share > 0)


def _largest(curve: list[charts.CurveRow]) -> str:
    """The elements whose mean share is more than twice that of equal ones, or that there is none."""
    large = [(u, mean) for u, _, mean, _ in curve if mean > 2 / len(curve)]
    if not large:
        return f"all {len(curve)} elements alike, none with more than twice the mean share"
    return fmt.listed([f"{fmt.number(u)} (share {fmt.number(mean)})" for u, mean in large])


def _ends(name: str, motion: str, runs: list[Run], curve: list[charts.CurveRow]) -> Iterator[str]:
    """A note on a histogram with shares at both ends of a range that is no period: what lies beyond was not asked."""
    reaches = [m.get("reach", math.nan) for run in runs for m in _methods(run) if m.get("kind") == "group-histogram"]
    first, last = curve[0][0], curve[-1][0]
    is_range = math.isclose(first, -last) and all(math.isclose(last, reach, rel_tol=1e-3) for reach in reaches)
    if is_range and curve[-1][2] * len(curve) > 0.75:  # as `GroupHistogram.reaches_its_ends`
        yield (
            f"{name}: {motion} has shares up to the ends of its range, {fmt.number(last)} each way: the labels may "
            "tolerate more, which was not asked."
        )


def _box(runs: list[Run]) -> float:
    """The end of the safe box, the least of those of the runs."""
    ends = [m.get("max_width", math.inf) for run in runs for m in _methods(run) if m.get("kind") == "augerino"]
    return min(ends, default=math.inf)


def _end_text(motion: str, runs: list[Run], ends: Mapping[int, float]) -> str:
    """Mean and interval; where a half-width has left the safe box, what it is at least."""
    box = _box(runs)
    if min(ends.values()) >= box:
        return beyond_the_box(motion, box)
    found = estimate({seed: min(width, box) for seed, width in ends.items()})
    assert found is not None
    return f"at least {fmt.number(found.mean)}" if max(ends.values()) >= box else estimate_text(found)


def _limits(name: str, motion: str, runs: list[Run], ends: Mapping[int, float]) -> Iterator[str]:
    """Notes on half-widths at the end of their range."""
    over = [seed for seed, width in sorted(ends.items()) if width >= _box(runs)]
    if over:
        seeds = fmt.listed([str(seed) for seed in over])
        yield (
            f"{name}: {motion} has left the safe box in seed {seeds}: how wide it is from there on says nothing, and "
            "there is no penalty any more that would open the other motions of that run."
        )
    if "rotation" in motion and all(width > math.pi - 1e-3 for width in ends.values()):
        yield f"{name}: {motion} has reached half a turn each way, all angles."


def _chart(motion: str, curves: list[tuple[VariantSummary, list[charts.CurveRow]]]) -> XYChart:
    places = [u for _, curve in curves for u, *_ in curve]
    highest = max(high for _, curve in curves for *_, high in curve)
    x, y = scale_for(places, log=False), scale_for([0.0, highest], log=False, with_zero=True)
    return XYChart(
        slug=f"learned-shares-{re.sub(r'[^a-z0-9]+', '-', motion.lower())}",
        title=f"Learned shares of the elements, {motion}",
        lead="Mean over seeds; the band reaches from the lowest to the highest seed.",
        series=tuple(charts.curve_series(v, curve, x, y, "") for v, curve in curves),
        x=x,
        y=y,
        x_axis=f"{motion} (parameter of the element)",
        y_axis="share",
        readout=charts.curve_readout("parameter", x, curves),
    )
