"""The base of pre-training objectives: two views of every sample, an encoder with heads, and probes as the score."""

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash._seed import seeded
from rapidash.data import Batch, Dataset
from rapidash.groups import MatrixGroup, parse_matrix_group
from rapidash.methods import Control, Objective, OrbitAverage, Score, Step, Variant, in_eval_mode, refuse_average
from rapidash.represent._features import FeatureConfig, SplitFeatures
from rapidash.represent._probes import linear_classifier
from rapidash.represent._views import halves, two_views, without_elements

if TYPE_CHECKING:
    from rapidash.methods import Task


class FeatureSizes(NamedTuple):
    """How many numbers per sample belong to each part: the features of an encoder, split."""

    invariant: int
    equivariant: int

    def split(self, features: Float[Tensor, "B F"]) -> SplitFeatures:
        """The parts of a row of features, the invariant part first."""
        return SplitFeatures(features[:, : self.invariant], features[:, self.invariant :])


class SplitEncoder(nn.Module):
    """An encoder whose features are split into an invariant part, which comes first, and an equivariant part.

    Args:
        encoder: from a batch to features (B, I + E): the model of a task with features in place of its output.
        invariant_dim: I, at least 1.
        equivariant_dim: E, at least 0.
    Raises: ValueError for sizes outside the above; in use for features of another shape.
    """

    def __init__(self, encoder: nn.Module, invariant_dim: int, equivariant_dim: int) -> None:
        super().__init__()
        if invariant_dim < 1 or equivariant_dim < 0:
            raise ValueError(
                f"an encoder needs invariant_dim >= 1 and equivariant_dim >= 0, got {invariant_dim}, {equivariant_dim}"
            )
        self.encoder, self.sizes = encoder, FeatureSizes(invariant_dim, equivariant_dim)

    def features(self, batch: Batch) -> SplitFeatures:
        """Both parts, one row per sample."""
        found = self.encoder(without_elements(batch))
        expected = (batch.num_samples, sum(self.sizes))
        if not isinstance(found, Tensor) or tuple(found.shape) != expected:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(
                f"the encoder gives {shape}, expected features {expected}: pre-train on a task whose model hands on "
                "what its network says of a sample, such as a classification"
            )
        return self.sizes.split(found)

    def forward(self, batch: Batch) -> SplitFeatures:
        """As `features`."""
        return self.features(batch)

    def calibrate(self, batch: Batch) -> None:
        """Calibrate the encoder, where it wants to."""
        if callable(calibrate := getattr(self.encoder, "calibrate", None)):
            calibrate(without_elements(batch))


class PretrainingModel(SplitEncoder):
    """A `SplitEncoder` with the heads of an objective, which are of no use after pre-training.

    Called with a batch it gives the invariant part, which is its prediction as far as methods and measures go.

    Args:
        encoder, invariant_dim, equivariant_dim: as of `SplitEncoder`.
        heads: what the objective puts behind the features.
        group: whose elements make its views.
    """

    def __init__(
        self, encoder: nn.Module, invariant_dim: int, equivariant_dim: int, heads: nn.Module, group: MatrixGroup
    ) -> None:
        super().__init__(encoder, invariant_dim, equivariant_dim)
        self.heads, self.group = heads, group

    def forward(self, batch: Batch) -> Float[Tensor, "B I"]:  # type: ignore[override]
        """The invariant part."""
        return self.features(batch).invariant


