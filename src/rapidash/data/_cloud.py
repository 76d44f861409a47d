"""Point clouds with declared fields: one batch type and one in-memory dataset for every task."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import SupportsIndex

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from rapidash.data._fields import DeclaredTensors, Field, check_indices, one_index, repeated


@dataclass(frozen=True)
class CloudBatch(DeclaredTensors):
    """Several clouds, points concatenated.

    Args:
        tensors: every field by name; "pos" (N, D) is required; point fields have N rows, cloud fields B.
        fields: the declaration of every tensor.
        batch: (N,) the cloud of each point, sorted.
        num_clouds: B.
    """

    batch: Int[Tensor, " N"]
    num_clouds: int

    @property
    def num_samples(self) -> int:
        """B: a sample is a cloud."""
        return self.num_clouds

    @property
    def _plural(self) -> str:
        return "clouds"

    @property
    def pos(self) -> Float[Tensor, "N D"]:
        """Positions of the points."""
        return self["pos"]

    @property
    def num_points(self) -> Int[Tensor, " B"]:
        """The number of points of every cloud."""
        return torch.bincount(self.batch, minlength=self.num_clouds)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "CloudBatch":
        """The batch on another device, floating-point fields in another dtype."""
        return replace(super().to(device, dtype), batch=self.batch.to(device=device))

    def transform(self, g: Float[Tensor, "*B n n"]) -> "CloudBatch":
        """Act on every field according to its representation, with one group element per cloud (or one for all)."""
        g = self._elements(g, [self["pos"], *self.tensors.values()])
        per_point = g[self.batch]
        moved = self._each(lambda field, tensor: self._moved(field, g, per_point, tensor))
        return replace(self, tensors=moved)

    def act(self, field: Field, g: Float[Tensor, "*B n n"], values: Tensor) -> Tensor:
        """rho(g) of the values of one field, such as an output of a network, by one element per cloud (or one for all).

        Args:
            field: how the values transform, and whether they have a row per point (N rows) or per cloud (B rows).
            g: elements (B, n, n) or (n, n); differentiable where the representation is.
            values: the field's values for the clouds of this batch.
        Raises: ValueError for another number of elements or rows.
        """
        expected = len(self.batch) if field.level == "point" else self.num_clouds
        if values.dim() == 0 or len(values) != expected:
            raise ValueError(
                f"values of shape {tuple(values.shape)} at {field.level} level need {expected} rows for "
                f"{self.num_clouds} clouds of {len(self.batch)} points: check the level of the Field"
            )
        g = self._elements(g, [values])
        return self._moved(field, g, g[self.batch] if field.level == "point" else g, values)

    def repeat(self, num: int) -> "CloudBatch":
        """The clouds ``num`` times over: cloud b of copy k is cloud k B + b."""
        if num < 1:
            raise ValueError(f"num must be at least 1, got {num}")
        copies = [self.batch + k * self.num_clouds for k in range(num)]
        return replace(
            self, tensors=repeated(self.tensors, num), batch=torch.cat(copies), num_clouds=num * self.num_clouds
        )

    def _moved(self, field: Field, g: Tensor, per_point: Tensor, values: Tensor) -> Tensor:
        representation = field.representation
        if field.level == "cloud":
            return representation.act(g, values)
        return (
            self._rows_moved(field, g, values) if representation.acts_on_rows else representation.act(per_point, values)
        )

    def _rows_moved(self, field: Field, g: Tensor, values: Tensor) -> Tensor:
        """Act on each cloud as a whole: the representation takes all its points as one tensor (points, ...)."""
        counts = self.num_points.tolist()
        if len(set(counts)) == 1:
            return field.representation.act(g, values.unflatten(0, (self.num_clouds, counts[0]))).flatten(0, 1)
        clouds = zip(g, values.split(counts))
        return torch.cat([field.representation.act(element, points) for element, points in clouds])


class CloudDataset(Dataset[CloudBatch]):
    """Clouds in memory: point fields concatenated over clouds, cloud fields one row per cloud.

    It is a data set of ``torch.utils.data``: ``DataLoader(dataset, batch_size=32, collate_fn=rapidash.data.collate)``.

    Args:
        tensors: every field by name, "pos" among them.
        fields: the declaration of every tensor.
        num_points: (size,) points of each cloud, each at least 1.
    Raises: ValueError for a missing declaration or a tensor with another number of rows.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], fields: Mapping[str, Field], num_points: Int[Tensor, " size"]
    ) -> None:
        if "pos" not in tensors or set(tensors) != set(fields):
            raise ValueError(f"tensors {sorted(tensors)} and fields {sorted(fields)} must agree and contain 'pos'")
        if len(num_points) and int(num_points.min()) < 1:
            raise ValueError(f"cloud {int(num_points.argmin())} has no points: every cloud needs at least one")
        expected = {"point": int(num_points.sum()), "cloud": len(num_points)}
        for name, tensor in tensors.items():
            if len(tensor) != expected[fields[name].level]:
                raise ValueError(
                    f"field {name!r} has {len(tensor)} rows, expected {expected[fields[name].level]} "
                    f"({fields[name].level} level)"
                )
        self.tensors, self.fields, self.num_points = dict(tensors), dict(fields), num_points
        self._start = torch.cumsum(num_points, 0) - num_points

    def __len__(self) -> int:
        return len(self.num_points)

    def __getitem__(self, index: SupportsIndex) -> CloudBatch:
        """One cloud, a batch of its own."""
        return self.batch(one_index(index, len(self)))

    def batch(self, indices: Int[Tensor, " B"]) -> CloudBatch:
        """The clouds with the given indices, in this order.

        Raises: ValueError for no index, IndexError for one outside the dataset.
        """
        check_indices(indices, len(self), "cloud")
        counts = self.num_points[indices]
        batch = torch.repeat_interleave(torch.arange(len(indices)), counts)
        first = torch.cumsum(counts, 0) - counts
        rows = torch.arange(len(batch)) - first[batch] + self._start[indices][batch]
        tensors = {
            name: tensor[rows if self.fields[name].level == "point" else indices]
            for name, tensor in self.tensors.items()
        }
        return CloudBatch(tensors, self.fields, batch, len(indices))

    def subset(self, indices: Int[Tensor, " size"]) -> "CloudDataset":
        """A dataset of some of the clouds."""
        part = self.batch(indices)
        return CloudDataset(part.tensors, self.fields, self.num_points[indices])
