"""Contrastive pre-training: the two views of a cloud are told from those of all others, under chosen augmentations."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from rapidash.data import Batch, CloudBatch
from rapidash.methods import Step, Variant
from rapidash.represent._concatenated import ConcatenatedEncoder
from rapidash.represent._features import SplitFeatures
from rapidash.represent._info_nce import info_nce
from rapidash.represent._pretraining import Pretraining, PretrainingModel
from rapidash.represent._transforms import APPEARANCE, POSE, augmented, check_transforms
from rapidash.represent._views import halves

if TYPE_CHECKING:
    from rapidash.methods import Task


@dataclass(frozen=True)
class ContrastivePretraining(Pretraining):
    """`info_nce` of two views of every cloud, each augmented by its own draw, behind a projector of two layers.

    A network need not know what the augmentations change: they say to what the features become invariant, and what a
    later task cannot read off them.

    Args:
        augmentations: names in `TRANSFORMS`, one after another; at least one.
        temperature: of `info_nce`, above 0.
        hidden_dim, projected_dim: of the projector, at least 1.
    Raises: ValueError for values outside the above, and as `Pretraining`; in use for data that are no clouds in three
        dimensions, or a batch of one.
    Source: Ericsson, Gouk, Hospedales, "Why Do Self-Supervised Models Transfer?", BMVC 2022; without its queue of
        negatives and its averaged target: the negatives are those of the batch.
    """

    augmentations: tuple[str, ...] = (*POSE, *APPEARANCE)
    temperature: float = 0.2
    hidden_dim: int = 64
    projected_dim: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_transforms(self.augmentations)
        if not self.augmentations:
            raise ValueError("augmentations is empty: the two views of a cloud would be the same")
        if not 0 < self.temperature < math.inf or min(self.hidden_dim, self.projected_dim) < 1:
            raise ValueError(
                "temperature must be positive, hidden_dim and projected_dim at least 1, got "
                f"{self.temperature}, {self.hidden_dim}, {self.projected_dim}"
            )

    def heads(self, task: "Task") -> nn.Module:
        """The projector."""
        features = self.invariant_dim + self.equivariant_dim
        return nn.Sequential(
            nn.Linear(features, self.hidden_dim), nn.ReLU(), nn.Linear(self.hidden_dim, self.projected_dim)
        )

    def views(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Two augmented copies of every cloud."""
        return _two_augmented(batch, self.augmentations, rng)

    def losses(self, model: PretrainingModel, first: SplitFeatures, second: SplitFeatures, batch: Batch) -> Step:
        """The contrastive loss of pairs."""
        return Step(info_nce(model.heads(first.both), model.heads(second.both), temperature=self.temperature))


@dataclass(frozen=True)
class ConcatenatedPretraining(ContrastivePretraining):
    """Several encoders, each with augmentations and a projector of its own, whose features stand side by side.

    They share no weight and the losses are added, so that each is trained as if it were alone, but for the clip of the
    gradient, which sees all of them, and the selection by validation, which is one.

    Args:
        augmentations: those of the first encoder.
        further: those of each further encoder, at least one.
        invariant_dim: features of each encoder; equivariant_dim is 0.
        temperature, hidden_dim, projected_dim: of each, as of `ContrastivePretraining`.
    Raises: ValueError for values outside the above.
    """

    further: tuple[tuple[str, ...], ...] = (APPEARANCE,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.further or self.equivariant_dim:
            raise ValueError(
                "concatenated encoders are two or more with invariant features: give further augmentations and "
                f"equivariant_dim=0, got {self.further} and {self.equivariant_dim}"
            )
        for names in self.further:
            replace(self.single, augmentations=names)  # checks them

    @property
    def single(self) -> ContrastivePretraining:
        """The objective of the first encoder."""
        names = ContrastivePretraining.__dataclass_fields__
        return ContrastivePretraining(**{name: getattr(self, name) for name in names})

    @property
    def _augmentations(self) -> tuple[tuple[str, ...], ...]:
        return self.augmentations, *self.further

    def build(self, task: "Task", variant: Variant) -> nn.Module:
        """The encoders side by side."""
        build = self.single.build
        return ConcatenatedEncoder([build(task, variant) for _ in self._augmentations])

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The encoders with a projector for each."""
        heads = nn.ModuleList(self.heads(task) for _ in self._augmentations)
        return PretrainingModel(model, len(heads) * self.invariant_dim, 0, heads, self.views_group)

    def views(self, batch: Batch, rng: torch.Generator) -> Batch:
        """The batch as it is: every encoder has views of its own."""
        return batch

    def step(self, model: nn.Module, task: "Task", batch: Batch, rng: torch.Generator) -> Step:
        """The sum of the losses of all encoders, each on its own views."""
        assert isinstance(model, PretrainingModel)
        assert isinstance(model.encoder, ConcatenatedEncoder)
        assert isinstance(model.heads, nn.ModuleList)
        parts = {}
        for place, names in enumerate(self._augmentations):
            features = model.encoder.encoders[place](_two_augmented(batch, names, rng))
            projected = halves(model.heads[place](features))
            parts[f"encoder {place + 1}"] = info_nce(*projected, temperature=self.temperature)
        return Step(torch.stack(list(parts.values())).sum(), None, parts)


def _two_augmented(batch: Batch, names: tuple[str, ...], rng: torch.Generator) -> CloudBatch:
    if not isinstance(batch, CloudBatch) or batch.pos.shape[1] != 3:
        raise ValueError("the augmentations of contrastive pre-training are those of clouds in three dimensions")
    return augmented(batch.repeat(2), names, rng)
