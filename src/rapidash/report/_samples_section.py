"""The section of a study of generators: figures of the samples of every variant, and of the data."""

from collections.abc import Mapping

from rapidash.generate import FLOOR, SAMPLES
from rapidash.report._phrases import estimate_text
from rapidash.report._sections import Section
from rapidash.study import Estimate, StudySummary, VariantSummary

_ABSENT = "not defined"


def samples_section(summary: StudySummary) -> Section | None:
    """Figures of generated clouds, by variant; None for a study that did not measure them."""
    found = {variant.name: _figures(variant, SAMPLES) for variant in summary.variants}
    names = list(dict.fromkeys(name for figures in found.values() for name in figures))
    if not names:
        return None
    data: dict[str, tuple[Estimate, str]] = {}
    for variant in summary.variants:
        data |= {name: value for name, value in _figures(variant, FLOOR).items() if name not in data}
    units = {name: unit for figures in (*found.values(), data) for name, (_, unit) in figures.items()}
    rows = [("training data", *(_cell(data, name) for name in names))]
    rows += [(name, *(_cell(figures, column) for column in names)) for name, figures in found.items() if figures]
    return Section(
        "Samples",
        "Clouds that each trained network generates, against test data; the row of the training data says how near as "
        "many training clouds come to them. The weights were selected by the denoising loss, never by these figures, "
        "and samples that are not finite are counted: a figure that needs all samples is not defined where one of them "
        "is lost. Means over seeds with 95 % intervals.",
        ("", *(f"{name} ({units[name]})" if units[name] not in ("", "1") else name for name in names)),
        rows,
    )


def _figures(variant: VariantSummary, prefix: str) -> dict[str, tuple[Estimate, str]]:
    """Estimate and unit by name, of the figures with a prefix after training."""
    return {
        figure.name.removeprefix(prefix): (figure.moments["after"], figure.unit)
        for figure in variant.figures
        if figure.name.startswith(prefix) and not figure.view and "after" in figure.moments
    }


def _cell(figures: Mapping[str, tuple[Estimate, str]], name: str) -> str:
    return estimate_text(figures[name][0]) if name in figures else _ABSENT
