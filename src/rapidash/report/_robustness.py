"""The section on corrupted test data: mean corruption error, error against severity, and a table by corruption."""

from collections.abc import Mapping
from dataclasses import dataclass

from rapidash.data import SEVERITIES
from rapidash.report import _charts as charts
from rapidash.report import _format as fmt
from rapidash.report._chart_types import RowChart, XYChart
from rapidash.report._phrases import estimate_text
from rapidash.report._scale import Scale, scale_for
from rapidash.study import (
    Estimate,
    Robustness,
    RobustnessRow,
    StudySummary,
    VariantSummary,
    error_estimate,
    judge,
    read_robustness,
)

_PLACES = (0, *SEVERITIES)
_X_AXIS = "severity; 0: test data as they are"


@dataclass(frozen=True)
class TableCell:
    """A corruption error with its interval, and the error behind it."""

    value: str
    interval: str
    error: str


@dataclass(frozen=True)
class RobustnessSection:
    """The section of the page and of the Markdown table on corrupted test data.

    Args:
        lead: which variant is the reference, and which has the lowest mean corruption error.
        chart: mean corruption error of every variant.
        mean_curve: error against severity, the mean over corruptions; ``panels``: a small one per corruption.
        variants: columns of the table; ``lines``: a title and a cell per variant.
        notes: corruptions that were left out, and runs that were not tested.
    """

    lead: str
    chart: RowChart | None
    mean_curve: XYChart | None
    panels: tuple[XYChart, ...]
    variants: tuple[VariantSummary, ...]
    lines: tuple[tuple[str, tuple[TableCell, ...]], ...]
    notes: tuple[str, ...]


def robustness_section(summary: StudySummary) -> RobustnessSection | None:
    """The section of a study whose models were tested under corruptions; None for any other."""
    found = read_robustness(summary.study.directory, summary.study.records)
    if found is None:
        return None
    known = [(summary[row.name], row) for row in found.rows]
    curves = {
        name: [(variant, _curve(row, name)) for variant, row in known] for name in (None, *found.corruptions) if known
    }
    y = scale_for([value for rows in curves.values() for _, curve in rows for _, *ends in curve for value in ends])
    panels = tuple(_severity_chart(summary, name, curves[name], y) for name in found.corruptions if curves)
    return RobustnessSection(
        lead=_lead(found, known),
        chart=_error_chart(found, known),
        mean_curve=_severity_chart(summary, None, curves[None], y) if curves else None,
        panels=panels if len(panels) > 1 else (),
        variants=tuple(variant for variant, _ in known),
        lines=_lines(summary, found, known),
        notes=_notes(found),
    )


def _lead(found: Robustness, known: list[tuple[VariantSummary, RobustnessRow]]) -> str:
    text = (
        f"Every trained model, tested under {fmt.plural(len(found.corruptions), 'corruption')} at five severities, the "
        "same corrupted clouds for all. Corruption error: the error over the severities divided by that of "
        f"{found.reference} with the same seed; below 1 a variant is better than that."
    )
    means = {variant.name: mce for variant, row in known if (mce := error_estimate(row.mce)) is not None}
    if len(means) < 2:
        return text
    found_best = judge({variant.name: row.mce for variant, row in known})
    assert found_best.best is not None
    text += f" {found_best.best} has the lowest mean corruption error, {estimate_text(means[found_best.best])}"
    return f"{text}, but {fmt.listed(found_best.tied)} cannot be told from it." if found_best.tied else f"{text}."


