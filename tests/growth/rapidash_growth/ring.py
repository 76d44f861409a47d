"""A kind of data without positions: numbers on a ring, which shifts move around."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rapidash.data import Field
from rapidash.groups import MatrixGroup


class Shifts(MatrixGroup):
    """The cyclic shifts of a ring of n numbers, as permutation matrices; with ``order`` 1 the identity alone."""

    def __init__(self, size: int, order: int | None = None) -> None:
        self._size, self.order = size, order or size

    @property
    def name(self) -> str:
        return f"shifts({self._size})" if self.order > 1 else "trivial"

    @property
    def size(self) -> int:
        return self._size

    def elements(self) -> Tensor:
        eye = torch.eye(self._size, dtype=torch.float64)
        return torch.stack([eye.roll(step, dims=0) for step in range(self.order)])

    def sample(self, num: int, *, generator: torch.Generator | None = None) -> Tensor:
        return self.elements()[torch.randint(self.order, (num,), generator=generator)]

    def generators(self) -> Tensor:
        return torch.zeros(0, self._size, self._size, dtype=torch.float64)

    def is_subgroup(self, other: "Shifts") -> bool:
        return other.order % self.order == 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shifts) and (self._size, self.order) == (other._size, other.order)

    def __hash__(self) -> int:
        return hash((self._size, self.order))


@dataclass(frozen=True)
class Rings:
    """Some rings: a batch, and a data set of them as well."""

    tensors: Mapping[str, Tensor]
    fields: Mapping[str, Field]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __len__(self) -> int:
        return len(self.tensors["signal"])

    @property
    def num_samples(self) -> int:
        return len(self)

    def to(self, device: object = None, dtype: torch.dtype | None = None) -> "Rings":
        return replace(
            self, tensors={name: tensor.to(device=device, dtype=dtype) for name, tensor in self.tensors.items()}
        )

    def act(self, field: Field, g: Tensor, values: Tensor) -> Tensor:
        return field.representation.act(g.to(values), values)

    def transform(self, g: Tensor) -> "Rings":
        moved = {name: self.act(self.fields[name], g, tensor) for name, tensor in self.tensors.items()}
        return replace(self, tensors=moved)

    def with_tensor(self, name: str, tensor: Tensor, field: Field | None = None) -> "Rings":
        fields = self.fields if field is None else {**self.fields, name: field}
        return Rings({**self.tensors, name: tensor}, fields)

    def repeat(self, num: int) -> "Rings":
        return replace(self, tensors={name: torch.cat([tensor] * num) for name, tensor in self.tensors.items()})

    def batch(self, indices: Tensor) -> "Rings":
        if not len(indices):
            raise ValueError("a batch needs at least one ring")
        return replace(self, tensors={name: tensor[indices] for name, tensor in self.tensors.items()})

    subset = batch
