"""Rows of several sites: classify those of other sites, where site and covariate act on the columns."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, get_args

import torch
from torch import Tensor, nn

from rapidash._names import unknown_name
from rapidash.data import Field, RowDataset
from rapidash.datasets import (
    SITES_COLUMNS,
    OnError,
    Table,
    abide_dataset,
    heart_disease_dataset,
    structural_sites_dataset,
)
from rapidash.groups import MatrixGroup, Scalar, trivial
from rapidash.methods import Split, Variant
from rapidash.models import Interface
from rapidash.represent.pooling import SITE_FIELDS, PooledModel
from rapidash.symmetry import Ledger
from rapidash.tasks._label import LabelTask
from rapidash.tasks._split_sizes import check_split_sizes
from rapidash.tasks._table_columns import ColumnScales

SiteTable = Literal["synthetic", "heart-disease", "abide"]
_READERS: Final = {"heart-disease": heart_disease_dataset, "abide": abide_dataset}
_GROUPS: Final[dict[str, int]] = {"synthetic": 1, "heart-disease": 4, "abide": 5}
_VALIDATION_FOLD: Final = 0


@dataclass(frozen=True)
class PooledSitesTask(LabelTask):
    """Classify rows of several sites, with a covariate of each row that no network sees as such.

    A row has columns x, a label, the number of its site and its covariate, scaled by the training rows. Of the
    synthetic table all splits have both sites (`rapidash.datasets.structural_sites_dataset`). Of the other two the test
    is every row of the sites that are held out, the validation is one of five folds of the others, which are
    stratified by site and label, and the rest trains. Columns are prepared as by the task ``"tables"``.

    Args:
        table: ``"synthetic"``; ``"heart-disease"``: four hospitals, the covariate is the age, which is a column too; or
            ``"abide"``: 20 sites, the age is no column (**non-commercial use only**, CC BY-NC-SA).
        held_out: which group of sites is the test: one of the four hospitals, 0 to 3; of ABIDE one of five groups of
            four sites, 0 to 4: group k has the sites k, k + 5, k + 10 and k + 15 of the file. 0 of the synthetic one.
        data_seed: of the synthetic table.
        num_train, num_val, num_test: rows of the synthetic table.
        data_dir: folder or file of the others; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad rows out, counted and reported; "raise" stops at the first.
        verify: compare the published checksum.
    Raises: ValueError for another table, a group that it does not have, or sizes below 1.
    """

    table: SiteTable = "synthetic"
    held_out: int = 0
    data_seed: int = 0
    num_train: int = 3000
    num_val: int = 2000
    num_test: int = 2000
    data_dir: str | None = None
    on_error: OnError = "raise"
    verify: bool = True

    name: str = field(default="pooled-sites", init=False)
    dim: int = field(default=0, init=False)
    metric: str = field(default="error rate", init=False)
    unit: str = field(default="%", init=False)
    output: Field = field(default=Field(Scalar(), level="cloud"), init=False)

    def __post_init__(self) -> None:
        if self.table not in get_args(SiteTable):
            raise ValueError(unknown_name("table:", str(self.table), get_args(SiteTable)))
        if self.held_out not in range(_GROUPS[self.table]):
            raise ValueError(
                f"held_out must be 0 to {_GROUPS[self.table] - 1} for the table {self.table!r}, got {self.held_out}"
            )
        check_split_sizes(self)

    @property
    def moves(self) -> None:
        """None: rows are not moved with test data."""

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """None: no motion acts on columns."""
        return ()

    @property
    def site_names(self) -> tuple[str, ...]:
        """The name of every site, by its number."""
        return ("0", "1") if self.table == "synthetic" else _read(self).names["site"]

    def dataset(self, split: Split) -> RowDataset:
        """The rows of a split: x (B, d), label (B,), site (B,) and covariate (B, 1)."""
        if self.table != "synthetic":
            return _prepared(self)[split]
        sizes = {"train": self.num_train, "val": self.num_val, "test": self.num_test}
        train, rows = (
            structural_sites_dataset(part, size=sizes[part], seed=self.data_seed).tensors for part in ("train", split)
        )
        scaled = {name: _scaled(rows[name], train[name]) for name in ("x", "covariate")}
        return RowDataset({**rows, **scaled}, SITE_FIELDS)

    def build(self, variant: Variant) -> nn.Module:
        """The model of a variant with fresh weights from torch's global generator."""
        columns, classes = SITES_COLUMNS, 2
        if self.table != "synthetic":
            columns = _prepared(self)["train"].tensors["x"].shape[1]
            classes = len(_read(self).names["label"])
        network: Any = variant.model.build(Interface(dim=0, in_scalars=columns, out_scalars=classes))
        return PooledModel(network, len(self.site_names))

    def ledger(self, variant: Variant) -> Ledger:
        """None: no motion acts on columns; what is kept and forgotten of covariate and site is measured."""
        none: MatrixGroup = trivial(3)
        return Ledger(none, none, ("the columns of a table mean different things: no group acts on them",), True, False)


@lru_cache(maxsize=8)
def _read(task: PooledSitesTask) -> Table:
    options: dict[str, Any] = {"data_dir": task.data_dir, "on_error": task.on_error, "verify": task.verify}
    return _READERS[task.table]("all", dtype=torch.float64, **options)


@lru_cache(maxsize=8)
def _prepared(task: PooledSitesTask) -> dict[str, RowDataset]:
    """All three splits."""
    table = _read(task)
    site, fold = table.tensors["site"], table.tensors["fold"]
    is_test = site % _GROUPS[task.table] == task.held_out
    is_val = ~is_test & (fold == _VALIDATION_FOLD)
    of = {"train": ~is_test & ~is_val, "val": is_val, "test": is_test}
    rows = {split: chosen.nonzero()[:, 0] for split, chosen in of.items()}
    if empty := [split for split, chosen in rows.items() if not len(chosen)]:
        raise ValueError(
            f"{table.source} has no rows for {empty} with held_out={task.held_out}: it lacks sites or folds"
        )
    x = ColumnScales.of(table.rows(rows["train"]), table.tensors).prepared(table)
    ages = [column.name for column in table.columns].index("age") if task.table == "heart-disease" else None
    age = table.tensors["age"].double() if ages is None else table.tensors["x"][:, ages]
    tensors = {
        "x": x,
        "label": table.tensors["label"],
        "site": site,
        "covariate": _scaled(age, age[rows["train"]])[:, None],
    }
    return {
        split: RowDataset({n: t[chosen] for n, t in tensors.items()}, SITE_FIELDS) for split, chosen in rows.items()
    }


def _scaled(values: Tensor, train: Tensor) -> Tensor:
    deviation = train.std(dim=0, correction=0)
    return (values - train.mean(dim=0)) / deviation.where(deviation > 0, 1.0)
