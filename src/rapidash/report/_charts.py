"""The plots as data: marks, spans and lines in per cent of their axes. The template draws them.

Positions are relative, so one drawing fits every width; the numbers stand beside the marks, so no plot is the only
carrier of a value.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from rapidash.report import _format as fmt
from rapidash.report._chart_types import Mark, Point, Row, RowChart, Series, Span, XYChart
from rapidash.report._phrases import difference_text, estimate_text, has_intervals, metric_with_unit, p_text
from rapidash.report._scale import Scale, scale_for
from rapidash.study import Estimate, StudySummary, VariantSummary, row_name

SHIFT = 17  # pixels, a little less than the width of a marked point
CurveRow = tuple[float, float, float, float]  # place on the x axis; lowest, mean and highest value over seeds
SPAN_LIMIT = 4.0  # a log axis leaves this factor around the values for intervals; longer intervals are cut


def error_chart(summary: StudySummary) -> RowChart | None:
    """Test error of every variant: a dot per seed, the mean and its interval."""
    known = [(variant, variant.test) for variant in summary.variants if variant.test is not None]
    if not known:
        return None
    scale = error_scale([estimate for _, estimate in known])
    rows = tuple(
        variant_row(v, estimate_text(e), estimate_marks(scale, e, summary.metric), (interval_span(scale, e),))
        for v, e in known
    )
    return RowChart(
        "error",
        "Test error by variant",
        "Lower is better.",
        rows,
        scale,
        error_axis(summary, scale),
        _legend(summary, "mean", "95 % interval of the mean"),
    )


def _legend(summary: StudySummary, mean: str, interval: str) -> tuple[tuple[str, str], ...]:
    """The marks of a chart of seeds."""
    of_one = (("seed", "one seed"), ("mean", mean))
    return (*of_one, ("interval", interval)) if has_intervals(summary) else of_one


def difference_chart(summary: StudySummary) -> RowChart | None:
    """The effect of one turned knob on the test error: differences between neighbors, paired by seed."""
    known = [(variant, variant.to_neighbor) for variant in summary.variants if variant.to_neighbor is not None]
    if not known:
        return None
    ends = [end for _, c in known for end in (c.difference, c.low, c.high) if end is not None]
    scale = scale_for(ends, log=False, with_zero=True)
    rows = []
    for variant, comparison in known:
        other = summary[comparison.other]
        parts = (
            difference_text(comparison),
            p_text(comparison),
            f"factor{fmt.TIE}{fmt.ratio(comparison.ratio)}" if comparison.ratio else "",
        )
        value = ", ".join(part for part in parts if part)
        marks = [
            Mark(scale(first - second), "seed", f"seed {seed}: {fmt.signed(first - second)}")
            for seed, first, second in _shared(variant.test, other.test)
        ]
        marks.append(Mark(scale(comparison.difference), "mean", f"mean difference {value}"))
        spans = (_span(scale, comparison.low, comparison.high),)
        note = variant.knob or "one knob"
        rows.append(variant_row(variant, value, tuple(marks), spans, f"against {other.letter} {other.name}: {note}"))
    paired, p = "of one seed", ""
    if has_intervals(summary):
        paired = "paired by seed"
        p = " p allows for the number of comparisons; above 0.05 there is no clear difference."
    return RowChart(
        "differences",
        "What one knob does",
        f"Error of the variant minus the error of its neighbor, which differs in one knob, {paired}. Left of zero "
        f"the variant is better.{p}",
        tuple(rows),
        scale,
        f"difference in {error_axis(summary, scale)}",
        _legend(summary, "mean difference", "95 % interval"),
        zero=scale(0.0),
    )


def rotation_chart(summary: StudySummary) -> RowChart | None:
    """Test error on the data as they are, and after every test cloud was moved by its own random rotation."""
    known = [(v, v.test, v.rotated) for v in summary.variants if v.test is not None and v.rotated is not None]
    if not known:
        return None
    scale = scale_for([value for _, e, r in known for value in (e.mean, r.mean)])
    rows = []
    for variant, plain, rotated in known:
        marks = (
            Mark(scale(plain.mean), "mean", f"as they are: {estimate_text(plain)}"),
            Mark(scale(rotated.mean), "hollow", f"rotated: {estimate_text(rotated)}"),
        )
        ends = sorted((scale(plain.mean), scale(rotated.mean)))
        factor = fmt.ratio(variant.rotated_ratio)
        value = f"{fmt.number(plain.mean)} {fmt.ARROW} {fmt.number(rotated.mean)} ({factor})"
        rows.append(variant_row(variant, value, marks, (Span(ends[0], ends[1], "link"),)))
    return RowChart(
        "rotated",
        "Error under rotated test data",
        "Every test cloud and its target moved by their own random rotation. A model that does not keep rotations, and "
        "did not learn them, loses here.",
        tuple(rows),
        scale,
        error_axis(summary, scale),
        (("mean", "test data as they are"), ("hollow", "rotated test data")),
    )


def equivariance_chart(summary: StudySummary) -> RowChart | None:
    """Relative equivariance error before and after training, a row per variant and group, on a log axis."""
    cells = [(v, group, moments) for v in summary.variants for group, moments in v.equivariance.items()]
    values = [value for _, _, moments in cells for e in moments.values() for value in e.values]
    if not values:
        return None
    scale = scale_for([value for value in values if value > 0] or [1e-16, 1.0], log=True)
    rows = [_equivariance_row(variant, group, moments, scale) for variant, group, moments in cells]
    return RowChart(
        "equivariance",
        "How equivariant each model is",
        "Relative error of moving the input against moving the output, averaged over random elements of the group that "
        "is named. Rounding alone is about 10⁻¹⁶ in float64 and 10⁻⁶ in float32; near 1 no symmetry is left.",
        tuple(rows),
        scale,
        "relative equivariance error, log scale",
        (("hollow", "before training"), ("mean", "after training")),
    )


def cost_charts(summary: StudySummary) -> tuple[XYChart, ...]:
    """Test error against seconds per step, peak memory and number of parameters."""
    specs = (
        ("seconds", "Error against time", "time per training step (ms)", "seconds_per_step", fmt.seconds, 1e3),
        ("memory", "Error against memory", "peak memory (MB)", "peak_memory", fmt.memory, 1e-6),
        ("parameters", "Error against size", "thousand parameters", "parameters", fmt.short_count, 1e-3),
    )
    charts = []
    for slug, title, axis, attribute, show, factor in specs:
        known = [
            (v, v.test, cost * factor, show(cost))
            for v in summary.variants
            if v.test is not None and (cost := getattr(v, attribute))
        ]
        if not known:
            continue
        x, y = scale_for([cost for _, _, cost, _ in known]), error_scale([test for _, test, _, _ in known])
        series = tuple(
            Series(
                v.index,
                v.letter,
                v.name,
                f"{text}, error {fmt.number(test.mean)}",
                points=(_point(x, y, cost, test, text),),
            )
            for v, test, cost, text in known
        )
        charts.append(XYChart(slug, title, "", apart(series), x, y, _log(axis, x), error_axis(summary, y)))
    return tuple(charts)


def data_chart(summary: StudySummary) -> XYChart | None:
    """Test error against the number of training samples; None with a single size of the training set."""
    known = [variant for variant in summary.variants if variant.by_num_train]
    sizes = {size for variant in known for size in variant.by_num_train}
    if len(sizes) < 2:
        return None
    estimates = [estimate for variant in known for estimate in variant.by_num_train.values()]
    x, y = scale_for(sizes, log=True), error_scale(estimates, log=True)
    series = [_error_curve(v, v.name, v.by_num_train, x, y, fmt.count, " samples") for v in known]
    lead = f"{_each_point(summary)}; every size trains for the same number of steps."
    return XYChart(
        "data", "Data efficiency", lead, apart(series), x, y, "training samples, log scale", error_axis(summary, y)
    )


def _each_point(summary: StudySummary) -> str:
    mean = "is the mean over seeds with its 95 % interval" if has_intervals(summary) else "is one seed"
    return f"Each point {mean}"


def factor_charts(summary: StudySummary) -> tuple[XYChart, ...]:
    """Test error against every factor of numbers, a curve for each variant at each level of the others."""
    charts = []
    for factor in dict.fromkeys(name for variant in summary.variants for name in variant.by_factor):
        known = [(variant, variant.by_factor[factor]) for variant in summary.variants if factor in variant.by_factor]
        estimates = [estimate for _, curve in known for estimate in curve.values()]
        x, y = scale_for({at for _, curve in known for at in curve}), error_scale(estimates)
        series = []
        for variant, curve in known:
            rest = {name: value for name, value in variant.level.items() if name != factor}
            drawn = _error_curve(variant, row_name(variant.variant, rest), curve, x, y, "{:g}".format)
            marks = (_letter(summary, variant, factor, at) for at in curve)
            points = tuple(replace(point, letter=mark) for point, mark in zip(drawn.points, marks, strict=True))
            series.append(replace(drawn, points=points))
        lead = f"{_each_point(summary)}; all else is equal along a curve. Letters are those of the rows of the table."
        slug = f"factor-{factor.replace('.', '-')}"
        title = f"Error against {factor}"
        charts.append(XYChart(slug, title, lead, apart(series), x, y, _log(factor, x), error_axis(summary, y)))
    return tuple(charts)


def _letter(summary: StudySummary, variant: VariantSummary, factor: str, at: float) -> str:
    """The letter of the row that differs from a variant's in the value of one factor."""
    level = {**variant.level, factor: at}
    return next(row.letter for row in summary.variants if (row.variant, row.level) == (variant.variant, level))


