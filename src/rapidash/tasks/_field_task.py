"""The base of tasks of a few lines: the data declare their fields, the rest follows."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._error_unit import error_unit
from rapidash.tasks._field_network import FieldNetwork
from rapidash.tasks._point_inputs import cloud_means


@dataclass(frozen=True)
class FieldTask:
    """Predict one declared field of clouds from others; a task adds its name, its data and the names of the fields.

    The network is a `FieldNetwork`. Classes (whole numbers) have the cross-entropy for their loss and the error rate
    for their metric; anything else the mean squared error, in units of the variance over the training data, and the
    mean length of the difference, which of one number is its absolute value.

    A task is a frozen dataclass with the class attributes ``name``, ``target`` and ``inputs`` (names of fields beside
    ``pos``), and ``dataset(split)``; its options are fields of the dataclass.
    """

    name: ClassVar[str] = ""
    target: ClassVar[str] = ""
    inputs: ClassVar[tuple[str, ...]] = ()

    def dataset(self, split: Split) -> CloudDataset:
        """The clouds of a split, with the target."""
        raise NotImplementedError(f"{type(self).__name__} needs dataset(split), which returns a CloudDataset")

    @cached_property
    def _train(self) -> CloudDataset:
        data = self.dataset("train")
        if self.target not in data.fields:
            raise ValueError(
                f"task {self.name!r}: the data have no target {self.target!r}, they have {list(data.fields)}"
            )
        return data

    @property
    def dim(self) -> int:
        """Dimension of space."""
        return int(self._train.tensors["pos"].shape[1])

    @property
    def output(self) -> Field:
        """The field of the target; that of the logits of a class is the same."""
        return self._train.fields[self.target]

    @property
    def _is_class(self) -> bool:
        return not self._train.tensors[self.target].is_floating_point()

    @property
    def metric(self) -> str:
        """The metric in words."""
        return f"error rate of {self.target}" if self._is_class else f"mean error of {self.target}"

    @property
    def unit(self) -> str:
        """Percent of an error rate; else the unit of the target, percentage points if that is percent."""
        return "%" if self._is_class else error_unit(self.output.unit)

    @cached_property
    def _variance(self) -> float:
        values = self._train.tensors[self.target].double()
        return float((values - values.mean(dim=0)).square().mean().clamp(min=1e-12))

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return self._network(variant)

    def _network(self, variant: Variant) -> FieldNetwork:
        return FieldNetwork(variant, self._train, self.inputs, target=self.target)

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return self._network(variant).ledger()

    def loss(self, prediction: Tensor, batch: CloudBatch) -> Float[Tensor, ""]:
        """Cross-entropy, or the mean squared error in units of the variance."""
        if self._is_class:
            return cross_entropy(prediction, batch[self.target])
        return (prediction - batch[self.target]).square().mean() / self._variance

    def errors(self, prediction: Tensor, batch: CloudBatch) -> Float[Tensor, " B"]:
        """The metric of every cloud, over its points where the target is theirs."""
        if self._is_class:
            rows = 100 * (prediction.argmax(dim=1) != batch[self.target]).to(prediction.dtype)
        else:
            rows = (prediction - batch[self.target]).flatten(1 if prediction.dim() > 1 else 0)
            rows = rows.norm(dim=1) if prediction.dim() > 1 else rows.abs()
        return rows if self.output.level == "cloud" else cloud_means(rows, batch)
