"""The section of a study of pre-training: what each part of the features knows, and whether views can be predicted."""

from collections.abc import Iterator, Mapping

from rapidash.report import _format as fmt
from rapidash.report._phrases import estimate_text
from rapidash.report._sections import Section
from rapidash.represent import (
    CHANCE_MRR,
    CLASS,
    CONSTANT,
    EQUIVARIANT,
    HIT,
    HOMOMORPHISM,
    INVARIANT,
    MOTION,
    MRR,
    NUM_VIEWS,
    figure_of,
)
from rapidash.study import Estimate, StudySummary, VariantSummary, estimate

_COLUMNS = (
    (figure_of(CLASS, INVARIANT), "class, invariant part"),
    (figure_of(CLASS, EQUIVARIANT), "class, equivariant part"),
    (figure_of(MOTION, EQUIVARIANT), "R2 of the motion, equivariant part"),
    (figure_of(MOTION, INVARIANT), "R2 of the motion, invariant part"),
    (MRR, "MRR"),
    (HIT, "H@1"),
    (HOMOMORPHISM, HOMOMORPHISM),
)


def representation_section(summary: StudySummary) -> Section | None:
    """Probes, retrieval and homomorphism error of every variant; None for a study that did not measure them."""
    known = {v.name: figures for v in summary.variants if figure_of(MOTION, INVARIANT) in (figures := _after(v))}
    if not known:
        return None
    shown = [(name, title) for name, title in _COLUMNS if any(name in figures for figures in known.values())]
    rows = [
        (f"{summary[name].letter} {name}", *(_cell(figures.get(figure)) for figure, _ in shown))
        for name, figures in known.items()
    ]
    return Section(
        "What the features know",
        "Frozen features of test data after pre-training. Class: the share that a linear classifier names, fitted to "
        "training data. R2 of the motion: what a perceptron predicts of the motion between two views from their "
        "features, the mean of R2 over the entries of its matrix, each with its own mean. MRR and H@1: how often the "
        f"view that W(g) predicts from another view is the nearest of the {NUM_VIEWS - 1} others of the same object "
        "(the view that it was predicted from is not among them). Homomorphism error: the mean of |W(gh) - W(g)W(h)| "
        "over |W(gh)|, 0 for a representation. Means over seeds with 95 % intervals.",
        ("variant", *(title for _, title in shown)),
        rows,
        [*_constants(known), *_against_neighbors(summary, known)],
    )


def _after(variant: VariantSummary) -> dict[str, Estimate]:
    return {f.name: f.moments["after"] for f in variant.figures if not f.view and "after" in f.moments}


def _cell(found: Estimate | None) -> str:
    return fmt.NOTHING if found is None else estimate_text(found)


def _constants(known: Mapping[str, Mapping[str, Estimate]]) -> Iterator[str]:
    """The score of a constant, and chance."""
    said = ((figure_of(CLASS, CONSTANT), "of the class"), (figure_of(MOTION, CONSTANT), "R2 of the motion"))
    for name, words in said:
        values = [value for figures in known.values() if name in figures for value in figures[name].values]
        if values:
            low, high = (fmt.number(value, 2) for value in (min(values), max(values)))
            yield f"The best constant of the training data scores {low if low == high else f'{low} to {high}'} {words}."
    chance = [figures[CHANCE_MRR].mean for figures in known.values() if CHANCE_MRR in figures]
    if chance:
        yield f"By chance the MRR is {fmt.number(chance[0], 2)} and H@1 {fmt.number(1 / (NUM_VIEWS - 1), 2)}."


def _against_neighbors(summary: StudySummary, known: Mapping[str, Mapping[str, Estimate]]) -> Iterator[str]:
    """The difference of H@1 from the neighbor, paired by seed."""
    for name, figures in known.items():
        neighbor = summary[name].neighbor
        other = known.get(neighbor, {}).get(HIT)
        own = figures.get(HIT)
        seeds = sorted(own.by_seed.keys() & other.by_seed.keys()) if own is not None and other is not None else []
        if own is None or other is None or not seeds:
            continue
        found = estimate({seed: own.by_seed[seed] - other.by_seed[seed] for seed in seeds})
        assert found is not None
        interval = fmt.interval(found.low, found.high)
        yield f"H@1 of {name} less that of {neighbor}: {fmt.signed(found.mean)} {interval}".strip() + "."