def _error_curve(
    variant: VariantSummary,
    name: str,
    curve: Mapping[float, Estimate],
    x: Scale,
    y: Scale,
    show: Callable[[float], str],
    unit: str = "",
) -> Series:
    """A line through the mean errors at some values, with their intervals."""
    points = tuple(_point(x, y, at, found, f"{show(at)}{unit}") for at, found in curve.items())
    line = path_data([(point.x, point.y) for point in points])
    value = ", ".join(f"{show(at)}: {fmt.number(found.mean)}" for at, found in curve.items())
    return Series(variant.index, variant.letter, name, value, line=line, points=points)


def learning_chart(summary: StudySummary) -> XYChart | None:
    """Validation error against the step: mean over seeds, band from the lowest to the highest seed."""
    curves = [(variant, curve) for variant in summary.variants if (curve := _curve(variant))]
    values = [value for _, curve in curves for _, *row in curve for value in row]
    steps = sorted({step for _, curve in curves for step, *_ in curve})
    if not values or len(steps) < 2:
        return None
    x, y = Scale(steps[0], steps[-1], False), scale_for(values, log=min(values) > 0)
    series = (
        curve_series(v, curve, x, y, f"{fmt.number(curve[-1][2])} at step {curve[-1][0]:.0f}") for v, curve in curves
    )
    lead = "The error on validation data."
    if has_intervals(summary):
        lead = "Mean over seeds of the error on validation data; the band reaches from the lowest to the highest seed."
    return XYChart(
        "learning",
        "Learning curves",
        lead,
        tuple(series),
        x,
        y,
        "optimizer step",
        _log(f"validation {metric_with_unit(summary)}", y),
        curve_readout("step", x, curves),
    )


