"""The tables of a report as data: plain values at full precision, with the unit of each column in its head, as CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapidash.report import _provenance as provenance
from rapidash.report._sections import Section
from rapidash.study import (
    Comparison,
    Estimate,
    Run,
    StudySummary,
    VariantSummary,
    ViewSummary,
    read_robustness,
    summarize,
)

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """A table as it is saved: ``name`` without an ending, the titles of the columns, and rows of plain values."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[Value]]


def csv_text(table: Table) -> str:
    """A table as CSV: numbers with all their digits, nothing where a value is missing.

    A text that a spreadsheet would take for a formula stands behind an apostrophe.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_plain(title) for title in table.head])
    writer.writerows([[_plain(value) for value in row] for row in table.rows])
    return file.getvalue()


def variants_table(summary: StudySummary) -> Table:
    """A row for every variant, other view of its model, and share of the training data."""
    study = summary.study
    fractions = [summary.fraction, *(f for f in reversed(study.fractions) if f != summary.fraction)]
    levels = [summary if f == summary.fraction else summarize(study, fraction=f) for f in fractions]
    measured = _measured(variant for level in levels for variant in level.variants)
    unit = _unit(summary.unit)
    factors = list(dict.fromkeys(factor for variant in summary.variants for factor in variant.level))
    head = [
        "letter", "variant", *factors, "view", "judged by this view", "share of the training data", "training samples",
        "symmetry of the layers", "effective symmetry", "knob", "neighbor", "oracle", "is best",
        "not distinguishable from the best", "finished runs", "failed runs",
        *_interval_head(f"test error, {summary.metric}", unit),
        *_interval_head("test error on rotated data", unit),
        *_comparison_head("neighbor", unit), *_comparison_head("best", unit),
        *(f"equivariance error under {group} {moment} training, mean" for group, moment in measured),
        "parameters", "time per step (s)", "peak memory (bytes)",
    ]  # fmt: skip
    rows = []
    for level in levels:
        for variant in level.variants:
            rows.append(_variant_row(level, variant, factors, measured))
            rows += [_view_row(level, variant, view, factors, measured, len(head)) for view in variant.views]
    return Table("variants", head, rows)


def comparisons_table(summary: StudySummary) -> Table:
    """Every comparison of a study, once, with the p-value of its own beside the adjusted one.

    A variant and its neighbor stand in this order, any other beside the best of its level.
    """
    unit = _unit(summary.unit)
    head = (
        "variant", "other", *_interval_head("difference of the error", unit),
        *_interval_head("ratio of the errors", ""), "common seeds", "test", "p", "p adjusted",
    )  # fmt: skip
    rows = [
        (c.name, c.other, c.difference, c.low, c.high, c.ratio, c.ratio_low, c.ratio_high, c.num_seeds, judged.test,
         c.p_value, c.p_adjusted)
        for judged in summary.judgments
        for c in _once(judged.comparisons.values())
    ]  # fmt: skip
    return Table("comparisons", head, rows)


def _once(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Each pair in the order in which it comes first: the best has a neighbor, which is compared with the best too."""
    found: dict[frozenset[str], Comparison] = {}
    for comparison in comparisons:
        found.setdefault(frozenset((comparison.name, comparison.other)), comparison)
    return list(found.values())


def figures_table(summary: StudySummary) -> Table:
    """Every further measurement: a row for each variant, figure and moment."""
    head = (
        "variant", "figure", "unit", "group", "view", "training", "better", "mean", "95 % interval, low",
        "95 % interval, high", "seeds",
    )  # fmt: skip
    rows = [
        (v.name, f.name, f.unit, f.group, f.view, moment, f.better, e.mean, e.low, e.high, len(e.by_seed))
        for v in summary.variants
        for f in v.figures
        for moment, e in f.moments.items()
    ]
    return Table("figures", head, rows)


