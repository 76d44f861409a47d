"""The section of a study of pre-training: what each part of the features knows, and whether views can be predicted."""

from collections.abc import Iterator

from rapidash.report import _format as fmt
from rapidash.report._figure_table import Figures, against_neighbors, figure_table, variants_with
from rapidash.report._phrases import means
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
from rapidash.study import StudySummary

_TITLES = {
    figure_of(CLASS, INVARIANT): "class, invariant part",
    figure_of(CLASS, EQUIVARIANT): "class, equivariant part",
    figure_of(MOTION, EQUIVARIANT): "R2 of the motion, equivariant part",
    figure_of(MOTION, INVARIANT): "R2 of the motion, invariant part",
    MRR: "MRR",
    HIT: "H@1",
    HOMOMORPHISM: HOMOMORPHISM,
}


def representation_section(summary: StudySummary) -> Section | None:
    """Probes, retrieval and homomorphism error of every variant; None for a study that did not measure them."""
    known = variants_with(summary, figure_of(MOTION, INVARIANT))
    if not known:
        return None
    return Section(
        "What the features know",
        "Frozen features of test data after pre-training. Class: the share that a linear classifier names, fitted to "
        "training data. R2 of the motion: what a perceptron predicts of the motion between two views from their "
        "features, the mean of R2 over the entries of its matrix, each with its own mean. MRR and H@1: how often the "
        f"view that W(g) predicts from another view is the nearest of the {NUM_VIEWS - 1} others of the same object "
        "(the view that it was predicted from is not among them). Homomorphism error: the mean of |W(gh) - W(g)W(h)| "
        f"over |W(gh)|, 0 for a representation. {means(summary)}.",
        *figure_table(summary, known, _TITLES),
        [*_constants(known), *against_neighbors(summary, known, HIT, "H@1")],
    )


def _constants(known: Figures) -> Iterator[str]:
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
