"""The section on scale: errors against compute, power laws of their frontier, and how to spend compute."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from rapidash.methods import FULL
from rapidash.report import _format as fmt
from rapidash.report._chart_types import Point, Series, XYChart
from rapidash.report._charts import error_axis, path_data
from rapidash.report._scale import scale_for
from rapidash.report._sections import Section
from rapidash.scale import Interval, fit_chinchilla, fit_frontier, frontier
from rapidash.study import Run, StudySummary, VariantSummary, level_words, mean_interval
from rapidash.study.measures.training_operations import OPERATIONS
from rapidash.study.measures.training_seconds import SECONDS

STEPS, PASSES = "train.steps", "passes of the model for terms of methods, per step"
_HEAD = (
    "variant", "error at equal steps", "error at equal compute", "error at equal time", "exponent of the frontier",
    "exponent of size", "exponent of data", "best size grows with compute to the",
)  # fmt: skip
_TEXT = (
    "Compute is counted: operations of forward and backward passes (a multiplication with its addition counts 2), "
    "passes for terms of methods included, times the samples seen. The frontier is the least error of any run with at "
    "most so much compute. Errors are relative to the first variant, with a t-interval over seeds; at equal steps: "
    "geometric mean over sizes and lengths of training; at equal compute: of the frontiers, over the compute that both "
    "reach; at equal time: the same, of the seconds of the processor of a step (the median of the runs of a size). "
    "Exponents: error ~ compute^-x on the frontier, "
    "and error = A size^-a + B samples^-b over all runs, with 95 % bootstrap intervals over runs; a constant is left "
    "out, since data without noise do not determine it. Every length of training is a run of its own. The last column "
    "is b / (a + b), for compute that is proportional to size times samples."
)


@dataclass(frozen=True)
class _Trained:
    """A run with what it cost: operations, samples seen, and seconds of a step for each sample where measured."""

    run: Run
    compute: float
    samples: float
    step_seconds: float | None

    @property
    def error(self) -> float:
        return _error(self.run)


Cost = Callable[[_Trained], float]


@dataclass
class _Arm:
    """A variant at all its sizes."""

    variant: VariantSummary
    runs: list[_Trained] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)  # by what is missing, the levels

    @property
    def name(self) -> str:
        return self.variant.variant or self.variant.name

    @cached_property
    def step_seconds(self) -> dict[float | None, float]:
        """By number of parameters, seconds of a step for each sample: the median of the runs; empty where one lacks."""
        by_size = defaultdict(list)
        for one in self.runs:
            by_size[one.run.number("parameters")].append(one.step_seconds or math.nan)
        found = {size: float(np.median(values)) for size, values in by_size.items()}
        return {} if any(math.isnan(value) for value in found.values()) else found

    def seconds(self, one: _Trained) -> float:
        """Of the training of a run."""
        return self.step_seconds[one.run.number("parameters")] * one.samples

    @property
    def seeds(self) -> set[int]:
        return {one.run.seed for one in self.runs}

    def of(self, seed: int) -> list[_Trained]:
        """The runs of a seed."""
        return [one for one in self.runs if one.run.seed == seed]


def scaling_section(summary: StudySummary) -> Section | None:
    """Power laws of every variant that was trained at several sizes with its operations counted; None without any."""
    found = _arms(summary)
    arms = [arm for arm in found if arm.runs]
    if not arms:
        return None
    notes = [f"{arm.name}: {what} at {fmt.listed(levels)}." for arm in found for what, levels in arm.missing.items()]
    rows = []
    for arm in arms:
        cells, faults = _fits(arm)
        rows.append((f"{arm.variant.letter} {arm.name}", *_relatives(arm, arms[0]), *cells))
        notes += [f"{arm.name}: {fault}." for fault in faults]
    return Section("How errors fall with compute", _TEXT, _HEAD, rows, notes, charts=(_chart(summary, arms),))


def _arms(summary: StudySummary) -> list[_Arm]:
    found: dict[str, _Arm] = {}
    for variant in summary.variants:
        if STEPS not in variant.level or len(variant.level) < 2:
            continue
        arm = found.setdefault(variant.variant, _Arm(variant))
        arm.runs += [one for run in variant.finished if (one := _counted(run)) is not None]
        for what in _missing(summary, variant):
            arm.missing.setdefault(what, []).append(" and ".join(level_words(variant.level)))
    return list(found.values())


def _missing(summary: StudySummary, variant: VariantSummary) -> list[str]:
    """Each thing that the runs of a row lack to be points of a law, once."""
    if not variant.finished:
        return ["no finished run"]
    lacking = sorted(set(summary.seeds) - {run.seed for run in variant.finished})
    seeds = f"seed{'s' if len(lacking) > 1 else ''} {fmt.listed([*map(str, lacking)])}"
    faults = dict.fromkeys(fault for run in variant.finished if (fault := _fault(run)))
    return [*([f"no finished run of {seeds}"] if lacking else []), *faults]


def _counted(run: Run) -> _Trained | None:
    """The finished run with its costs; None for one with a fault."""
    if _fault(run):
        return None
    figures, samples = _figures(run), _samples(run) or 0.0
    passes = 1 + (figures.get(PASSES) or 0.0)
    seconds = figures.get(SECONDS)
    return _Trained(run, figures[OPERATIONS] * passes * samples, samples, seconds * passes if seconds else None)


def _fault(run: Run) -> str:
    """Why a finished run is no point of a law, in words; empty where it is one."""
    samples, known = _samples(run), run.number("num_train")
    if not _error(run) > 0:
        return "runs without an error above 0 left out"
    if samples is None or known is None or not _figures(run).get(OPERATIONS):
        return "runs whose operations were not counted left out"
    return "runs that saw samples twice left out" if samples > known * (1 + 1e-9) else ""


def _figures(run: Run) -> dict[str, Any]:
    """The measured figures by name, of the model as it is trained: other views of it have others."""
    entries = run.get("measurements") or ()
    return {entry.get("name"): entry.get("value") for entry in entries if entry.get("view") in (None, "", FULL)}


def _samples(run: Run) -> float | None:
    """Samples that the training saw."""
    steps, batch = run.number("config", "train", "steps"), run.number("config", "train", "batch_size")
    return None if steps is None or batch is None else steps * batch


def _error(run: Run) -> float:
    return run.number("test_error") or 0.0


def _fits(arm: _Arm) -> tuple[tuple[str, ...], list[str]]:
    """The cells of an arm, and why some could not be filled."""
    sizes = [one.run.number("parameters") or 0.0 for one in arm.runs]
    compute, samples = [one.compute for one in arm.runs], [one.samples for one in arm.runs]
    errors, faults = [one.error for one in arm.runs], []
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


def _relatives(arm: _Arm, first: _Arm) -> tuple[str, str, str]:
    """The error relative to the first variant at equal steps, compute and time, in words."""
    if arm is first:
        return "1", "1", "1" if first.step_seconds else "–"
    if not arm.seeds & first.seeds:
        return "no common seed", "no common seed", "no common seed"
    timed = bool(arm.step_seconds and first.step_seconds)
    return (
        _in_ratios(arm, first, _at_equal_levels) or "no common size",
        _in_ratios(arm, first, lambda a, b: _of_frontiers(a, b, _compute, _compute)) or "no common compute",
        (_in_ratios(arm, first, lambda a, b: _of_frontiers(a, b, arm.seconds, first.seconds)) or "no common time")
        if timed
        else "–",
    )


def _in_ratios(
    arm: _Arm, first: _Arm, log_ratio: Callable[[list[_Trained], list[_Trained]], float | None]
) -> str | None:
    """The mean ratio over the seeds with which the arms have something in common, with its interval; None for none."""
    logs = [log_ratio(arm.of(seed), first.of(seed)) for seed in sorted(arm.seeds & first.seeds)]
    known = [log for log in logs if log is not None]
    if not known:
        return None
    found = mean_interval(known)
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return f"{fmt.ratio(math.exp(found.mean))} {fmt.interval(low, high)}".strip()


def _at_equal_levels(runs: list[_Trained], base: list[_Trained]) -> float | None:
    known = {str(one.run.level): math.log(one.error) for one in base}
    logs = [math.log(one.error) - known[level] for one in runs if (level := str(one.run.level)) in known]
    return float(np.mean(logs)) if logs else None


def _of_frontiers(runs: list[_Trained], base: list[_Trained], cost: Cost, base_cost: Cost) -> float | None:
    """The mean log ratio of two frontiers over the costs that both reach, whether or not the last lowered the error."""
    costs, base_costs = [cost(one) for one in runs], [base_cost(one) for one in base]
    low, high = max(min(costs), min(base_costs)), min(max(costs), max(base_costs))
    if low >= high:
        return None
    at = np.geomspace(low, high, 256)
    own, other = (
        _at(at, *frontier(of, [one.error for one in found])) for of, found in ((costs, runs), (base_costs, base))
    )
    return float(np.mean(np.log(own) - np.log(other)))


def _compute(one: _Trained) -> float:
    return one.compute


def _at(values: Any, compute: Any, least: Any) -> Any:
    """The staircase at some values of compute, from its first on."""
    return least[np.searchsorted(compute, values * (1 + 1e-12), side="right") - 1]


def _chart(summary: StudySummary, arms: Sequence[_Arm]) -> XYChart:
    """Every run by compute and error, with the frontier of each variant."""
    x = scale_for([one.compute for arm in arms for one in arm.runs], log=True)
    y = scale_for([one.error for arm in arms for one in arm.runs], log=True)
    series = []
    for arm in arms:
        points = []
        for level, runs in _by_level(arm).items():
            errors = [one.error for one in runs]
            mean, at = float(np.mean(errors)), float(np.mean([one.compute for one in runs]))
            seeds = fmt.plural(len(runs), "seed")
            tip = f"{arm.name}, {level}: {fmt.number(mean)} at {fmt.power_of_ten(at)} FLOP, {seeds}"
            points.append(Point(x(at), 100 - y(mean), 100 - y(min(errors)), 100 - y(max(errors)), tip))
        computes = [one.compute for one in arm.runs]
        steps, least = frontier(computes, [one.error for one in arm.runs])
        ends = [*steps[1:], max(computes)]
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


def _by_level(arm: _Arm) -> Mapping[str, list[_Trained]]:
    found = defaultdict(list)
    for one in arm.runs:
        found[", ".join(level_words(one.run.level))].append(one)
    return found