def curve_series(variant: VariantSummary, curve: Sequence[CurveRow], x: Scale, y: Scale, value: str) -> Series:
    """A line through the means, and a band from the lowest to the highest seed where they differ."""
    line = path_data([(x(at), 100 - y(mean)) for at, _, mean, _ in curve])
    upper = [(x(at), 100 - y(high)) for at, _, _, high in curve]
    lower = [(x(at), 100 - y(low)) for at, low, _, _ in reversed(curve)]
    band = path_data(upper + lower) + "Z" if any(low < high for _, low, _, high in curve) else ""
    return Series(variant.index, variant.letter, variant.name, value, line=line, band=band)


def curve_readout(
    name: str, x: Scale, curves: Sequence[tuple[VariantSummary, Sequence[CurveRow]]]
) -> dict[str, object]:
    """Data for the text under the pointer: the means of all variants, for the page to show at the nearest ``name``."""
    rows = [[v.letter, v.index, [[at, mean] for at, _, mean, _ in curve]] for v, curve in curves]
    return {"name": name, "x": [x.low, x.high], "series": rows}


def small_row(variant: VariantSummary, scale: Scale | None, estimate: Estimate | None) -> Row | None:
    """The test error of one variant for a cell of the table; None where there is none."""
    if scale is None or estimate is None:
        return None
    marks = estimate_marks(scale, estimate, "test error")
    return variant_row(variant, fmt.number(estimate.mean), marks, (interval_span(scale, estimate),))


def small_equivariance_rows(variant: VariantSummary, scale: Scale | None) -> list[Row]:
    """The equivariance error of one variant, a row per group, for a cell of the table."""
    return [
        _equivariance_row(variant, group, moments, scale) for group, moments in variant.equivariance.items() if scale
    ]


def curve_row(at: float, values: Sequence[float]) -> CurveRow:
    """One place of a curve from the values of all seeds."""
    return float(at), min(values), sum(values) / len(values), max(values)


