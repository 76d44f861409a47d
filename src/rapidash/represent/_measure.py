"""The measure of pre-trained features: what their parts know of class and motion, and whether W(g) predicts views."""

import copy
from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Dataset
from rapidash.methods import Measurement, Subject
from rapidash.represent._features import SplitFeatures
from rapidash.represent._pretraining import PretrainingModel, encoded
from rapidash.represent._probes import Probe, linear_classifier, mlp_regression
from rapidash.represent._representation import element_code, homomorphism_error
from rapidash.represent._retrieval import Retrieval, retrieval
from rapidash.represent._sie import SieHeads
from rapidash.represent._views import moved_views

CLASS, MOTION = "class accuracy", "R2 of the motion between views"
INVARIANT, EQUIVARIANT, CONSTANT = "invariant part", "equivariant part", "constant"
MRR, HIT, CHANCE_MRR = "mean reciprocal rank", "hit at 1", "mean reciprocal rank, chance"
HOMOMORPHISM = "homomorphism error"
NUM_VIEWS = 50  # of an object, the first of which is where predictions start
_OBJECTS = 40
_BATCH = 256

Better = Literal["lower", "higher", ""]


def figure_of(name: str, part: str) -> str:
    """The name of a figure of one part of the features."""
    return f"{name}, {part}"


def measure_representation(subject: Subject) -> Iterator[Measurement]:
    """Probes of frozen features, after training and on test data, of a model that an objective pre-trained; nothing of
    others, and nothing before training: the arm ``untrained`` has those of random weights.

    Probes are fitted to training data: a linear classifier of the class on each part (`linear_classifier`), where the
    data have a ``label``, and a perceptron (`mlp_regression`) from both views of a pair to the entries of the motion
    between them, in the frame of the world, with the mean of R^2 over the entries that vary. Beside them stands the
    constant. Where the equivariant part has a map W(g): for 40 objects in 50 views each, the view that W predicts from
    the first view is looked for among the other 49 (`retrieval`), and `homomorphism_error`.
    """
    model = subject.model
    if not isinstance(model, PretrainingModel) or subject.moment == "before":
        return
    with torch.no_grad():
        made = list(_measured(subject, copy.deepcopy(model).eval()))
    yield from made


def _measured(subject: Subject, model: PretrainingModel) -> Iterator[Measurement]:
    def figure(name: str, value: float, better: Better = "higher") -> Measurement:
        return Measurement(name, value, moment=subject.moment, view=subject.view, better=better)

    train, test = (subject.task.dataset(split) for split in ("train", "test"))
    parts = [INVARIANT, EQUIVARIANT] if model.sizes.equivariant else [INVARIANT]
    if "label" in train.tensors:
        for part, probe in zip(parts, _class_probes(model, train, test)):
            yield figure(figure_of(CLASS, part), probe.score)
        yield figure(figure_of(CLASS, CONSTANT), probe.constant, "")
    for part, probe in zip(parts, _motion_probes(model, train, test, subject.seed)):
        yield figure(figure_of(MOTION, part), probe.score, "higher" if part == EQUIVARIANT else "")
    yield figure(figure_of(MOTION, CONSTANT), probe.constant, "")
    heads = model.heads
    if isinstance(heads, SieHeads) and heads.representation is not None:
        found = retrieved(model, test, seeded(subject.seed, "retrieval"))
        yield figure(MRR, found.mrr)
        yield figure(HIT, found.hits[1])
        yield figure(CHANCE_MRR, found.chance_mrr, "")
        error = homomorphism_error(heads.representation, seeded(subject.seed, "homomorphism"))
        yield figure(HOMOMORPHISM, error, "lower")


def _class_probes(model: PretrainingModel, train: Dataset, test: Dataset) -> Iterator[Probe]:
    known, found = (encoded(model, data, _BATCH) for data in (train, test))
    labels = [data.tensors["label"].cpu() for data in (train, test)]
    for one, other in zip(_parts(known), _parts(found)):
        yield linear_classifier((one, labels[0]), (other, labels[1]))


def _motion_probes(model: PretrainingModel, train: Dataset, test: Dataset, seed: int) -> Iterator[Probe]:
    """From the features of both views to the motion between them, for each part."""
    pairs = [_pairs(model, data, seeded(seed, "motion", split)) for data, split in ((train, "train"), (test, "test"))]
    varies = (pairs[0][1].std(dim=0) > 1e-6) & (pairs[1][1].std(dim=0) > 1e-6)
    for known, found in zip(pairs[0][0], pairs[1][0]):
        yield mlp_regression((known, pairs[0][1][:, varies]), (found, pairs[1][1][:, varies]), seed=seed)


def _pairs(
    model: PretrainingModel, data: Dataset, rng: torch.Generator
) -> tuple[list[Float[Tensor, "B F2"]], Float[Tensor, "B T"]]:
    """For each part the features of both views of every sample side by side, and the motion between them."""
    elements = [model.group.sample(len(data), generator=rng) for _ in range(2)]
    found = [_encoded_views(model, data, torch.arange(len(data)), g) for g in elements]
    sides = [torch.cat(parts, dim=1) for parts in zip(*(_parts(features) for features in found))]
    return sides, element_code(model.group, elements[1] @ model.group.inverse(elements[0]))


def _parts(features: SplitFeatures) -> list[Tensor]:
    """Those that have features."""
    return [part for part in features if part.shape[1]]


def _encoded_views(model: PretrainingModel, data: Dataset, indices: Tensor, g: Float[Tensor, "B n n"]) -> SplitFeatures:
    """The features of samples moved by elements."""
    like = next(model.parameters())
    made = []
    for chosen, elements in zip(indices.split(_BATCH), g.split(_BATCH)):
        made.append(model.features(moved_views(data.batch(chosen), elements).to(like.device, like.dtype)))
    return SplitFeatures(*(torch.cat(part).cpu() for part in zip(*made)))


def retrieved(model: PretrainingModel, data: Dataset, rng: torch.Generator) -> Retrieval:
    """Views of the first objects of a data set, predicted from another view of the same object, see `retrieval`.

    Raises: ValueError for a model without a map W(g).
    """
    heads = model.heads
    if not isinstance(heads, SieHeads) or heads.representation is None:
        raise ValueError("views are predicted by a map W(g): the model has no equivariant part with one")
    objects = min(_OBJECTS, len(data))
    g = model.group.sample(objects * NUM_VIEWS, generator=rng)
    indices = torch.arange(objects).repeat_interleave(NUM_VIEWS)
    features = _encoded_views(model, data, indices, g)
    like = next(model.parameters())
    v = heads(SplitFeatures(*(part.to(like) for part in features))).equivariant
    v, elements = v.unflatten(0, (objects, NUM_VIEWS)), g.to(like).unflatten(0, (objects, NUM_VIEWS))
    others = NUM_VIEWS - 1
    first = elements[:, :1].expand(-1, others, -1, -1).flatten(0, 1)
    predicted = heads.predicted(v[:, :1].expand(-1, others, -1).flatten(0, 1), first, elements[:, 1:].flatten(0, 1))
    bank = v[:, 1:].repeat_interleave(others, dim=0)
    return retrieval(predicted.cpu(), bank.cpu(), torch.arange(others).repeat(objects))
