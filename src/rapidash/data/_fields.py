"""Named tensors with declared fields: what every kind of batch has in common."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, SupportsIndex, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.groups import Representation

Some = TypeVar("Some", bound="DeclaredTensors")


@dataclass(frozen=True)
class Field:
    """The declaration of a tensor: its representation, its unit, and whether it has a row per point or per cloud.

    A row of a table, an image or a feature vector counts as a cloud: its level is ``"cloud"``.
    """

    representation: Representation
    unit: str = "1"
    level: Literal["point", "cloud"] = "point"

    def __post_init__(self) -> None:
        if self.level not in ("point", "cloud"):
            raise ValueError(f"level must be 'point' or 'cloud', got {self.level!r}")


@dataclass(frozen=True)
class DeclaredTensors(ABC):
    """The part of a batch that does not depend on what a sample is; `rapidash.data.Batch` says what to rely on."""

    tensors: Mapping[str, Tensor]
    fields: Mapping[str, Field]

    @property
    @abstractmethod
    def num_samples(self) -> int:
        """B, the number of samples."""

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise KeyError(f"no field {name!r} in the batch, it has {sorted(self.tensors)}")
        return self.tensors[name]

    def to(self: Some, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Some:
        """The batch on another device, floating-point fields in another dtype."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)

        return replace(self, tensors={name: move(tensor) for name, tensor in self.tensors.items()})

    def with_tensor(self: Some, name: str, tensor: Tensor, field: Field | None = None) -> Some:
        """The batch with one field replaced, or added when its declaration is given."""
        fields = self.fields if field is None else {**self.fields, name: field}
        if name not in fields:
            raise KeyError(f"field {name!r} is not declared: give its Field")
        return replace(self, tensors={**self.tensors, name: tensor}, fields=fields)

    def _elements(self, g: Float[Tensor, "*B n n"], like: Iterable[Tensor]) -> Float[Tensor, "B n n"]:
        """One element per sample, with the dtype and device of the first floating-point tensor."""
        if g.dim() == 2:
            g = g.expand(self.num_samples, *g.shape)
        if g.dim() != 3 or len(g) != self.num_samples:
            raise ValueError(
                f"g has {len(g)} elements for {self.num_samples} {self._plural}: give one (n, n) for each, or one for "
                f"all; its shape is {tuple(g.shape)}"
            )
        tensors = list(like)
        floating = [tensor for tensor in tensors if tensor.is_floating_point()]
        return g.to(floating[0]) if floating else g.to(tensors[0].device)

    def _each(self, move: Callable[[Field, Tensor], Tensor]) -> dict[str, Tensor]:
        """Every tensor moved as its field says; an error names the field."""
        moved = {}
        for name, tensor in self.tensors.items():
            try:
                moved[name] = move(self.fields[name], tensor)
            except ValueError as error:
                raise ValueError(f"field {name!r}: {error}") from error
        return moved

    @property
    @abstractmethod
    def _plural(self) -> str:
        """The word for the samples in messages, in the plural."""


def repeated(tensors: Mapping[str, Tensor], num: int) -> dict[str, Tensor]:
    """Every tensor ``num`` times, one after the other along its rows."""
    return {name: tensor.repeat(num, *(1,) * (tensor.dim() - 1)) for name, tensor in tensors.items()}


def check_indices(indices: Int[Tensor, " B"], size: int, sample: str) -> None:
    """Refuse an empty batch and samples outside the dataset.

    Raises: ValueError for no index, IndexError for one outside the dataset.
    """
    if len(indices) == 0:
        raise ValueError(f"a batch needs at least one {sample}")
    if int(indices.min()) < 0 or int(indices.max()) >= size:
        raise IndexError(f"indices must be in [0, {size}), got {int(indices.min())} to {int(indices.max())}")


def one_index(index: SupportsIndex, size: int) -> Int[Tensor, " 1"]:
    """The index of one sample of a dataset, from the end where it is negative, as a batch wants it.

    Raises: IndexError for one outside the dataset, TypeError for what is no whole number.
    """
    try:
        place = operator.index(index)
    except TypeError as error:
        raise TypeError(
            f"dataset[i] is one sample, i a whole number, got {index!r}: take dataset.batch(indices) for several, "
            "dataset.subset(indices) for a part of the dataset"
        ) from error
    if not -size <= place < size:
        raise IndexError(f"index {place} is outside a dataset of {size} samples")
    return torch.tensor([place % size])
