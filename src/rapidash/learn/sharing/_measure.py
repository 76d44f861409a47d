"""The finding of a search, beside what was planted: a measure of every run that asks for it."""

from collections.abc import Iterator

from jaxtyping import Int
from torch import Tensor

from rapidash.learn.sharing._ledger import known_sharing
from rapidash.learn.sharing._partitions import canonical_assignment, partition_distance
from rapidash.learn.sharing._task import SharedWeights
from rapidash.methods import Measurement, Subject

DISTANCE, RECOVERED, KNOWN, GRADIENT, FIRST = (
    "partition distance",
    "exact recovery",
    "symmetry of a known group",
    "largest gradient norm of the fits",
    "distance of the first sharing",
)


def measure_sharing(subject: Subject) -> Iterator[Measurement]:
    """After training: the mean partition distance of the trials, the share that is recovered exactly, the share with
    the symmetry of a known group, the largest gradient norm of the training loss where parameters were fitted, and the
    distance of the first trial, whose sharing stands in the place of the group, see `sharing_text`.
    """
    shared = next((part for part in subject.model.modules() if isinstance(part, SharedWeights)), None)
    if shared is None or subject.moment == "before":
        return
    pairs = list(zip(shared.assignment.cpu(), (planted.assignment for planted in shared.planted)))
    distances = [partition_distance(found, planted) for found, planted in pairs]
    known = [known_sharing(found, shared.case.known) is not None for found, _ in pairs]
    recovered = sum(distance == 0 for distance in distances)
    view = subject.view
    yield Measurement(DISTANCE, sum(distances) / len(pairs), "weights", view=view, better="lower")
    yield Measurement(RECOVERED, 100 * recovered / len(pairs), "%", view=view, better="higher")
    if shared.case.known:
        yield Measurement(KNOWN, 100 * sum(known) / len(pairs), "%", view=view)
    yield Measurement(GRADIENT, float(shared.gradient_norm.max()), "1", view=view, better="lower")
    text = sharing_text(pairs[0][0].reshape(shared.case.shape))
    yield Measurement(FIRST, distances[0], "weights", text, view=view, better="lower")


def sharing_text(assignment: Int[Tensor, "*S"]) -> str:
    """The parameter of each weight, rows apart: ``"012/201/120"``; with more than 10 parameters numbers apart."""
    rows = canonical_assignment(assignment).reshape(-1, assignment.shape[-1]).tolist()
    between = "" if max(map(max, rows)) < 10 else " "
    return "/".join(between.join(map(str, row)) for row in rows)