@dataclass(frozen=True)
class Pretraining(Objective):
    """Base of objectives that learn features from two views of every sample, without labels.

    A run goes through the common loop: it resumes, and validations select the weights. An objective adds `heads` and
    `losses`, and may draw other `views`. The model of the task gets features in place of its output; its weights keep
    their names, so a task can be fine-tuned from them, see `start_from`.

    The score is what a linear classifier of frozen features, fitted to the training data by `linear_classifier`, leaves
    unexplained of the classes, in per cent of what a constant leaves; of the invariant part alone. It goes on falling
    where no sample is named wrongly any more. Beside it stand the error rates of both parts, that of the most frequent
    class, and the loss of fixed pairs. With ``select="loss"`` that loss selects and no label is used.

    Args:
        invariant_dim: features of the invariant part, at least 1.
        equivariant_dim: features of the equivariant part, at least 0.
        has_vectors: the equivariant part are vectors of space, which the network turns with the cloud where its layers
            do; ``equivariant_dim`` is then a multiple of D.
        group: whose elements make the views; name, see `rapidash.groups.parse_matrix_group`.
        label: the field with the class, for probes.
        select: ``"probe"`` or ``"loss"``.
    Raises: ValueError for values outside the above; in use for data without that field, or too few of them.
    """

    invariant_dim: int = 64
    equivariant_dim: int = 0
    has_vectors: bool = False
    group: str = "SO(3)"
    label: str = "label"
    select: str = field(default="probe")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.invariant_dim < 1 or self.equivariant_dim < 0:
            raise ValueError(
                "invariant_dim must be at least 1 and equivariant_dim at least 0, got "
                f"{self.invariant_dim} and {self.equivariant_dim}"
            )
        if self.select not in ("probe", "loss"):
            raise ValueError(f"select must be 'probe' or 'loss', got {self.select!r}")
        parse_matrix_group(self.group)

    @property
    def views_group(self) -> MatrixGroup:
        """The group whose elements make the views."""
        return parse_matrix_group(self.group)

    @abstractmethod
    def heads(self, task: "Task") -> nn.Module:
        """The parts behind the features in training; new weights from torch's global generator."""

    @abstractmethod
    def losses(self, model: PretrainingModel, first: SplitFeatures, second: SplitFeatures, batch: Batch) -> Step:
        """The loss of pairs, with its parts.

        Args:
            model: its ``heads`` are those of this objective.
            first, second: features of the views, row by row of one sample.
            batch: of all views, those of the first half first; see `relative_elements`.
        """

    def views(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Two views of every sample, all first ones before all second ones: by default moved by the group."""
        return two_views(batch, self.views_group, rng)

    def build(self, task: "Task", variant: Variant) -> nn.Module:
        """The model of the task with features in place of its output.

        Raises: ValueError for vectors whose number of components is no multiple of D, or a network without vectors.
        """
        scalars, vectors = self.invariant_dim + self.equivariant_dim, 0
        if self.has_vectors:
            if task.dim == 0 or self.equivariant_dim % task.dim or not self.equivariant_dim:
                raise ValueError(
                    f"has_vectors needs an equivariant_dim that is a multiple of {task.dim or 'D'}, the dimension of "
                    f"space, got {self.equivariant_dim} for the task {task.name!r}"
                )
            scalars, vectors = self.invariant_dim, self.equivariant_dim // task.dim
        if task.output.level != "cloud":
            raise ValueError(
                f"the task {task.name!r} asks for values of points: pre-train on one that asks for a row per sample"
            )
        return task.build(replace(variant, objective=None, model=FeatureConfig(variant.model, scalars, vectors)))

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The encoder and the heads."""
        return PretrainingModel(model, self.invariant_dim, self.equivariant_dim, self.heads(task), self.views_group)

    def control(self, model: nn.Module, total_steps: int) -> Control:
        """Draws the views of every step."""
        return _ViewControl(self)

    def step(self, model: nn.Module, task: "Task", batch: Batch, rng: torch.Generator) -> Step:
        """The loss of a batch of views. Raises: ValueError for an odd number of them."""
        assert isinstance(model, PretrainingModel)
        features = model.features(batch)
        pairs = [SplitFeatures(*parts) for parts in zip(*(halves(part) for part in features))]
        found = self.losses(model, pairs[0], pairs[1], batch)
        return Step(found.loss, features.invariant, found.parts)

    def score(
        self,
        model: nn.Module,
        task: "Task",
        data: Dataset,
        *,
        train: Dataset,
        batch_size: int,
        seed: int = 0,
        average: OrbitAverage | None = None,
    ) -> Score:
        """The figures that probes read off frozen features of data, and the loss of fixed pairs of them."""
        refuse_average(average, "features have no average over a group")
        assert isinstance(model, PretrainingModel)
        loss = self._loss(model, task, data, batch_size)
        details: dict[str, float] = {}
        if self.select == "probe":
            known, found = (encoded(model, part, batch_size) for part in (train, data))
            labels = [self._labels(part) for part in (train, data)]
            probe = linear_classifier((known.invariant, labels[0]), (found.invariant, labels[1]))
            details |= {INVARIANT_ERROR: 100 * (1 - probe.score), CONSTANT_ERROR: 100 * (1 - probe.constant)}
            if self.equivariant_dim:
                other = linear_classifier((known.equivariant, labels[0]), (found.equivariant, labels[1]))
                details[EQUIVARIANT_ERROR] = 100 * (1 - other.score)
            return Score(100 * probe.unexplained, {**details, PAIR_LOSS: loss})
        return Score(loss, details)

    def metric(self, task: "Task") -> str:
        """The score that selects."""
        return UNEXPLAINED if self.select == "probe" else PAIR_LOSS

    def unit(self, task: "Task") -> str:
        """Per cent, or none."""
        return "%" if self.select == "probe" else "1"

    def _labels(self, data: Dataset) -> Int[Tensor, " B"]:
        if self.label not in data.tensors:
            raise ValueError(
                f"the data have no field {self.label!r} for the probe of classes, they have {sorted(data.tensors)}: "
                "name another label, or select='loss'"
            )
        return data.tensors[self.label].cpu()

    def _loss(self, model: PretrainingModel, task: "Task", data: Dataset, batch_size: int) -> float:
        """The loss of pairs that are always the same, mean over the batches; single samples are left out."""
        total, count = 0.0, 0
        like = next(model.parameters())
        with in_eval_mode(model), torch.no_grad():
            for number, indices in enumerate(torch.arange(len(data)).split(batch_size)):
                if len(indices) < 2 and len(data) > 1:  # of which there is no variance
                    continue
                rng = seeded("pre-training", "pairs", number)
                batch = self.views(data.batch(indices), rng).to(like.device, like.dtype)
                total += float(self.step(model, task, batch, rng).loss) * len(indices)
                count += len(indices)
        if not count:
            raise ValueError(f"pairs of validation need batches of at least 2 samples, got batch_size={batch_size}")
        return total / count


CONSTANT_ERROR = "classes, error rate of the most frequent one (%)"
INVARIANT_ERROR = "classes, error rate from the invariant part (%)"
UNEXPLAINED = "classes, unexplained by a linear probe of the invariant part"
EQUIVARIANT_ERROR = "classes, error rate from the equivariant part (%)"
PAIR_LOSS = "loss of fixed pairs"


class _ViewControl(Control):
    """Takes two views of every sample of a training batch."""

    def __init__(self, objective: Pretraining) -> None:
        self.objective = objective

    def batch(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Both views."""
        return self.objective.views(batch, rng)


def encoded(model: SplitEncoder, data: Dataset, batch_size: int) -> SplitFeatures:
    """Features of all samples as they are, in their order, in eval mode, on the CPU; the model is left as it was."""
    like: Any = next(model.parameters())
    with in_eval_mode(model), torch.no_grad():
        parts = [
            model.features(data.batch(indices).to(like.device, like.dtype))
            for indices in torch.arange(len(data)).split(batch_size)
        ]
    return SplitFeatures(*(torch.cat(part).cpu() for part in zip(*parts)))
