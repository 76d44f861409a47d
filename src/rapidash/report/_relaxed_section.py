"""The section on relaxed equivariance: gates beside what was measured, the projection gap, and curves of the run."""

import math
import re
from collections.abc import Iterable, Mapping

from rapidash.methods import FULL
from rapidash.registry import METHODS, PluginError
from rapidash.report import _charts as charts
from rapidash.report import _format as fmt
from rapidash.report._chart_types import XYChart
from rapidash.report._phrases import estimate_text
from rapidash.report._scale import Scale, scale_for
from rapidash.report._sections import Section
from rapidash.study import Estimate, Run, StudySummary, VariantSummary, estimate

_PROJECTED = "projected"
_OPEN = 0.1  # a gap above this is named
_VALUE, _LOSS = "value/", "loss/"
_HEAD = (
    "variant",
    "gate",
    "multiplier",
    "equivariance error, full",
    "equivariance error, projected",
    "test error, full",
    "test error, projected",
    "gap",
)


def relaxed_section(summary: StudySummary) -> Section | None:
    """The section of a study with variants that a method of `rapidash.relax` trained; None for any other."""
    relaxed = {variant.name: runs for variant in summary.variants if (runs := _runs(variant))}
    if not relaxed:
        return None
    rows = [_row(summary[name], runs) for name, runs in relaxed.items()]
    table = list(zip(_HEAD, *(cells for cells, _ in rows), strict=True))
    kept = [column for column in table if any(cell != fmt.NOTHING for cell in column[1:])]
    head, *body = zip(*kept, strict=True)
    return Section(
        "Relaxed equivariance",
        "A gate is not a measure: the same function has a smaller gate and a larger branch. What counts is the "
        "measured equivariance error, relative and after training. Gap: the difference of the validation errors of the "
        "full and the projected model with the same weights, at the last validation, over that of the full one. Where "
        "a term of the loss keeps the branches small, a large gap says that the data ask for what the symmetric part "
        "cannot do; where none does, the two share the work at will. Gates (their size) and multipliers are means over "
        "blocks and seeds at the last validation.",
        head,
        body,
        [note for _, note in rows if note],
        _curves(summary, relaxed),
    )


def is_relaxing(kind: object) -> bool:
    """Whether a method of this name comes from `rapidash.relax`."""
    try:
        found = METHODS.get(str(kind), None)
    except PluginError:
        return False
    return getattr(found, "__module__", "").startswith("rapidash.relax")


def _runs(variant: VariantSummary) -> list[Run]:
    """The finished runs with a history of a variant that a method of `rapidash.relax` trained."""
    runs = [run for run in variant.finished if run.history]
    return [run for run in runs if any(is_relaxing(kind) for kind in _kinds(run))]


def _kinds(run: Run) -> list[object]:
    methods = run.get("config", "variant", "methods")
    return [method.get("kind") for method in methods or () if isinstance(method, Mapping)]


def _row(variant: VariantSummary, runs: list[Run]) -> tuple[tuple[str, ...], str]:
    """The cells of a variant, and a note where its gap is large."""
    last = {run.seed: _grouped(run.history[-1], _VALUE) for run in runs}
    views = {view.name: (view.test, view.equivariance) for view in variant.views}
    views[variant.view or FULL] = (variant.test, variant.equivariance)
    tests = {name: views[name][0] if name in views else None for name in (FULL, _PROJECTED)}
    errors = {name: _after(views[name][1]) if name in views else None for name in (FULL, _PROJECTED)}
    gap = estimate({run.seed: found for run in runs if (found := _gap(run.history[-1])) is not None})
    cells = (
        f"{variant.letter} {variant.name}",
        _mean_text(last, "gate"),
        _mean_text(last, "multiplier"),
        *(fmt.NOTHING if error is None else fmt.relative_error(error.mean) for error in errors.values()),
        *(fmt.NOTHING if test is None else estimate_text(test) for test in tests.values()),
        fmt.NOTHING if gap is None else estimate_text(gap),
    )
    note = ""
    is_held = any(key.startswith(_LOSS) for run in runs for key in run.history[-1])
    if is_held and gap is not None and gap.mean > _OPEN and (gap.low is None or gap.low > 0):
        note = f"{variant.name}: the gap is {fmt.number(gap.mean)}: the data ask for what its symmetric part cannot do."
    return cells, note


