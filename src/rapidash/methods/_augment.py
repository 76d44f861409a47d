"""Augmentation: every training sample is moved by its own random element of a group."""

from dataclasses import dataclass

import torch
from torch import nn

from rapidash._plain import check_fields
from rapidash.data import Batch
from rapidash.groups import MatrixGroup, parse_matrix_group
from rapidash.methods._method import Control, Method


@dataclass(frozen=True)
class Augment(Method):
    """Moves every training sample, inputs and targets, by its own random element of a group.

    Args:
        group: name of the group, e.g. ``"SO(3)"``, ``"C4 x C4"``.
    Raises: ValueError for an unknown group.
    """

    group: str

    def __post_init__(self) -> None:
        check_fields(self)
        parse_matrix_group(self.group)

    def control(self, model: nn.Module, total_steps: int) -> Control:
        """Moves the batches."""
        return AugmentControl(parse_matrix_group(self.group))


class AugmentControl(Control):
    """Moves the samples of every training batch by random elements of a group."""

    def __init__(self, group: MatrixGroup) -> None:
        self.group = group

    def batch(self, batch: Batch, rng: torch.Generator) -> Batch:
        """The batch with every sample moved by its own element."""
        return batch.transform(self.group.sample(batch.num_samples, generator=rng))