def runs_table(summary: StudySummary) -> Table:
    """Every record, also of runs that failed or do not count."""
    study, unit = summary.study, _unit(summary.unit)
    groups = {entry: study.first_text(entry, "group") or fallback for entry, fallback in _ERRORS.items()}
    head = (
        "key", "variant", "seed", "share of the training data", "counts", "status", "problem", "training samples",
        "best step", f"validation error{unit}", f"test error{unit}", f"test error on rotated data{unit}",
        f"test error, averaged over poses{unit}",
        *(f"equivariance error under {group} {moment} training" for group in groups.values() for moment in _MOMENTS),
        "symmetry of the layers", "effective symmetry", "parameters", "time per step (s)", "training time (s)",
        "peak memory (bytes)", "device", "threads", "products", "commit", "started",
    )  # fmt: skip
    return Table("runs", head, [_run_row(run, run in study.runs) for run in (*study.runs, *study.set_aside)])


def learning_table(summary: StudySummary) -> Table:
    """The learning curve of every run, a row for each validation."""
    head = (
        "variant",
        "seed",
        "share of the training data",
        "step",
        "training loss",
        f"validation error{_unit(summary.unit)}",
    )
    rows = [
        (run.row, run.seed, run.fraction, *(_scalar(row.get(key)) for key in ("step", "train_loss", "val_error")))
        for run in summary.study.runs
        for row in run.history
    ]
    return Table("learning", head, rows)


def corruptions_table(summary: StudySummary) -> Table:
    """The test error by variant, corruption, seed and severity, and the corruption error relative to the reference."""
    found = read_robustness(summary.study.directory, summary.study.records)
    head = ("variant", "corruption", "seed", "severity", f"test error{_unit(summary.unit)}", "corruption error")
    rows: list[Sequence[Value]] = []
    for row in found.rows if found is not None else ():
        rows += [(row.name, "none", seed, 0, error, None) for seed, error in row.clean.items()]
        for corruption, by_seed in row.errors.items():
            for seed, errors in by_seed.items():
                ce = row.ce[corruption].get(seed)
                rows += [(row.name, corruption, seed, severity, e, ce) for severity, e in enumerate(errors, 1)]
    return Table("corruptions", head, rows)


def settings_table(summary: StudySummary) -> Table:
    """Every key of the configurations, with the value of each variant and whether all share it."""
    names, differing, shared = provenance.compare_settings(summary)
    rows: list[Sequence[Value]] = [(key, False, *values) for key, values in differing]
    rows += [(key, True, *(value for _ in names)) for key, value in shared]
    return Table("settings", ("key", "same for all", *names), rows)


def section_table(section: Section) -> Callable[[StudySummary], Table]:
    """The table of a section that another package adds, as it prints it."""
    return lambda _: Table(f"section {section.title}", section.head, section.rows)


_MOMENTS = ("before", "after")
_ERRORS = {
    "equivariance": "rotations",
    "equivariance_reflections": "reflections",
    "equivariance_translations": "translations",
}


def _variant_row(
    summary: StudySummary, variant: VariantSummary, factors: Sequence[str], measured: Sequence[tuple[str, str]]
) -> list[Value]:
    runs = [run for run in variant.runs if run.fraction == summary.fraction]
    done = [run for run in runs if run.is_done]
    return [
        variant.letter, variant.name, *_level(variant, factors), variant.view, True, summary.fraction, _size(runs),
        variant.layers, variant.effective, variant.knob, variant.neighbor, variant.oracle, variant is summary.best,
        variant in summary.undecided, len(done), len(runs) - len(done),
        *_interval(variant.test), *_interval(variant.rotated),
        *_comparison(variant.to_neighbor), *_comparison(summary.to_best.get(variant.name)),
        *_moments(variant, measured), variant.parameters, variant.seconds_per_step, variant.peak_memory,
    ]  # fmt: skip


