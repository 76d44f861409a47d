"""The section on scale: errors against compute, power laws of their frontier, and how to spend compute."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rapidash.report import _format as fmt
from rapidash.report._chart_types import Point, Series, XYChart
from rapidash.report._charts import error_axis, path_data
from rapidash.report._scale import scale_for
from rapidash.report._sections import Section
from rapidash.scale import Interval, fit_chinchilla, fit_frontier, frontier
from rapidash.study import Run, StudySummary, VariantSummary, level_words, mean_interval
from rapidash.study.measures.training_operations import OPERATIONS

STEPS, PASSES = "train.steps", "passes of the model for terms of methods, per step"
_HEAD = (
    "variant", "error at equal compute", "exponent of the frontier", "exponent of size", "exponent of data",
    "best size grows with compute to the",
)  # fmt: skip
_TEXT = (
    "Compute is counted: operations of forward and backward passes (a multiplication with its addition counts 2), "
    "passes for terms of methods included, times the samples seen. The frontier is the least error of any run with at "
    "most so much compute. Error at equal compute: the frontier relative to that of the first variant, geometric mean "
    "over the compute that both reach, with a t-interval over seeds. Exponents: error ~ compute^-x on the frontier, "
    "and error = A size^-a + B samples^-b over all runs, with 95 % bootstrap intervals over runs; a constant is left "
    "out, since data without noise do not determine it. Every length of training is a run of its own. The last column "
    "is b / (a + b), for compute that is proportional to size times samples."
)


@dataclass
class _Arm:
    """A variant at all its sizes."""

    variant: VariantSummary
    runs: list[tuple[Run, float, float]] = field(default_factory=list)  # with compute and samples seen
    missing: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.variant.variant or self.variant.name

    def frontier(self, seed: int | None = None) -> tuple[Any, Any]:
        """Compute and least errors, of one seed or of all runs."""
        rows = [(compute, _error(run)) for run, compute, _ in self.runs if seed is None or run.seed == seed]
        return frontier(*zip(*rows, strict=True))

    @property
    def seeds(self) -> set[int]:
        return {run.seed for run, _, _ in self.runs}


def scaling_section(summary: StudySummary) -> Section | None:
    """Power laws of every variant that was trained at several sizes with its operations counted; None without any."""
    arms = _arms(summary)
    if not arms:
        return None
    notes = [f"{arm.name}: no finished run at {fmt.listed(arm.missing)}." for arm in arms if arm.missing]
    rows = []
    for arm in arms:
        cells, faults = _fits(arm)
        rows.append((f"{arm.variant.letter} {arm.name}", _relative(arm, arms[0]), *cells))
        notes += [f"{arm.name}: {fault}." for fault in faults]
    return Section("How errors fall with compute", _TEXT, _HEAD, rows, notes, charts=(_chart(summary, arms),))


def _arms(summary: StudySummary) -> list[_Arm]:
    found: dict[str, _Arm] = {}
    for variant in summary.variants:
        if STEPS not in variant.level or len(variant.level) < 2:
            continue
        arm = found.setdefault(variant.variant, _Arm(variant))
        usable = [one for run in variant.runs if (one := _counted(run)) is not None]
        arm.runs += usable
        if not usable:
            arm.missing.append(" and ".join(level_words(variant.level)))
    return [arm for arm in found.values() if arm.runs]


def _counted(run: Run) -> tuple[Run, float, float] | None:
    """The run with its compute and samples; None without an error above 0 or a count, or if samples came twice."""
    figures = {entry.get("name"): entry.get("value") for entry in run.get("measurements") or ()}
    operations, batch = figures.get(OPERATIONS), run.number("config", "train", "batch_size")
    steps, known = run.number("config", "train", "steps"), run.number("num_train")
    if not run.is_done or not operations or batch is None or steps is None or known is None or not _error(run) > 0:
        return None
    samples = steps * batch
    if samples > known * (1 + 1e-9):
        return None
    return run, operations * (1 + (figures.get(PASSES) or 0.0)) * samples, samples


def _error(run: Run) -> float:
    return run.number("test_error") or 0.0


def _fits(arm: _Arm) -> tuple[tuple[str, ...], list[str]]:
    """The cells of an arm, and why some could not be filled."""
    sizes = [run.number("parameters") or 0.0 for run, _, _ in arm.runs]
    compute, samples = [c for _, c, _ in arm.runs], [s for _, _, s in arm.runs]
    errors, faults = [_error(run) for run, _, _ in arm.runs], []
    cells = ["–"] * 4
    try:
        law = fit_frontier(compute, errors)
        cells[0] = _in_words(law.exponent)
        if law.exponent.low is not None and law.exponent.low <= 0:
            faults.append("the error does not clearly fall with compute")
    except ValueError as error:
        faults.append(f"no law of the frontier, {error}")
    try:
        fit = fit_chinchilla(sizes, samples, errors)
        cells[1:] = [_in_words(one) for one in (fit.size_exponent, fit.data_exponent, fit.allocation_exponent)]
        if min(fit.size_exponent.value, fit.data_exponent.value) <= 0:
            cells[3] = "–"
            faults.append("an exponent is not positive, so no size is best")
    except ValueError as error:
        faults.append(f"no law of size and samples, {error}")
    return tuple(cells), faults


def _in_words(found: Interval) -> str:
    return f"{fmt.number(found.value)} {fmt.interval(found.low, found.high)}".strip()


def _relative(arm: _Arm, first: _Arm) -> str:
    """The ratio of frontiers, by seed; in words."""
    if arm is first:
        return "1"
    logs = []
    for seed in sorted(arm.seeds & first.seeds):
        (x, loss), (base_x, base) = arm.frontier(seed), first.frontier(seed)
        low = max(x[0], base_x[0])
        high = min(_reach(arm, seed), _reach(first, seed))
        if low >= high:
            return "no common compute"
        at = np.geomspace(low, high, 256)
        logs.append(float(np.mean(np.log(_at(at, x, loss)) - np.log(_at(at, base_x, base)))))
    found = mean_interval(logs)
    low_, high_ = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return f"{fmt.ratio(math.exp(found.mean))} {fmt.interval(low_, high_)}".strip()


def _reach(arm: _Arm, seed: int) -> float:
    """The largest compute of a seed, whether or not it lowered the error."""
    return max(compute for run, compute, _ in arm.runs if run.seed == seed)


def _at(values: Any, compute: Any, least: Any) -> Any:
    """The staircase at some values of compute, from its first on."""
    return least[np.searchsorted(compute, values * (1 + 1e-12), side="right") - 1]


def _chart(summary: StudySummary, arms: Sequence[_Arm]) -> XYChart:
    """Every run by compute and error, with the frontier of each variant."""
    x = scale_for([compute for arm in arms for _, compute, _ in arm.runs], log=True)
    y = scale_for([_error(run) for arm in arms for run, _, _ in arm.runs], log=True)
    series = []
    for arm in arms:
        points = []
        for (level, _), runs in _by_level(arm).items():
            errors, computes = [_error(run) for run, _ in runs], [compute for _, compute in runs]
            mean, at = float(np.mean(errors)), float(np.mean(computes))
            tip = f"{arm.name}, {level}: {fmt.number(mean)} at {fmt.power_of_ten(at)} FLOP, {len(runs)} seeds"
            points.append(Point(x(at), 100 - y(mean), 100 - y(min(errors)), 100 - y(max(errors)), tip))
        steps, least = arm.frontier()
        ends = [*steps[1:], max(compute for _, compute, _ in arm.runs)]
        stairs = [(x(float(at)), 100 - y(float(loss))) for a, b, loss in zip(steps, ends, least) for at in (a, b)]
        series.append(
            Series(arm.variant.index, arm.variant.letter, arm.name, "", path_data(stairs), points=tuple(points))
        )
    return XYChart(
        slug="scaling",
        title="Error against compute",
        lead="Means over seeds with the range of seeds, a point for each size and length of training; the stairs are "
        "the least error of any run with at most so much compute.",
        series=tuple(series),
        x=x,
        y=y,
        x_axis="operations of the training, FLOP (logarithmic)",
        y_axis=error_axis(summary, y),
    )


def _by_level(arm: _Arm) -> Mapping[tuple[str, str], list[tuple[Run, float]]]:
    found: dict[tuple[str, str], list[tuple[Run, float]]] = {}
    for run, compute, _ in arm.runs:
        found.setdefault((", ".join(level_words(run.level)), arm.name), []).append((run, compute))
    return found
