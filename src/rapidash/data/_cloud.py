"""Point clouds with declared fields: one batch type and one in-memory dataset for every task."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.groups import Representation


@dataclass(frozen=True)
class Field:
    """What a tensor is: how it transforms, its unit, and whether it has a row per point or per cloud."""

    representation: Representation
    unit: str = "1"
    level: Literal["point", "cloud"] = "point"

    def __post_init__(self) -> None:
        if self.level not in ("point", "cloud"):
            raise ValueError(f"level must be 'point' or 'cloud', got {self.level!r}")


@dataclass(frozen=True)
class CloudBatch:
    """Several clouds, points concatenated.

    Args:
        tensors: every field by name; "pos" (N, D) is required; point fields have N rows, cloud fields B.
        fields: the declaration of every tensor.
        batch: (N,) the cloud of each point, sorted.
        num_clouds: B.
    """

    tensors: Mapping[str, Tensor]
    fields: Mapping[str, Field]
    batch: Int[Tensor, " N"]
    num_clouds: int

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise KeyError(f"no field {name!r} in the batch, it has {sorted(self.tensors)}")
        return self.tensors[name]

    @property
    def pos(self) -> Float[Tensor, "N D"]:
        """Positions of the points."""
        return self["pos"]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "CloudBatch":
        """The batch on another device, floating-point fields in another dtype."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)

        tensors = {name: move(tensor) for name, tensor in self.tensors.items()}
        return replace(self, tensors=tensors, batch=self.batch.to(device=device))

    def transform(self, g: Float[Tensor, "*B D1 D1"]) -> "CloudBatch":
        """Act on every field according to its representation, with one group element per cloud (or one for all)."""
        if g.dim() == 2:
            g = g.expand(self.num_clouds, *g.shape)
        if len(g) != self.num_clouds:
            raise ValueError(f"g has {len(g)} elements for {self.num_clouds} clouds: give one for each, or one for all")
        g = g.to(self.pos)
        per_point = g[self.batch]
        moved = {}
        for name, tensor in self.tensors.items():
            rows = per_point if self.fields[name].level == "point" else g
            try:
                moved[name] = self.fields[name].representation.act(rows, tensor)
            except ValueError as error:
                raise ValueError(f"field {name!r}: {error}") from error
        return replace(self, tensors=moved)

    def with_tensor(self, name: str, tensor: Tensor, field: Field | None = None) -> "CloudBatch":
        """The batch with one field replaced, or added when its declaration is given."""
        fields = self.fields if field is None else {**self.fields, name: field}
        if name not in fields:
            raise KeyError(f"field {name!r} is not declared: give its Field")
        return replace(self, tensors={**self.tensors, name: tensor}, fields=fields)


class CloudDataset:
    """Clouds in memory: point fields concatenated over clouds, cloud fields one row per cloud.

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

    def batch(self, indices: Int[Tensor, " B"]) -> CloudBatch:
        """The clouds with the given indices, in this order.

        Raises: ValueError for no index, IndexError for one outside the dataset.
        """
        if len(indices) == 0:
            raise ValueError("a batch needs at least one cloud")
        if int(indices.min()) < 0 or int(indices.max()) >= len(self):
            raise IndexError(f"indices must be in [0, {len(self)}), got {int(indices.min())} to {int(indices.max())}")
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
