"""Objectives: the loss and the score of a run, for supervised learning of a task or something else on the same loop."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from rapidash.data import Batch, Dataset
from rapidash.methods._average import OrbitAverage
from rapidash.methods._evaluate import evaluate
from rapidash.methods._method import Control
from rapidash.methods._task import Task
from rapidash.registry import OBJECTIVES, Registry

if TYPE_CHECKING:
    from rapidash.methods._variant import Variant


@dataclass(frozen=True)
class Step:
    """One training step of an objective.

    Args:
        loss: the scalar that is minimized.
        prediction: of the model for the batch, for methods; None where there is none.
        parts: scalars by name that the history shows; they are in the loss already.
    """

    loss: Tensor
    prediction: Any = None
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """The error by which validation selects, lower is better, and figures beside it by name."""

    error: float
    details: Mapping[str, float] = field(default_factory=dict)


class Objective(ABC):
    """The steps and the score of a run: a frozen dataclass, registered in `rapidash.registry.OBJECTIVES`."""

    registry: ClassVar[Registry[type["Objective"]]] = OBJECTIVES

    @property
    def kind(self) -> str:
        """The name under which the objective is registered."""
        return self.registry.name_of(type(self))

    def build(self, task: Task, variant: "Variant") -> nn.Module:
        """The model of the task, or one of the same kind with other outputs; weights as of `Task.build`."""
        return task.build(variant)

    def modify(self, model: nn.Module, task: Task) -> nn.Module:
        """The model to train, e.g. with a projection head; new weights come from torch's global generator."""
        return model

    def control(self, model: nn.Module, total_steps: int) -> Control | None:
        """The control of a run beside its steps: inner problems, averaged targets; None if the objective needs none."""
        return None

    @abstractmethod
    def step(self, model: nn.Module, task: Task, batch: Batch, rng: torch.Generator) -> Step:
        """The loss of a training batch; ``rng`` is a CPU generator of this step alone."""

    @abstractmethod
    def score(
        self,
        model: nn.Module,
        task: Task,
        data: Dataset,
        *,
        train: Dataset,
        batch_size: int,
        seed: int = 0,
        average: OrbitAverage | None = None,
    ) -> Score:
        """The score of the model on data, in eval mode; the model is left in the mode that it was in.

        Args:
            model, task: what is scored.
            data: validation or test data.
            train: the training data, e.g. for a probe.
            batch_size: samples at a time.
            seed: of random elements.
            average: of the predictions over a group; an objective without predictions raises ValueError.
        """

    def metric(self, task: Task) -> str:
        """The score in words."""
        return task.metric

    def unit(self, task: Task) -> str:
        """Unit of the score."""
        return task.unit


def refuse_average(average: OrbitAverage | None, because: str) -> None:
    """Raise ValueError for an average, where an objective has no predictions that could be averaged."""
    if average is not None:
        raise ValueError(f"{because}: leave out the average at test time")


@dataclass(frozen=True)
class Supervised(Objective):
    """The loss and the metric of the task."""

    def step(self, model: nn.Module, task: Task, batch: Batch, rng: torch.Generator) -> Step:
        """The task's loss of the prediction."""
        prediction = model(batch)
        return Step(task.loss(prediction, batch), prediction)

    def score(
        self,
        model: nn.Module,
        task: Task,
        data: Dataset,
        *,
        train: Dataset,
        batch_size: int,
        seed: int = 0,
        average: OrbitAverage | None = None,
    ) -> Score:
        """The mean of the task's metric, and the figures of a `DetailedTask`."""
        found = evaluate(model, task, data, batch_size=batch_size, seed=seed, average=average)
        return Score(found.mean, found.details)