def _gap(row: Mapping[str, object]) -> float | None:
    """|full - projected| / full of the validation errors of one row; None where there is no projected view."""
    named = {view: _number(row.get(f"val_error/{view}")) for view in (FULL, _PROJECTED)}
    primary = _number(row.get("val_error"))  # of the view whose error has no name
    full, projected = (named[FULL], primary) if named[FULL] is not None else (primary, named[_PROJECTED])
    return None if not full or projected is None else abs(full - projected) / full


def _after(equivariance: Mapping[str, Mapping[str, Estimate]]) -> Estimate | None:
    return next(iter(equivariance.values()), {}).get("after")


def _mean_text(last: Mapping[int, Mapping[str, float]], name: str) -> str:
    found = estimate({seed: values[name] for seed, values in last.items() if name in values})
    return fmt.NOTHING if found is None else fmt.number(found.mean)


def _grouped(row: Mapping[str, object], prefix: str) -> dict[str, float]:
    """By name, without the number of a block, the mean over blocks; of gates the mean of their sizes."""
    groups: dict[str, list[float]] = {}
    for key, value in row.items():
        if key.startswith(prefix) and (number := _number(value)) is not None:
            name = re.sub(r" \d+$", "", key.removeprefix(prefix))
            groups.setdefault(name, []).append(abs(number) if name == "gate" else number)
    return {name: sum(values) / len(values) for name, values in groups.items()}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _curves(summary: StudySummary, relaxed: Mapping[str, list[Run]]) -> tuple[XYChart, ...]:
    """A chart for every value of a control, and for every term that methods add to the loss."""
    found: dict[tuple[str, str], list[tuple[VariantSummary, list[charts.CurveRow]]]] = {}
    for name, runs in relaxed.items():
        for prefix in (_VALUE, _LOSS):
            by_seed = [_by_step(run, prefix) for run in runs]
            steps = sorted(set.intersection(*(set(curve) for curve in by_seed)))
            names = dict.fromkeys(quantity for curve in by_seed for step in steps for quantity in curve[step])
            for quantity in names:
                known = [step for step in steps if all(quantity in curve[step] for curve in by_seed)]
                rows = [charts.curve_row(step, [curve[step][quantity] for curve in by_seed]) for step in known]
                if len(rows) > 1:
                    found.setdefault((prefix, quantity), []).append((summary[name], rows))
    return tuple(_chart(prefix, quantity, curves) for (prefix, quantity), curves in found.items())


def _by_step(run: Run, prefix: str) -> dict[int, dict[str, float]]:
    return {row["step"]: _grouped(row, prefix) for row in run.history if isinstance(row.get("step"), int)}


def _chart(prefix: str, quantity: str, curves: list[tuple[VariantSummary, list[charts.CurveRow]]]) -> XYChart:
    values: Iterable[float] = [value for _, rows in curves for _, *row in rows for value in row]
    steps = [step for _, rows in curves for step, *_ in rows]
    x, y = Scale(min(steps), max(steps), False), scale_for(values, log=False, with_zero=True)
    what = "a term of the loss, mean of the steps before" if prefix == _LOSS else "mean over blocks"
    return XYChart(
        slug=f"relaxed-{prefix[:-1]}-{re.sub(r'[^a-z0-9]+', '-', quantity.lower())}",
        title=quantity[:1].upper() + quantity[1:],
        lead="Mean over seeds; the band reaches from the lowest to the highest seed.",
        series=tuple(charts.curve_series(v, rows, x, y, fmt.number(rows[-1][2])) for v, rows in curves),
        x=x,
        y=y,
        x_axis="optimizer step",
        y_axis=f"{quantity}, {what}",
        readout=charts.curve_readout("step", x, curves),
    )
