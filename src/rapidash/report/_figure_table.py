"""Tables of the figures of a measure, a row for each variant, and differences from neighbors."""

from collections.abc import Iterator, Mapping, Sequence

from rapidash.report import _format as fmt
from rapidash.report._phrases import estimate_text
from rapidash.study import Estimate, StudySummary, VariantSummary, estimate

Figures = Mapping[str, Mapping[str, Estimate]]
"""By name of a variant its figures after training, by their names."""


def variants_with(summary: StudySummary, figure: str) -> Figures:
    """The variants that have a figure, with all theirs: of the view that counts, without a group told apart."""
    return {variant.name: found for variant in summary.variants if figure in (found := _after(variant))}


def figure_table(
    summary: StudySummary, known: Figures, titles: Mapping[str, str]
) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Head and rows; ``titles`` are the columns by figure, of which those that nobody has are left out."""
    shown = [name for name in titles if any(name in figures for figures in known.values())]
    rows = [
        (f"{summary[name].letter} {name}", *(_cell(figures.get(figure)) for figure in shown))
        for name, figures in known.items()
    ]
    return ("variant", *(titles[name] for name in shown)), rows


def against_neighbors(summary: StudySummary, known: Figures, figure: str, title: str) -> Iterator[str]:
    """The difference of a figure from that of the neighbor, paired by seed, a sentence for each variant."""
    for name, figures in known.items():
        neighbor = summary[name].neighbor
        if change := difference_text(figures.get(figure), known.get(neighbor, {}).get(figure)):
            yield f"{title} of {name} less that of {neighbor}: {change}."


def difference_text(own: Estimate | None, other: Estimate | None) -> str:
    """One figure less another with the interval of the difference, paired by seed; empty without a common seed."""
    if own is None or other is None:
        return ""
    seeds = sorted(own.by_seed.keys() & other.by_seed.keys())
    found = estimate({seed: own.by_seed[seed] - other.by_seed[seed] for seed in seeds})
    return "" if found is None else f"{fmt.signed(found.mean)} {fmt.interval(found.low, found.high)}".strip()


def _after(variant: VariantSummary) -> dict[str, Estimate]:
    return {f.name: f.moments["after"] for f in variant.figures if not f.view and "after" in f.moments}


def _cell(found: Estimate | None) -> str:
    return fmt.NOTHING if found is None else estimate_text(found)
