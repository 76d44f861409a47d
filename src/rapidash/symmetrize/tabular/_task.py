"""The task of labeling rows of synthetic tables in context."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, Field, RowDataset
from rapidash.groups import MatrixGroup, Permutation, Scalar, trivial
from rapidash.methods import Split, Variant
from rapidash.models import Interface
from rapidash.symmetrize.tabular._labels import Labels
from rapidash.symmetrize.tabular._prior import (
    Prior,
    RandomClassificationPrior,
    TanhPrior,
    fitted_to_width,
    standardized,
)
from rapidash.symmetry import Ledger

NO_CLASS = -1  # of a query that does not count: its class is not in the context, or it fills up the table


class InContext(nn.Module):
    """A network in context on batches of tables: logits (B, Q, C), with C the most classes of a table in the batch.

    Args:
        network: ``(x, y, num_classes) -> logits``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Float[Tensor, "B Q C"]:
        """The logits; those of classes that a table does not have are minus infinity."""
        counts = batch["num_classes"]
        logits = batch["x"].new_full((*batch["label"].shape, int(counts.max())), -math.inf)
        for count in counts.unique().tolist():
            rows = counts == count
            logits[rows, :, :count] = self.network(batch["x"][rows], batch["context_label"][rows], count)
        return logits


@dataclass(frozen=True)
class SyntheticTablesTask:
    """Label the queries of a synthetic table from its labeled context, without training on it.

    A sample is a table: features x (R, F) as the network takes them (standardized over the context, NaN where a value
    is missing), the labels of the first T rows, and those of the others. The objective ``"prior-fitting"`` learns from
    new tables in every step. The splits hold fixed ones, of 2 to ``max_classes`` classes in equal numbers.

    Args:
        prior: ``"tanh"``: `TanhPrior`, ``"random"``: `RandomClassificationPrior`.
        num_features: F.
        max_classes: most classes of a table, and outputs of a head of fixed width.
        num_context, num_queries: T and R - T of the tables in the splits.
        num_train, num_val, num_test: tables of each split; those of train only show what a table is.
    Raises: ValueError for sizes below 1, or fewer than two classes.
    """

    prior: Literal["tanh", "random"] = "tanh"
    num_features: int = 5
    max_classes: int = 5
    num_context: int = 40
    num_queries: int = 24
    num_train: int = 64
    num_val: int = 128
    num_test: int = 400

    name: str = field(default="synthetic-tables", init=False)
    dim: int = field(default=0, init=False)
    metric: str = field(default="error rate", init=False)
    unit: str = field(default="%", init=False)
    output: Field = field(default=Field(Permutation(-1), level="cloud"), init=False)

    def __post_init__(self) -> None:
        sizes = (self.num_context, self.num_queries, self.num_train, self.num_val, self.num_test, self.num_features)
        if min(sizes) < 1 or self.max_classes < 2:
            raise ValueError(f"sizes must be at least 1 and max_classes at least 2, got {self}")
        if self.prior not in ("tanh", "random"):
            raise ValueError(f"prior must be 'tanh' or 'random', got {self.prior!r}")

    @property
    def moves(self) -> None:
        """None: the names of classes are not moved with test data."""

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """None: tables of several class counts have no group in common, see `measure_relabelling`."""
        return ()

    def make_prior(self, max_classes: int | None = None) -> Prior:
        """The law of the tables."""
        classes = max_classes or self.max_classes
        if self.prior == "tanh":
            return TanhPrior(self.num_features, classes)
        return RandomClassificationPrior(self.num_features, classes)

    def dataset(self, split: Split) -> RowDataset:
        """The tables of a split."""
        size = {"train": self.num_train, "val": self.num_val, "test": self.num_test}[split]
        counts = 2 + torch.arange(size) % (self.max_classes - 1)
        return self.tables(counts, seeded("synthetic-tables", self.prior, split))

    def tables(self, counts: Int[Tensor, " B"], generator: torch.Generator) -> RowDataset:
        """New tables with the given numbers of classes, sorted by these."""
        prior, parts = self.make_prior(max(2, int(counts.max()))), []
        for count, size in zip(*(values.tolist() for values in counts.unique(return_counts=True))):
            tasks = prior.sample(size, count, generator, self.num_context + self.num_queries)
            parts.append(as_tensors(tasks.x, tasks.y, count, self.num_context))
        tensors = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return RowDataset(tensors, table_fields(tensors))

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        io = Interface(dim=0, in_scalars=self.num_features, out_scalars=self.max_classes)
        return InContext(variant.model.build(io))

    def ledger(self, variant: Variant) -> Ledger:
        """No motion acts on tables; whether relabelling is a symmetry is measured, see `measure_relabelling`."""
        none: MatrixGroup = trivial(3)
        return Ledger(none, none, ("rows of a table: no motion acts on them",), True, False)

    def loss(self, prediction: Float[Tensor, "B Q C"], batch: Batch) -> Float[Tensor, ""]:
        """Cross-entropy in nats over the queries whose class is in the context."""
        return cross_entropy(prediction, batch["label"])

    def errors(self, prediction: Float[Tensor, "B Q C"], batch: Batch) -> Float[Tensor, " B"]:
        """The per cent of a table's queries, of those that have a class, whose largest logit is another one's."""
        label = batch["label"]
        chosen = (label != NO_CLASS).to(prediction.dtype)
        wrong = (prediction.argmax(dim=-1) != label) * chosen
        return 100 * wrong.sum(dim=-1) / chosen.sum(dim=-1).clamp(min=1)


def as_tensors(x: Tensor, y: Tensor, num_classes: int, num_context: int) -> dict[str, Tensor]:
    """Tables of a prior as a network takes them; queries whose class is not in the context have none."""
    context, asked = y[:, :num_context], y[:, num_context:]
    is_known = (asked[:, :, None] == context[:, None, :]).any(dim=-1)
    return {
        "x": fitted_to_width(standardized(x, num_context), x.shape[-1]),
        "context_label": context,
        "label": asked.where(is_known, torch.tensor(NO_CLASS)),
        "num_classes": torch.full((len(x),), num_classes),
    }


def table_fields(names: Iterable[str]) -> dict[str, Field]:
    """The declaration of the tensors of tables: labels move when classes are renamed."""
    labels = ("context_label", "label")
    return {name: Field(Labels() if name in labels else Scalar(), level="cloud") for name in names}


def cross_entropy(logits: Float[Tensor, "B Q C"], label: Int[Tensor, "B Q"]) -> Float[Tensor, ""]:
    """Mean over the queries that have a class, nats; 0 where none has."""
    chosen = label != NO_CLASS
    total = nn.functional.cross_entropy(logits[chosen], label[chosen], reduction="sum")
    return total / max(1, int(chosen.sum()))