def _view_row(
    summary: StudySummary,
    variant: VariantSummary,
    view: ViewSummary,
    factors: Sequence[str],
    measured: Sequence[tuple[str, str]],
    width: int,
) -> list[Value]:
    row: list[Value] = [
        variant.letter, variant.name, *_level(variant, factors), view.name, False, summary.fraction,
        _size(variant.runs), variant.layers, view.effective, variant.knob, variant.neighbor, variant.oracle,
        None, None, None, None,
        *_interval(view.test), *_interval(view.rotated),
    ]  # fmt: skip
    empty = [None] * (width - len(row) - len(measured) - 3)
    return [*row, *empty, *_moments(view, measured), None, None, None]


def _level(variant: VariantSummary, factors: Sequence[str]) -> list[Value]:
    return [_level_value(variant.level[factor]) if factor in variant.level else None for factor in factors]


def _level_value(value: Any) -> Value:
    """A value of a factor: lists, and the value that is no value, as JSON."""
    return value if isinstance(value, str | int | float) else json.dumps(value)


def _run_row(run: Run, counts: bool) -> list[Value]:
    return [
        run.text("key"), run.row, run.seed, run.fraction, counts, run.text("status"), run.problem,
        run.number("num_train"), run.number("best_step"),
        *(run.number(key) for key in ("val_error", "test_error", "test_error_rotated", "test_error_tta")),
        *(run.number(entry, moment, "mean") for entry in _ERRORS for moment in _MOMENTS),
        run.text("symmetry", "layers"), run.text("symmetry", "effective"),
        *(run.number(key) for key in ("parameters", "seconds_per_step", "train_seconds", "peak_memory_bytes")),
        *(run.text(key) for key in ("device", "threads", "products", "commit", "started")),
    ]  # fmt: skip


def _interval_head(title: str, unit: str) -> list[str]:
    return [f"{title}, mean{unit}", f"{title}, 95 % interval, low{unit}", f"{title}, 95 % interval, high{unit}"]


def _comparison_head(other: str, unit: str) -> list[str]:
    return [
        *_interval_head(f"difference to the {other}", unit),
        *_interval_head(f"ratio to the {other}", ""),
        f"seeds shared with the {other}",
        f"p adjusted, against the {other}",
    ]


def _interval(estimate: Estimate | None) -> list[Value]:
    return [None] * 3 if estimate is None else [estimate.mean, estimate.low, estimate.high]


def _comparison(found: Comparison | None) -> list[Value]:
    if found is None:
        return [None] * 8
    ratio = [found.ratio, found.ratio_low, found.ratio_high]
    return [found.difference, found.low, found.high, *ratio, found.num_seeds, found.p_adjusted]


def _measured(variants: Iterable[VariantSummary]) -> list[tuple[str, str]]:
    """The groups and moments of all equivariance errors, each once."""
    found = [
        errors for variant in variants for errors in (variant.equivariance, *(v.equivariance for v in variant.views))
    ]
    pairs = ((group, moment) for errors in found for group, moments in errors.items() for moment in moments)
    return list(dict.fromkeys(pairs))


def _moments(source: VariantSummary | ViewSummary, measured: Sequence[tuple[str, str]]) -> list[Value]:
    found: Mapping[str, Mapping[str, Estimate]] = source.equivariance
    estimates = [found.get(group, {}).get(moment) for group, moment in measured]
    return [None if estimate is None else estimate.mean for estimate in estimates]


def _size(runs: Iterable[Run]) -> float | None:
    return next((size for run in runs if (size := run.number("num_train")) is not None), None)


def _unit(unit: str) -> str:
    return f" ({unit})" if unit not in ("", "1") else ""


def _scalar(value: Any) -> Value:
    return value if isinstance(value, str | int | float) else None


def _plain(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return _no_formula(value) if isinstance(value, str) else str(value)


def _no_formula(text: str) -> str:
    if len(text) < 2 or text[0] not in "=+-@\t\r":
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