def _error_chart(found: Robustness, known: list[tuple[VariantSummary, RobustnessRow]]) -> RowChart | None:
    means = [(variant, mce) for variant, row in known if (mce := error_estimate(row.mce)) is not None]
    if not means:
        return None
    scale = charts.error_scale([mce for _, mce in means])
    rows = []
    for variant, mce in means:
        is_unit = variant.name == found.reference
        value = "1, the reference" if is_unit else estimate_text(mce)
        spans = () if is_unit else (charts.interval_span(scale, mce),)
        rows.append(charts.variant_row(variant, value, charts.estimate_marks(scale, mce, "corruption error"), spans))
    return RowChart(
        "robustness",
        "Mean corruption error",
        "The mean of the corruption errors over the corruptions; lower is better.",
        tuple(rows),
        scale,
        "error relative to the reference" + (", log scale" if scale.is_log else ""),
        (("seed", "one seed"), ("mean", "mean"), ("interval", "95 % interval of the mean")),
        zero=scale(1.0) if scale.holds(1.0) else None,
    )


def _curve(row: RobustnessRow, corruption: str | None) -> list[charts.CurveRow]:
    by_seed = row.curve(corruption).values()
    return [charts.curve_row(place, values) for place, values in zip(_PLACES, zip(*by_seed, strict=True), strict=True)]


def _severity_chart(
    summary: StudySummary, name: str | None, curves: list[tuple[VariantSummary, list[charts.CurveRow]]], y: Scale
) -> XYChart:
    x = Scale(_PLACES[0], _PLACES[-1], False)
    lead, series = "", []
    for variant, curve in curves:
        first, last = (fmt.number(curve[place][2]) for place in (0, -1))
        series.append(charts.curve_series(variant, curve, x, y, last if name else f"{first} {fmt.ARROW} {last}"))
    if name is None:
        lead = (
            "Mean over the corruptions and over seeds; the band reaches from the lowest to the highest seed. The "
            "numbers are the errors at severity 0 and at severity 5."
        )
    return XYChart(
        slug=f"severity-{name or 'mean'}",
        title=name or "Error against severity",
        lead=lead,
        series=tuple(series),
        x=x,
        y=y,
        x_axis=_X_AXIS if name is None else "severity",
        y_axis=charts.error_axis(summary, y),
        readout=charts.curve_readout("severity", x, curves),
    )


def _lines(
    summary: StudySummary, found: Robustness, known: list[tuple[VariantSummary, RobustnessRow]]
) -> tuple[tuple[str, tuple[TableCell, ...]], ...]:
    def cells(name: str | None) -> tuple[TableCell, ...]:
        return tuple(
            _cell(summary, row.mce if name is None else row.ce[name], _mean_error(row, name)) for _, row in known
        )

    clean = tuple(_cell(summary, {}, row.clean) for _, row in known)
    return (
        ("mean corruption error", cells(None)),
        *((name, cells(name)) for name in found.corruptions),
        ("without corruption", clean),
    )


def _mean_error(row: RobustnessRow, corruption: str | None) -> dict[int, float]:
    """By seed, the error over the severities 1 to 5 of one corruption, or of all of them."""
    return {seed: sum(curve[1:]) / len(SEVERITIES) for seed, curve in row.curve(corruption).items()}


def _cell(summary: StudySummary, relative: Mapping[int, float], errors: Mapping[int, float]) -> TableCell:
    ce, error = error_estimate(relative), error_estimate(errors)
    assert error is not None
    unit = f"{fmt.TIE}{fmt.unit(summary.unit)}" if len(summary.unit) < 4 else ""
    return TableCell(
        fmt.NOTHING if ce is None else fmt.number(ce.mean), _bounds(ce), f"error {fmt.number(error.mean)}{unit}"
    )


def _bounds(ce: Estimate | None) -> str:
    if ce is None or ce.low == ce.high:  # the reference itself
        return ""
    return fmt.interval(ce.low, ce.high)


def _notes(found: Robustness) -> tuple[str, ...]:
    notes = [f"{name} is left out: {why}." for name, why in found.skipped.items()]
    if found.num_untested:
        notes.append(
            f"{fmt.plural(found.num_untested, 'finished run')} without a finite error under every corruption: the same "
            "command with --corruptions tests what is missing."
        )
    if not any(row.name == found.reference for row in found.rows):
        notes.append(f"The reference, {found.reference}, has no run with results: there is no corruption error.")
    return tuple(notes)
