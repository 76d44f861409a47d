"""Effective invariance of a classifier on moved and on unmoved validation data, and what it should be read beside."""

from collections.abc import Iterator
from typing import Literal

from rapidash.data import moved
from rapidash.measure import Action, equivariance_error, invariance_scores
from rapidash.methods import Measurement, Subject
from rapidash.study._moves import moves_of_tests
from rapidash.study.measures._on_validation import first, twin

SAMPLES, ELEMENTS, ERROR_SAMPLES = 300, 4, 64
EFFECTIVE = "effective invariance, moved data"
CONSISTENCY = "consistency, moved data"
CONFIDENCE = "confidence, moved data"
DEVIATION = "equivariance error over spread, moved data"
MEASURED = (
    EFFECTIVE,
    "effective invariance, unmoved data",
    CONSISTENCY,
    "1 - JS divergence, moved data",
    CONFIDENCE,
    DEVIATION,
)
_BETTER: tuple[Literal["lower", "higher", ""], ...] = ("higher", "higher", "higher", "higher", "", "lower")


def effective_invariance(subject: Subject) -> Iterator[Measurement]:
    """Scores of predictions that need no labels: mean over validation samples and 4 random elements of the group that
    moves the test data of the task.

    On moved data: effective invariance, consistency (the same class), 1 - Jensen-Shannon divergence, confidence, and
    the equivariance error of the logits over their deviation; on data as they are, effective invariance.

    Raises: ValueError for a task whose test data are not moved, or a model that is no classifier.
    Source: Deng, Gould, Zheng, "On the Strong Correlation Between Model Invariance and Generalization", NeurIPS 2022.
    """
    group = moves_of_tests(subject.task)
    if group is None:
        raise ValueError(f"effective invariance needs test data that are moved; task {subject.task.name!r} moves none")
    model, action = twin(subject), Action(group, outputs=subject.task.output)
    turned = first(moved(subject.data, group, subject.seed), SAMPLES)
    scores = invariance_scores(model, turned, action, num_elements=ELEMENTS, seed=subject.seed)
    unmoved = invariance_scores(model, first(subject.data, SAMPLES), action, num_elements=ELEMENTS, seed=subject.seed)
    few = first(moved(subject.data, group, subject.seed), ERROR_SAMPLES)
    error = equivariance_error(
        model, few, action, num_elements=ELEMENTS, normalization="variance", seed=subject.seed
    ).mean
    values = (
        scores.mean,
        unmoved.mean,
        float(scores.consistent.mean()),
        float(scores.divergence.mean()),
        float(scores.confidence.mean()),
        error,
    )
    for name, value, better in zip(MEASURED, values, _BETTER, strict=True):
        yield Measurement(name, value, "1", group.name, subject.moment, subject.view, better)
