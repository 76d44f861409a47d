"""A task: data, models for its variants, a loss and a metric, behind one interface."""

from collections.abc import Mapping
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.symmetry import Ledger
from rapidash.train._variant import Variant

Split = Literal["train", "val", "test"]
HOW_IT_READS = ("data_dir", "on_error", "verify")  # options of tasks that do not say what is learned


@runtime_checkable
class Task(Protocol):
    """What a study needs to know about a problem.

    A task may also have ``corruption_kinds``, the kinds of corruptions of its clouds under which its targets stay true
    (see `rapidash.data.CorruptionKind`); without it they are ``("rigid", "noise")``.
    """

    @property
    def name(self) -> str:
        """Short name, e.g. ``"nbody"``."""
        ...

    @property
    def dim(self) -> int:
        """Dimension D of space."""
        ...

    @property
    def metric(self) -> str:
        """The reported metric in words, e.g. ``"MSE of positions"``; lower is better."""
        ...

    @property
    def unit(self) -> str:
        """Unit of the metric."""
        ...

    @property
    def output(self) -> Field:
        """Representation, unit and level of the prediction, e.g. ``Field(Position(), "length")``."""
        ...

    def dataset(self, split: Split) -> CloudDataset:
        """The clouds of a split, inputs and targets."""
        ...

    def build(self, variant: Variant) -> nn.Module:
        """A model ``forward(batch) -> prediction``; its weights come from torch's global generator (seed it first)."""
        ...

    def ledger(self, variant: Variant) -> Ledger:
        """The symmetry of the layers, the effective symmetry of model and inputs, and the reasons."""
        ...

    def loss(self, prediction: Tensor, batch: CloudBatch) -> Tensor:
        """The scalar that training minimizes."""
        ...

    def errors(self, prediction: Tensor, batch: CloudBatch) -> Tensor:
        """(B,) the metric of each cloud; its mean is the reported number."""
        ...


@runtime_checkable
class DetailedTask(Protocol):
    """A `Task` that reports more than its metric: figures beside it, which select nothing and compare nothing."""

    def details(self, prediction: Tensor, batch: CloudBatch) -> Mapping[str, Tensor]:
        """By name with unit, e.g. ``"class mIoU (%)"``: (B,) a number per cloud, or (B, K) one per cloud and class.

        NaN does not count. Reported is the mean over the clouds, and then over the classes that have any.
        """
        ...
