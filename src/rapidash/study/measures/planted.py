"""The outputs of methods that are asked which turns about an axis labels stand, and what each says by its rule."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, CloudDataset
from rapidash.groups import SO2, AxisRotations, Group, MatrixGroup
from rapidash.learn import GroupHistogram, LearnedWidths
from rapidash.learn.sharing import ExactSearch, discover_sharing
from rapidash.measure import (
    Action,
    equivariance_error,
    invariance_scores,
    local_equivariance_error,
    symmetry_breaking_score,
    task_symmetry_breaking,
)
from rapidash.methods import FULL, Measurement, Subject
from rapidash.models import Rapidash
from rapidash.relax import relaxation, relaxed_layers
from rapidash.study.measures import sayings
from rapidash.study.measures._on_validation import first, twin
from rapidash.study.measures._ring import RingProblem, cyclic_order, ring_features
from rapidash.study.measures._ring_search import searched_order
from rapidash.study.measures.sayings import Saying
from rapidash.symmetry import Symmetrized

SAMPLES, ELEMENTS = 200, 16
DATA, TASK = "data score", "task score"
ERROR, SLOPE, INVARIANCE = "equivariance error", "Lie derivative", "effective invariance"
CONSISTENCY = "consistency by angle"
SHARING, SUBGROUPS = "shared weights", "subgroup search"
WIDTH, UNPENALIZED, HISTOGRAM = "Augerino", "Augerino, no penalty", "histogram"
GATE, PROJECTION = "ACE, gates", "ACE, error and gap"
MEASURES_OF_NETWORK = (ERROR, SLOPE, INVARIANCE, CONSISTENCY)
ASKED = (DATA, TASK, *MEASURES_OF_NETWORK, SHARING, SUBGROUPS, WIDTH, UNPENALIZED, HISTOGRAM, GATE, PROJECTION)
"""Methods in the order of the table."""
_SAYS = " says "
_PLANES = {"x": (1, 2), "z": (0, 1)}
_DIRECTIONS = {"x": (1.0, 0.0, 0.0), "z": (0.0, 0.0, 1.0)}


@dataclass(frozen=True)
class Told:
    """The saying of one method about one axis, with the figures that its rule reads, by name."""

    method: str
    axis: str
    saying: Saying
    figures: Mapping[str, float] = field(default_factory=dict)


def axes_asked(task: object) -> tuple[str, ...]:
    """The axes about which methods are asked: z where the task knows the truth, else z and x."""
    return ("z",) if hasattr(task, "truth") else ("z", "x")


def planted_sayings(subject: Subject) -> Iterator[Measurement]:
    """After training, what the method of the variant says about the turns about z that labels stand, and why.

    A network without a method is asked by six measures: the scores of data and task on the training data, the last of
    them on the projection along the axis; on 200 validation samples the equivariance error and effective invariance
    over 16 random turns, the Lie derivative, and the consistency of its predictions at turns of 15, 30, ... degrees.
    One that ACE has relaxed by its gates, and by what they and the branches do. The rules are those of
    `rapidash.study.measures.sayings`. A task that does not state a truth is asked about x too.

    Raises: ValueError for a task whose data are no clouds in three dimensions with labels.
    """
    if subject.moment == "before" or subject.view != FULL:
        return
    if subject.task.dim != 3 or not isinstance(subject.data, CloudDataset) or "label" not in subject.data.fields:
        raise ValueError(
            f"the planted question needs clouds in three dimensions with labels; task {subject.task.name!r} has others"
        )
    for told in _answers(subject):
        yield from written(told, subject)


def written(told: Told, subject: Subject) -> Iterator[Measurement]:
    """An answer as figures of a record: those of its rule, and one whose name has the words of the saying."""
    group = about(told.axis).name
    for name, value in told.figures.items():
        yield Measurement(f"{told.method}: {name}", value, "1", group, subject.moment, subject.view)
    value = told.saying.amount or 1.0
    yield Measurement(f"{told.method}{_SAYS}{told.saying.words}", value, "1", group, subject.moment, subject.view)


def read(name: str, value: float) -> tuple[str, Saying] | None:
    """The method and its saying from the name and value of a figure; None for a figure that is no saying."""
    method, found, words = name.partition(_SAYS)
    if not found or words not in sayings.WORDS:
        return None
    return method, Saying(words, value if words in sayings.WITH_AMOUNT else 0.0)


def about(axis: str) -> Group:
    """The turns about an axis through the origin."""
    return SO2(axis).without_translations()


def _answers(subject: Subject) -> Iterator[Told]:
    model, batch = twin(subject), first(subject.data, len(subject.data))
    rates = error_rate(model, subject, batch), constant_error(batch["label"])
    laws = [part.distribution for part in model.modules() if isinstance(part, Symmetrized)]
    if relaxed_layers(model):
        yield from _of_relaxed(model, subject, batch, rates)
    elif laws:
        yield _of_law(laws[0], rates)
    else:
        for axis in axes_asked(subject.task):
            yield from _of_data(subject, axis)
            yield from _of_network(model, subject, axis, rates)
            yield from _of_ring(subject, axis)


def _of_data(subject: Subject, axis: str) -> Iterator[Told]:
    """The scores that need no network."""
    data = subject.task.dataset("train")
    assert isinstance(data, CloudDataset)
    clouds = CloudDataset({"pos": data.tensors["pos"]}, {"pos": data.fields["pos"]}, data.num_points)
    of_data = symmetry_breaking_score(clouds, about(axis), seed=subject.seed)
    figures = {"accuracy": of_data.accuracy, "p": of_data.p_value}
    yield Told(DATA, axis, sayings.from_p_value(of_data.p_value), figures)
    flat = data.tensors["pos"][:, _PLANES[axis]].reshape(len(data), -1, 2)
    of_task = task_symmetry_breaking(flat, data.tensors["label"], seed=subject.seed)
    yield Told(TASK, axis, sayings.from_p_value(of_task.p_value), {"ratio": of_task.ratio, "p": of_task.p_value})


def _of_network(model: nn.Module, subject: Subject, axis: str, rates: tuple[float, float]) -> Iterator[Told]:
    """The measures of a trained network."""
    action, batch = Action(about(axis), outputs=subject.task.output), first(subject.data, SAMPLES)
    error = turning_error(model, subject, axis)
    yield Told(ERROR, axis, sayings.from_error(error, *rates), {"over spread": error, "error rate": rates[0]})
    slope = local_equivariance_error(model, batch, action, relative=True).total()
    yield Told(SLOPE, axis, sayings.from_slope(slope, *rates), {"over spread, per radian": slope})
    scores = invariance_scores(model, batch, action, num_elements=ELEMENTS, seed=subject.seed)
    sure = float(scores.confidence.mean())
    said = sayings.from_invariance(scores.mean, sure, *rates)
    yield Told(INVARIANCE, axis, said, {"mean": scores.mean, "confidence": sure})
    kept = consistency_by_angle(model, subject, axis)
    figures = {f"{angle} degrees": share for angle, share in kept.items() if angle in (15, 45, 90, 180)}
    yield Told(CONSISTENCY, axis, sayings.from_consistency(kept, *rates), figures)


def _of_ring(subject: Subject, axis: str) -> Iterator[Told]:
    """The searches on signals of angular bins, of which a turn by a bin is a shift."""
    train, val = subject.task.dataset("train"), subject.data
    assert isinstance(train, CloudDataset)
    assert isinstance(val, CloudDataset)
    labels = train.tensors["label"], val.tensors["label"]
    num = 1 + max(int(label.max()) for label in labels)
    given = ring_features(train, axis), labels[0], ring_features(val, axis), labels[1], num
    constant = constant_error(labels[1])
    problem = RingProblem(*given)
    shared = discover_sharing(problem, ExactSearch(), generator=seeded("shared weights", subject.seed)).assignment
    order, rate = cyclic_order(shared), problem.error_rate(shared)
    figures = {"order": float(order), "parameters": 1.0 + int(shared.max()), "error rate": rate}
    yield Told(SHARING, axis, sayings.from_ring(order, rate, constant), figures)
    order, rate = searched_order(*given, subject.seed)
    figures = {"order": float(order), "error rate": rate}
    yield Told(SUBGROUPS, axis, sayings.from_ring(order, rate, constant), figures)


def _of_law(law: object, rates: tuple[float, float]) -> Told:
    """A learned range of turns.

    Raises: ValueError for another law, or turns about another axis than x or z.
    """
    if isinstance(law, LearnedWidths):
        degrees = math.degrees(float(law.width.detach().max()))
        method = WIDTH if law.weight else UNPENALIZED
        figures = {"half-width (degrees)": degrees, "error rate": rates[0]}
        return Told(method, _axis_of(law.group), sayings.from_width(degrees, *rates), figures)
    if isinstance(law, GroupHistogram):
        angles = law.parameters_of_bins.rad2deg().round().long() % 360
        shares = dict(zip(angles.tolist(), law.shares.detach().tolist(), strict=True))
        figures = {f"share of {angle} degrees": shares[angle] for angle in (0, 15, 45, 90, 180) if angle in shares}
        said = sayings.from_histogram(shares, *rates)
        return Told(HISTOGRAM, _axis_of(law.group), said, {**figures, "error rate": rates[0]})
    raise ValueError(f"the planted question is put to learned half-widths and histograms, got {type(law).__name__}")


def _of_relaxed(model: nn.Module, subject: Subject, batch: Batch, rates: tuple[float, float]) -> Iterator[Told]:
    """The gates, and what the free branches do."""
    networks = [part for part in model.modules() if isinstance(part, Rapidash)]
    if not networks:
        raise ValueError("of relaxed networks the planted question is put to those of kind 'rapidash'")
    axis = _axis_of(networks[0].symmetry)
    gate = max(float(layer.gate.detach().abs()) for layer in relaxed_layers(model))
    yield Told(GATE, axis, sayings.from_gate(gate, *rates), {"largest gate": gate, "error rate": rates[0]})
    error = turning_error(model, subject, axis)
    with relaxation(model, on=False):
        projected = error_rate(model, subject, batch)
    said = sayings.from_projection(error, rates[0], projected, rates[1])
    yield Told(PROJECTION, axis, said, {"equivariance error": error, "error rate without branches": projected})


def turning_error(model: nn.Module, subject: Subject, axis: str) -> float:
    """The equivariance error over 16 random turns, over the spread of the logits."""
    action, batch = Action(about(axis), outputs=subject.task.output), first(subject.data, SAMPLES)
    return equivariance_error(
        model, batch, action, num_elements=ELEMENTS, normalization="variance", seed=subject.seed
    ).mean


def consistency_by_angle(model: nn.Module, subject: Subject, axis: str) -> dict[int, float]:
    """By angle in degrees, the share of samples whose prediction a turn by it leaves."""
    angles = range(sayings.STEP, 360, sayings.STEP)
    elements = about(axis).exponential(torch.tensor(angles, dtype=torch.float64)[:, None].deg2rad())
    action, batch = Action(about(axis), outputs=subject.task.output), first(subject.data, SAMPLES)
    kept = invariance_scores(model, batch, action, elements=elements).consistent.mean(dim=1)
    return dict(zip(angles, kept.tolist(), strict=True))


def error_rate(model: nn.Module, subject: Subject, batch: Batch) -> float:
    """Of a network on some samples, percent."""
    with torch.no_grad():
        return float(subject.task.errors(model(batch), batch).mean())


def constant_error(label: Tensor) -> float:
    """Of always the most frequent label, percent."""
    return 100 * (1 - float(label.bincount().max()) / len(label))


def _axis_of(group: MatrixGroup) -> str:
    """The axis of a group of turns.

    Raises: ValueError for another group.
    """
    linear = group.linear if isinstance(group, Group) else None
    for axis, direction in _DIRECTIONS.items():
        if isinstance(linear, AxisRotations) and linear.axis == direction:
            return axis
    raise ValueError(f"the planted question is about turns about x or z, got {group.name}")
