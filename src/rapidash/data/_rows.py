"""Data without positions, such as tables, images and feature vectors: one row per sample."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import SupportsIndex

from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from rapidash.data._fields import DeclaredTensors, Field, check_indices, one_index, repeated


@dataclass(frozen=True)
class RowBatch(DeclaredTensors):
    """Several samples: every tensor has one row for each.

    Args:
        tensors: every field by name, each (B, ...).
        fields: the declaration of every tensor, each of level "cloud": one row per sample.
    Raises: ValueError for no tensor, a missing declaration, another number of rows, or the level "point".
    """

    def __post_init__(self) -> None:
        _check(self.tensors, self.fields)

    @property
    def num_samples(self) -> int:
        """B, the number of rows."""
        return len(next(iter(self.tensors.values())))

    @property
    def _plural(self) -> str:
        return "rows"

    def transform(self, g: Float[Tensor, "*B n n"]) -> "RowBatch":
        """Act on every field according to its representation, with one group element per row (or one for all)."""
        g = self._elements(g, self.tensors.values())
        return replace(self, tensors=self._each(lambda field, tensor: field.representation.act(g, tensor)))

    def act(self, field: Field, g: Float[Tensor, "*B n n"], values: Tensor) -> Tensor:
        """rho(g) of the values of one field, such as an output of a network, by one element per row (or one for all).

        Args:
            field: how the values transform; its level is "cloud".
            g: elements (B, n, n) or (n, n); differentiable where the representation is.
            values: (B, ...), the field's values for the rows of this batch.
        Raises: ValueError for another number of elements or rows, or the level "point".
        """
        if field.level != "cloud":
            raise ValueError("rows have no points: declare the field with level='cloud'")
        if values.dim() == 0 or len(values) != self.num_samples:
            raise ValueError(f"values of shape {tuple(values.shape)} need {self.num_samples} rows, one per sample")
        return field.representation.act(self._elements(g, [values]), values)

    def repeat(self, num: int) -> "RowBatch":
        """The rows ``num`` times over: row b of copy k is row k B + b."""
        if num < 1:
            raise ValueError(f"num must be at least 1, got {num}")
        return replace(self, tensors=repeated(self.tensors, num))


class RowDataset(Dataset[RowBatch]):
    """Samples in memory: every tensor has one row for each; a data set of ``torch.utils.data``, see `collate`.

    Args:
        tensors: every field by name, each (size, ...).
        fields: the declaration of every tensor, each of level "cloud": one row per sample.
    Raises: ValueError for no tensor, a missing declaration, another number of rows, or the level "point".
    """

    def __init__(self, tensors: Mapping[str, Tensor], fields: Mapping[str, Field]) -> None:
        _check(tensors, fields)
        self.tensors, self.fields = dict(tensors), dict(fields)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, index: SupportsIndex) -> RowBatch:
        """One row, a batch of its own."""
        return self.batch(one_index(index, len(self)))

    def batch(self, indices: Int[Tensor, " B"]) -> RowBatch:
        """The samples with the given indices, in this order.

        Raises: ValueError for no index, IndexError for one outside the dataset.
        """
        check_indices(indices, len(self), "row")
        return RowBatch({name: tensor[indices] for name, tensor in self.tensors.items()}, self.fields)

    def subset(self, indices: Int[Tensor, " size"]) -> "RowDataset":
        """A dataset of some of the samples."""
        return RowDataset(self.batch(indices).tensors, self.fields)


def _check(tensors: Mapping[str, Tensor], fields: Mapping[str, Field]) -> None:
    if not tensors or set(tensors) != set(fields):
        raise ValueError(f"tensors {sorted(tensors)} and fields {sorted(fields)} must agree, with at least one of them")
    if points := sorted(name for name, field in fields.items() if field.level != "cloud"):
        raise ValueError(f"rows have no points: declare {points} with level='cloud', one row per sample")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if min(map(len, shapes.values())) < 1 or len({shape[0] for shape in shapes.values()}) > 1:
        raise ValueError(f"every field needs the same number of rows, one per sample, got shapes {shapes}")
