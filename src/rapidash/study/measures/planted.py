"""The outputs of methods that are asked which turns about an axis labels stand, and what each says by its rule."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from rapidash.data import Batch, CloudDataset
from rapidash.groups import SO2, AxisRotations, Group
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
from rapidash.study.measures.sayings import Saying

SAMPLES, ELEMENTS = 200, 16
DATA, TASK = "data score", "task score"
ERROR, SLOPE, INVARIANCE = "equivariance error", "Lie derivative", "effective invariance"
CONSISTENCY = "consistency by angle"
GATE, PROJECTION = "ACE, gates", "ACE, error and gap"
ASKED = (DATA, TASK, ERROR, SLOPE, INVARIANCE, CONSISTENCY, GATE, PROJECTION)
"""Methods in the order of the table."""
_SAYS = " says "
_PLANES = {"x": (1, 2), "z": (0, 1)}
_DIRECTIONS = {"x": (1.0, 0.0, 0.0), "z": (0.0, 0.0, 1.0)}


@dataclass(frozen=True)
class Told:
    """What one method says about one axis, with the figures that its rule reads, by name."""

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
    yield Measurement(
        f"{told.method}{_SAYS}{told.saying.words}", value, "1", group, subject.moment, subject.view
    )


def read(name: str, value: float) -> tuple[str, Saying] | None:
    """The method and its saying from the name and value of a figure; None for a figure that is no saying."""
    method, found, words = name.partition(_SAYS)
    if not found or words not in sayings.WORDS:
        return None
    plain = Saying("cannot tell") if words == "cannot tell" else None
    has_amount = words in ("turns up to", "steps", "at least steps")
    return method, plain or Saying(words, value if has_amount else 0.0)  # type: ignore[arg-type]


def about(axis: str) -> Group:
    """The turns about an axis through the origin."""
    return SO2(axis).without_translations()


def _answers(subject: Subject) -> Iterator[Told]:
    model, batch = twin(subject), first(subject.data, len(subject.data))
    rates = error_rate(model, subject, batch), constant_error(batch["label"])
    if relaxed_layers(model):
        yield from _of_relaxed(model, subject, batch, rates)
    else:
        for axis in axes_asked(subject.task):
            yield from _of_data(subject, axis)
            yield from _of_network(model, subject, axis, rates)


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


def _of_relaxed(model: nn.Module, subject: Subject, batch: Batch, rates: tuple[float, float]) -> Iterator[Told]:
    """The gates, and what the free branches do."""
    axis = _axis_of(model)
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


def _axis_of(model: nn.Module) -> str:
    """The axis of the turns that the layers of a Rapidash network keep.

    Raises: ValueError for layers of another symmetry.
    """
    for layers in (part.symmetry.linear for part in model.modules() if isinstance(part, Rapidash)):
        for axis in _PLANES:
            if isinstance(layers, AxisRotations) and layers.axis == _DIRECTIONS[axis]:
                return axis
        raise ValueError(f"the planted question is about x or z: layers need SO2(x) or SO2(z), got {layers}")
    raise ValueError("the planted question is put to relaxed networks of kind 'rapidash'")
