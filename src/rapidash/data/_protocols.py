"""Protocols of batches and datasets, on which augmentation, averages and measures may rely, whatever the data are."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.data._fields import Field


@runtime_checkable
class Batch(Protocol):
    """Some samples: named tensors, each with a declared field. `CloudBatch` and `RowBatch` are batches.

    To rely on:

    - A batch is a value: every method returns a new one, and no tensor is changed in place.
    - Samples are numbered 0 to ``num_samples - 1``. A tensor of level "cloud" has one row per sample, in this order;
      one of level "point" has the rows of sample 0, then those of sample 1, and so on.
    - Elements are matrices, one for each sample (B, n, n) or one for all (n, n). They may be float64 on the CPU: they
      are cast to the dtype and device of what they move. Tensors of whole numbers are declared by representations that
      move them exactly: `Scalar`, `Pseudoscalar`, permutations.
    - ``transform`` and ``act`` move sample b by element b alone, and pass gradients to the tensors, and to the elements
      where the representation is differentiable in them. So ``transform`` of the product g h is that of h, then g.
    - A function of a batch returns tensors whose rows are those of a level in this batch; ``act`` with a declared
      `Field` moves them.
    """

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Every tensor by name."""

    @property
    def fields(self) -> Mapping[str, Field]:
        """The declaration of every tensor: the same names."""

    @property
    def num_samples(self) -> int:
        """B, the number of samples, at least 1."""

    def __getitem__(self, name: str) -> Tensor:
        """One tensor; KeyError for a name that the batch does not have."""

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Batch":
        """The batch on another device, floating-point tensors in another dtype."""

    def transform(self, g: Float[Tensor, "*B n n"]) -> "Batch":
        """Every field moved, sample b by element b; ValueError for another number of elements."""

    def act(self, field: Field, g: Float[Tensor, "*B n n"], values: Tensor) -> Tensor:
        """The values of one further field, such as an output, moved: sample b by element b.

        Raises: ValueError for another number of elements, or of rows than the field's level has in this batch.
        """

    def with_tensor(self, name: str, tensor: Tensor, field: Field | None = None) -> "Batch":
        """The batch with one tensor replaced, or added when its field is given."""

    def repeat(self, num: int) -> "Batch":
        """The samples ``num`` times over: sample b of copy k is sample k B + b, and so are the rows of every level."""


@runtime_checkable
class Dataset(Protocol):
    """Samples that batches are drawn from. `CloudDataset` and `RowDataset` are datasets.

    To rely on: a dataset is finite and does not change; ``batch`` is a function of the indices alone, keeps their order
    and repeats a sample that is named twice; ``tensors`` hold the samples in their order, level by level as a `Batch`
    does, so ``batch(torch.arange(len(data)))`` has the tensors of the dataset.
    """

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Every tensor by name."""

    @property
    def fields(self) -> Mapping[str, Field]:
        """The declaration of every tensor: the same names."""

    def __len__(self) -> int:
        """The number of samples."""

    def batch(self, indices: Int[Tensor, " B"]) -> Batch:
        """The samples with these indices; ValueError for no index, IndexError for one outside the dataset."""

    def subset(self, indices: Int[Tensor, " size"]) -> "Dataset":
        """A dataset of some of the samples."""
