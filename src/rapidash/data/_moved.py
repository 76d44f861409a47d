"""A data set whose samples are moved, each by its own random element of a group."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import SupportsIndex

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data._fields import Field, one_index
from rapidash.data._protocols import Batch, Dataset
from rapidash.groups import MatrixGroup


@dataclass(frozen=True)
class MovedDataset:
    """Another data set, every sample, inputs and targets, moved by its own element.

    Args:
        dataset: what is moved.
        elements: one for each sample.
    """

    dataset: Dataset
    elements: Float[Tensor, "size n n"]

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """Every tensor by name, moved."""
        return self.batch(torch.arange(len(self))).tensors

    @property
    def fields(self) -> Mapping[str, Field]:
        """The declaration of every tensor."""
        return self.dataset.fields

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: SupportsIndex) -> Batch:
        """One moved sample, a batch of its own."""
        return self.batch(one_index(index, len(self)))

    def batch(self, indices: Int[Tensor, " B"]) -> Batch:
        """The moved samples with the given indices, in this order."""
        return self.dataset.batch(indices).transform(self.elements[indices])

    def subset(self, indices: Int[Tensor, " size"]) -> "MovedDataset":
        """Some of the samples."""
        return MovedDataset(self.dataset.subset(indices), self.elements[indices])


def moved(dataset: Dataset, group: MatrixGroup, seed: int) -> Dataset:
    """A data set moved by random elements, which depend on the seed and the place of the sample alone."""
    if len(dataset) == 0:
        return dataset
    return MovedDataset(dataset, group.sample(len(dataset), generator=seeded(seed, "rotate")))
