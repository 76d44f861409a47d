"""The section of a study of tables: what renaming the classes changes, before and after training."""

from collections.abc import Mapping

from rapidash.report import _format as fmt
from rapidash.report._phrases import estimate_text, means
from rapidash.report._sections import Section
from rapidash.study import Estimate, StudySummary, VariantSummary
from rapidash.symmetrize.tabular import ACCURACY, CHANGED, CLASS_COUNTS, GAP, RELABELLING_AVERAGES, figure_name

_HEAD = ("model", "classes", "accuracy", "changed by relabelling", "largest gap of probabilities")
_ABSENT = "cannot run"


def relabelling_section(summary: StudySummary) -> Section | None:
    """Accuracy and the share of answers that a relabelling changes; None for a study that did not measure it."""
    rows = [row for variant in summary.variants for row in _rows(variant)]
    if not rows:
        return None
    trained_with = {variant.name: _figures(variant, "after") for variant in summary.variants}
    return Section(
        "Renaming the classes",
        "On 64 new tables of each number of classes, in float64: the share of queries that are answered rightly, the "
        "share whose most probable class is another one after the classes of the table were renamed at random (0 is "
        "exact equivariance), and the largest difference of a probability in any table. An untrained network is "
        "printed beside the trained one: what it can is the work of its structure alone. Averages are of "
        f"probabilities over random relabellings. {means(summary)}.",
        _HEAD,
        rows,
        _notes(trained_with),
    )


def _figures(variant: VariantSummary, moment: str) -> dict[str, Estimate]:
    return {f.name: f.moments[moment] for f in variant.figures if not f.view and moment in f.moments}


def _rows(variant: VariantSummary) -> list[tuple[str, ...]]:
    rows = []
    for moment, title in (("before", f"{variant.name}, untrained"), ("after", variant.name)):
        figures = _figures(variant, moment)
        if not any(name.startswith(CHANGED) for name in figures):
            continue
        for count in CLASS_COUNTS:
            for suffix in ("", *(f", average of {num}" for num in RELABELLING_AVERAGES)):
                if suffix and (moment == "before" or figure_name(CHANGED, count) + suffix not in figures):
                    continue
                cells = (_cell(figures, figure_name(name, count) + suffix) for name in (ACCURACY, CHANGED, GAP))
                rows.append((f"{title}{suffix}", str(count), *cells))
    return rows


def _cell(figures: Mapping[str, Estimate], name: str) -> str:
    if name not in figures:
        return _ABSENT
    if name.startswith(GAP):
        return fmt.power_of_ten(max(figures[name].values))
    return estimate_text(figures[name])


def _notes(trained: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    """Which variants a relabelling changes, over all numbers of classes and seeds."""
    notes = []
    for name, figures in trained.items():
        shares = [value for title, found in figures.items() if title.startswith(CHANGED) for value in found.values]
        if shares and max(shares) == 0:
            gap = max(v for title, found in figures.items() if title.startswith(GAP) for v in found.values)
            notes.append(f"{name}: no answer changes, and no probability by more than {fmt.power_of_ten(gap)}.")
        elif shares:
            notes.append(f"{name}: up to {fmt.number(max(shares))} of the answers change.")
    return notes
