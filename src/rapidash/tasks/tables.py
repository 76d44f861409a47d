"""Tables: the class of a row, for data without positions."""

from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import Batch, Field, RowDataset
from rapidash.datasets import OnError, Table, TableSplit, abide_dataset, heart_disease_dataset, tabular_dataset
from rapidash.groups import MatrixGroup, Scalar, trivial
from rapidash.methods import Split, Variant
from rapidash.models import Interface
from rapidash.symmetry import Ledger
from rapidash.tasks._label import PlainLabelTask
from rapidash.tasks._table_columns import ColumnScales

_OWN_FILES = {"heart-disease": heart_disease_dataset, "abide": abide_dataset}


class RowClassifier(nn.Module):
    """Logits of the classes (B, K) from the prepared columns of a row."""

    def __init__(self, variant: Variant, num_columns: int, num_classes: int) -> None:
        super().__init__()
        self.backbone = variant.model.build(Interface(dim=0, in_scalars=num_columns, out_scalars=num_classes))

    def forward(self, batch: Batch) -> Float[Tensor, "B K"]:
        """A logit for every class."""
        return self.backbone(batch["x"])


@dataclass(frozen=True)
class TablesTask(PlainLabelTask):
    """Classify the rows of a table.

    Numbers are scaled to mean 0 and deviation 1 over the observed values of the training part, categories become one
    column each, missing values 0, and every column that lacks values anywhere has another one that says where.

    Args:
        table: ``"heart-disease"``, ``"abide"`` (non-commercial use only), or one of the 21 tables of
            `rapidash.datasets.tabular_dataset`, e.g. ``"letter"``.
        test_fold: which of the five folds is the test, 0 to 4; the next one is the validation.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad rows out, counted and reported; "raise" stops at the first.
        verify: compare the published checksum.
    """

    table: str = "heart-disease"
    test_fold: int = 0
    data_dir: str | None = None
    on_error: OnError = "raise"
    verify: bool = True

    name: str = field(default="tables", init=False)

    def read(self, split: TableSplit) -> Table:
        """The rows of a split as the file has them."""
        options: dict[str, Any] = {
            "test_fold": self.test_fold,
            "data_dir": self.data_dir,
            "on_error": self.on_error,
            "verify": self.verify,
            "dtype": torch.float64,
        }
        return _OWN_FILES.get(self.table, partial(tabular_dataset, self.table))(split, **options)

    def dataset(self, split: Split) -> RowDataset:
        """The prepared rows of a split: x (B, d) and label (B,)."""
        table = self.read(split)
        fields = {"x": Field(Scalar(), level="cloud"), "label": Field(Scalar(), level="cloud")}
        return RowDataset({"x": self._prepared(table), "label": table.tensors["label"]}, fields)

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        known = self.read("all")
        return RowClassifier(variant, self._prepared(known).shape[1], len(known.names["label"]))

    def ledger(self, variant: Variant) -> Ledger:
        """None: the columns of a table mean different things, and no motion acts on them."""
        none: MatrixGroup = trivial(3)
        return Ledger(none, none, ("the columns of a table mean different things: no group acts on them",), True, False)

    def _prepared(self, table: Table) -> Float[Tensor, "B d"]:
        return _scales(self).prepared(table)


@lru_cache(maxsize=8)
def _scales(task: TablesTask) -> ColumnScales:
    return ColumnScales.of(task.read("train").tensors, task.read("all").tensors)
