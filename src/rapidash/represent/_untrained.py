"""The control of every pre-training: the fresh encoder, which learns nothing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
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

    A step takes no pass of the encoder, so that the control costs nothing.

    Args: as of `Pretraining`.
    """

    def heads(self, task: "Task") -> nn.Module:
        """None."""
        return nn.Identity()

    def losses(self, model: PretrainingModel, first: SplitFeatures, second: SplitFeatures, batch: Batch) -> Step:
        """Zero."""
        return Step(0.0 * (first.both.mean() + second.both.mean()))

    def step(self, model: nn.Module, task: "Task", batch: Batch, rng: torch.Generator) -> Step:
        """Zero, which depends on a parameter."""
        return Step(0.0 * next(model.parameters()).sum())
