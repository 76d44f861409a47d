"""The data sets of the package pass the check, and a broken one of each sort is seen."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Batch, CloudDataset, Field, RowBatch, RowDataset
from rapidash.groups import SE, Permutation, Permutations, Position, Scalar
from rapidash.testing import check_dataset


def rows(size: int = 5) -> RowDataset:
    signal = torch.randn(size, 4, generator=seeded("rows"), dtype=torch.float64)
    fields = {"signal": Field(Permutation(-1), level="cloud"), "label": Field(Scalar(), level="cloud")}
    return RowDataset({"signal": signal, "label": torch.arange(size)}, fields)


def clouds() -> CloudDataset:
    num_points = torch.tensor([3, 1, 2])
    pos = torch.randn(6, 3, generator=seeded("clouds"), dtype=torch.float64)
    fields = {"pos": Field(Position()), "label": Field(Scalar(), level="cloud")}
    return CloudDataset({"pos": pos, "label": torch.arange(3)}, fields, num_points)


def test_data_of_the_package_pass() -> None:
    check_dataset(rows(), group=Permutations(4))
    check_dataset(clouds(), group=SE(3))


class FaultyData(RowDataset):
    """Rows whose batches a function spoils."""

    spoil: Callable[[Batch], Any] = staticmethod(lambda batch: batch)

    def batch(self, indices: Tensor) -> Any:
        return self.spoil(super().batch(indices))

    def subset(self, indices: Tensor) -> "FaultyData":
        part = type(self)(super().batch(indices).tensors, self.fields)
        part.spoil = self.spoil
        return part


class Writing(RowBatch):
    def repeat(self, num: int) -> RowBatch:
        out = super().repeat(num)
        self.tensors["signal"].mul_(2)
        return out


class KeepsNothing(RowBatch):
    def with_tensor(self, name: str, tensor: Tensor, field: Field | None = None) -> RowBatch:
        return self


class Interleaved(RowBatch):
    def repeat(self, num: int) -> RowBatch:
        return replace(self, tensors={name: tensor.repeat_interleave(num, 0) for name, tensor in self.tensors.items()})


class StaysDouble(RowBatch):
    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> RowBatch:
        return self


class AllReal(RowBatch):
    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> RowBatch:
        return replace(self, tensors={name: tensor.to(dtype) for name, tensor in self.tensors.items()})


def wrong(batch: Batch, **changes: Any) -> SimpleNamespace:
    """A batch as a plain object, with other parts."""
    parts = {name: getattr(batch, name) for name in ("num_samples", "to", "transform", "act", "with_tensor", "repeat")}
    return SimpleNamespace(**{**parts, "tensors": batch.tensors, "fields": batch.fields, **changes})


class Indexed(SimpleNamespace):
    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


def as_(kind: type[RowBatch]) -> Callable[[Batch], RowBatch]:
    return lambda batch: kind(batch.tensors, batch.fields)


FAULTS: dict[str, tuple[Callable[[Batch], Any], str]] = {
    "no batch": (wrong, r"no rapidash.data.Batch, it lacks \['__getitem__'\]"),
    "undeclared": (
        lambda batch: Indexed(**vars(wrong(batch, fields={"signal": batch.fields["signal"]}))),
        r"\['label'\] have no tensor or no Field",
    ),
    "miscounted": (
        lambda batch: Indexed(**vars(wrong(batch, num_samples=3))),
        "a batch of 5 indices says that it has 3 samples",
    ),
    "rows": (
        lambda batch: Indexed(**vars(wrong(batch, tensors={**batch.tensors, "label": batch["label"][:1]}))),
        "'label' has 1 rows at cloud level, another one 5",
    ),
    "sorted": (
        lambda batch: batch.with_tensor("label", batch["label"].sort().values),
        "keep the order of the indices",
    ),
    "noisy": (lambda batch: batch.with_tensor("signal", torch.rand(len(batch["label"]), 4)), "draw nothing"),
    "keeps nothing": (as_(KeepsNothing), "does not hold what was given"),
    "interleaved": (as_(Interleaved), r"repeat\(2\) gives other"),
    "writes": (as_(Writing), "was written to"),
    "stays double": (as_(StaysDouble), r"leaves \['signal'\] in float64"),
    "all real": (as_(AllReal), r"makes \['label'\] real"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_batches_is_seen(fault: str) -> None:
    data, (spoil, message) = FaultyData(rows().tensors, rows().fields), FAULTS[fault]
    data.spoil = spoil
    with pytest.raises(AssertionError, match=message):
        check_dataset(data)


def test_a_fault_of_data_sets_is_seen() -> None:
    class Backward(RowDataset):
        def subset(self, indices: Tensor) -> RowDataset:
            return super().subset(indices.sort().values)

    class Short(RowDataset):
        def subset(self, indices: Tensor) -> RowDataset:
            return super().subset(indices[:2])

    class Wraps(RowDataset):
        def batch(self, indices: Tensor) -> RowBatch:
            return super().batch(indices % len(self))

    cases: list[tuple[Any, str]] = [
        ([1, 2], "no rapidash.data.Dataset, it lacks tensors, fields, batch, subset"),
        (rows(1), "has 1 samples"),
        (Backward(rows().tensors, rows().fields), "a subset has other"),
        (Short(rows().tensors, rows().fields), "a subset of 5 indices has 2 samples"),
        (Wraps(rows().tensors, rows().fields), "batch of an index outside raises nothing, IndexError is expected"),
    ]
    for data, message in cases:
        with pytest.raises(AssertionError, match=message):
            check_dataset(data)

    class Strict(RowDataset):
        def batch(self, indices: Tensor) -> RowBatch:
            if not len(indices):
                raise KeyError("nothing")
            return super().batch(indices)

    with pytest.raises(AssertionError, match="batch of no index raises KeyError instead of ValueError"):
        check_dataset(Strict(rows().tensors, rows().fields))


class Stays(RowBatch):
    def transform(self, g: Tensor) -> RowBatch:
        return self


class MovesAlike(RowBatch):
    def transform(self, g: Tensor) -> RowBatch:
        return super().transform(g[0] if g.dim() == 3 else g)

    def act(self, field: Field, g: Tensor, values: Tensor) -> Tensor:
        return super().act(field, g[0] if g.dim() == 3 else g, values)


class SingleStays(RowBatch):
    def transform(self, g: Tensor) -> RowBatch:
        return super().transform(g) if g.dim() == 3 else self


class TakesMore(RowBatch):
    def transform(self, g: Tensor) -> RowBatch:
        return super().transform(g[: self.num_samples] if g.dim() == 3 else g)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Stays, "moves 'signal' otherwise than act with its field"),
        (MovesAlike, "otherwise than sample by sample"),
        (SingleStays, r"one element \(n, n\) moves 'signal' otherwise"),
        (TakesMore, "transform takes 6 elements for 5 samples"),
    ],
)
def test_a_fault_of_motions_is_seen(kind: type[RowBatch], message: str) -> None:
    data = FaultyData(rows().tensors, rows().fields)
    data.spoil = as_(kind)
    check_dataset(data)
    with pytest.raises(AssertionError, match=message):
        check_dataset(data, group=Permutations(4))
