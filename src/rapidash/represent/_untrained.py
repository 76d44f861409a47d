"""The control of every pre-training: the fresh encoder, which learns nothing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from rapidash.data import Batch
from rapidash.methods import Step
from rapidash.represent._features import SplitFeatures
from rapidash.represent._pretraining import Pretraining, PretrainingModel

if TYPE_CHECKING:
    from rapidash.methods import Task


@dataclass(frozen=True)
class Untrained(Pretraining):
    """Features of random weights: the loss is zero, and so is every gradient. Train it with ``weight_decay=0``.

    Args: as of `Pretraining`.
    """

    def heads(self, task: "Task") -> nn.Module:
        """None."""
        return nn.Identity()

    def losses(self, model: PretrainingModel, first: SplitFeatures, second: SplitFeatures, batch: Batch) -> Step:
        """Zero."""
        return Step(0.0 * (first.both.mean() + second.both.mean()))