def _curve(variant: VariantSummary) -> list[CurveRow]:
    """The validation error at the steps that every finished seed reached."""
    by_seed = []
    for run in variant.finished:
        if run.history:
            rows = ((row.get("step"), row.get("val_error")) for row in run.history)
            curve = {
                s: e for s, e in rows if isinstance(s, int) and isinstance(e, int | float) and 0 < e < float("inf")
            }
            by_seed.append(curve)
    shared = sorted(set.intersection(*map(set, by_seed))) if by_seed else []
    return [curve_row(step, [curve[step] for curve in by_seed]) for step in shared]


def variant_row(
    variant: VariantSummary, value: str, marks: tuple[Mark, ...], spans: Iterable[Span | None], note: str = ""
) -> Row:
    drawn = tuple(span for span in spans if span is not None)
    return Row(variant.index, variant.letter, variant.name, value, marks, drawn, note)


def _equivariance_row(variant: VariantSummary, note: str, moments: Mapping[str, Estimate], scale: Scale) -> Row:
    marks = []
    for moment, kind in (("before", "hollow"), ("after", "mean")):
        if (found := moments.get(moment)) is not None:
            seeds = ", ".join(map(fmt.relative_error, found.values))
            tip = f"{note}, {moment} training: {fmt.relative_error(found.mean)} (seeds: {seeds})"
            marks.append(Mark(scale(found.mean), kind, tip))
    means = [moments[moment].mean for moment in ("before", "after") if moment in moments]
    ends = sorted(map(scale, means))
    value = f" {fmt.ARROW} ".join(map(fmt.relative_error, means))
    row = variant_row(variant, value, tuple(marks), (Span(ends[0], ends[-1], "link"),), note)
    return replace(row, continued=note != next(iter(variant.equivariance)))


def estimate_marks(scale: Scale, estimate: Estimate, name: str) -> tuple[Mark, ...]:
    seeds = [Mark(scale(v), "seed", f"seed {s}: {fmt.number(v)}") for s, v in sorted(estimate.by_seed.items())]
    return (*seeds, Mark(scale(estimate.mean), "mean", f"mean {name}: {estimate_text(estimate)}"))


def interval_span(scale: Scale, estimate: Estimate) -> Span | None:
    return _span(scale, estimate.low, estimate.high)


def _span(scale: Scale, low: float | None, high: float | None) -> Span | None:
    if low is None or high is None:
        return None
    return Span(scale(low), scale(high), "interval", low < scale.low, high > scale.high)


def _point(x: Scale, y: Scale, at: float, estimate: Estimate, tip: str) -> Point:
    low = estimate.mean if estimate.low is None else estimate.low
    high = estimate.mean if estimate.high is None else estimate.high
    text = f"{tip}, error {estimate_text(estimate)}"
    return Point(x(at), round(100 - y(estimate.mean), 3), round(100 - y(low), 3), round(100 - y(high), 3), text)


def apart(series: Sequence[Series]) -> tuple[Series, ...]:
    """The series with points that would hide one another shifted to the side."""
    placed: list[Point] = []
    moved = []
    for one in series:
        points = []
        for point in one.points:
            hidden = sum(abs(point.x - other.x) < 4 and abs(point.y - other.y) < 6 for other in placed)
            points.append(replace(point, shift=(SHIFT if point.x < 80 else -SHIFT) * hidden))
            placed.append(point)
        moved.append(replace(one, points=tuple(points)))
    return tuple(moved)


def path_data(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points)


def _shared(first: Estimate | None, second: Estimate | None) -> list[tuple[int, float, float]]:
    if first is None or second is None:
        return []
    seeds = sorted(first.by_seed.keys() & second.by_seed.keys())
    return [(seed, first.by_seed[seed], second.by_seed[seed]) for seed in seeds]


def error_scale(estimates: Sequence[Estimate], *, log: bool | None = None) -> Scale:
    """An axis for errors: it holds every value, and of the intervals what does not dwarf the values."""
    values = [value for estimate in estimates for value in estimate.values]
    ends = [end for e in estimates for end in (e.low, e.high) if end is not None]
    if min(values) > 0:
        low, high = min(values) / SPAN_LIMIT, max(values) * SPAN_LIMIT
        ends = [min(max(end, low), high) for end in ends]
    return scale_for([*values, *ends], log=log)


def error_axis(summary: StudySummary, scale: Scale) -> str:
    return _log(metric_with_unit(summary), scale)


def _log(axis: str, scale: Scale) -> str:
    return f"{axis}, log scale" if scale.is_log else axis
