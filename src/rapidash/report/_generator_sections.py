"""Sections on generators: which figures of molecules see which errors, and the cost of broken symmetry by level."""

from collections.abc import Mapping

import torch

from rapidash.generate import BANDS, COLUMNS, CONTROL, COUPLED, LOSS, SHARE, LogNormalLevels, band_name
from rapidash.report import _format as fmt
from rapidash.report._chart_types import XYChart
from rapidash.report._charts import curve_readout, curve_row, curve_series
from rapidash.report._phrases import estimate_text
from rapidash.report._scale import scale_for
from rapidash.report._sections import Section
from rapidash.study import Estimate, FigureSummary, StudySummary, VariantSummary


def controls_section(summary: StudySummary) -> Section | None:
    """Molecules that are wrong in a known way, and the figures that notice; None for a study that did not ask."""
    found: dict[str, dict[str, Estimate]] = {}
    for variant in summary.variants:
        for figure in _after(variant):
            if figure.name.startswith(CONTROL):
                control, _, column = figure.name.removeprefix(CONTROL).partition(" | ")
                found.setdefault(control, {}).setdefault(column, figure.moments["after"])
    if not found:
        return None
    columns = [column for column in COLUMNS.values() if any(column in row for row in found.values())]
    rows = [
        (control, *(estimate_text(row[column]) if column in row else fmt.NOTHING for column in columns))
        for control, row in found.items()
    ]
    return Section(
        "What the figures of molecules see",
        "Shares (%) of test molecules, and of these with errors of known size, by the protocols of the table of "
        "samples; no network is in it. Real molecules do not reach 100 % of stability by bond lengths: aromatic rings "
        "with nitrogen, nitro groups and charges fail the lookup: above their value it rewards molecules that are "
        "larger or more saturated than the data, and below it is a thermometer of coordinates. Classic validity sees "
        "neither a missing hydrogen nor two molecules far apart, since hydrogens are filled in and the largest "
        "fragment counts. Soundness sees all of these.",
        ("molecules", *columns),
        rows,
    )


def generator_symmetry_section(summary: StudySummary) -> Section | None:
    """The cost of broken symmetry by noise level, and samples from moved noise; None where they were not measured."""
    known = {variant.name: figures for variant in summary.variants if (figures := _by_band(variant, SHARE))}
    if not known:
        return None
    groups = list(dict.fromkeys(f.group for name in known for f in _after(summary[name]) if f.name == COUPLED))
    rows = []
    for name, shares in known.items():
        coupled = {figure.group: figure.moments["after"] for figure in _after(summary[name]) if figure.name == COUPLED}
        cells = (fmt.relative_error(coupled[group].mean) if group in coupled else fmt.NOTHING for group in groups)
        ends = (estimate_text(shares[band]) if band in shares else fmt.NOTHING for band in (0, BANDS - 1))
        rows.append((f"{summary[name].letter} {name}", *ends, *cells))
    first, last = (band_name(band).removeprefix(", ") for band in (0, BANDS - 1))
    charts = [
        chart
        for chart in (
            _chart(summary, LOSS, "denoising-loss-by-level", "Denoising loss by noise level", "denoising loss"),
            _chart(summary, SHARE, "broken-by-level", "Loss due to broken symmetry", "share of the loss (%)"),
        )
        if chart is not None
    ]
    return Section(
        "Symmetry of the generator",
        "The share of the denoising loss over all rotations that averaging the network over them would remove, at the "
        "lowest and the highest noise; and how far samples from moved noise are from moved samples, relative to their "
        "size. A network that keeps a symmetry has 0 in both, up to rounding or its grid of orientations. Means over "
        "seeds.",
        (
            "variant",
            f"due to broken symmetry, {first} (%)",
            f"{last} (%)",
            *(f"{COUPLED}, {group}" for group in groups),
        ),
        rows,
        charts=charts,
    )


def _after(variant: VariantSummary) -> list[FigureSummary]:
    return [figure for figure in variant.figures if not figure.view and "after" in figure.moments]


def _by_band(variant: VariantSummary, name: str) -> dict[int, Estimate]:
    """A figure by eighth of the law of noise levels."""
    bands = {f"{name}{band_name(band)}": band for band in range(BANDS)}
    return {bands[f.name]: f.moments["after"] for f in _after(variant) if f.name in bands}


def _chart(summary: StudySummary, name: str, slug: str, title: str, axis: str) -> XYChart | None:
    shares = (torch.arange(BANDS, dtype=torch.float64) + 0.5) / BANDS
    levels = LogNormalLevels().quantile(shares).tolist()
    curves = []
    for variant in summary.variants:
        known: Mapping[int, Estimate] = _by_band(variant, name)
        rows = [curve_row(levels[band], found.values) for band, found in sorted(known.items())]
        if len(rows) > 1:
            curves.append((variant, rows))
    if not curves:
        return None
    x = scale_for(levels, log=True)
    y = scale_for([value for _, rows in curves for row in rows for value in row[1:]])
    series = tuple(curve_series(variant, rows, x, y, "") for variant, rows in curves)
    readout = curve_readout("noise level", x, curves)
    return XYChart(slug, title, "", series, x, y, "noise level, log scale", axis, readout)
