"""A task: data, models for its variants, a loss and a metric, behind one interface."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from rapidash.data import Batch, Dataset, Field
from rapidash.symmetry import Ledger

if TYPE_CHECKING:
    from rapidash.methods._variant import Variant

Split = Literal["train", "val", "test"]
HOW_IT_READS = ("data_dir", "on_error", "verify")  # options of tasks that do not say what is learned


@runtime_checkable
class Task(Protocol):
    """A problem to learn, as a study needs it: its samples, models, loss and metric.

    A task whose data are clouds is tested on data that are turned by SO(D), and measured over the motions of space. A
    task may say otherwise: ``moves``, the group that turns its test data, or None; ``measured_groups``, those over
    which the equivariance error is measured. Data without positions (``dim`` 0) are neither turned nor measured without
    these.

    A task may also have ``corruption_kinds``, the kinds of corruptions of its clouds under which its targets stay true
    (see `rapidash.data.CorruptionKind`); without it they are ``("rigid", "noise")``.
    """

    @property
    def name(self) -> str:
        """Short name, e.g. ``"nbody"``."""
        ...

    @property
    def dim(self) -> int:
        """Dimension D of space; 0 for data without positions."""
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

    def dataset(self, split: Split) -> Dataset:
        """The samples of a split, inputs and targets."""
        ...

    def build(self, variant: "Variant") -> nn.Module:
        """A model ``forward(batch) -> prediction``; its weights come from torch's global generator (seed it first)."""
        ...

    def ledger(self, variant: "Variant") -> Ledger:
        """The symmetry of the layers, the effective symmetry of model and inputs, and the reasons."""
        ...

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """The scalar that training minimizes."""
        ...

    def errors(self, prediction: Tensor, batch: Batch) -> Tensor:
        """(B,) the metric of each sample; its mean is the reported number."""
        ...


@runtime_checkable
class DetailedTask(Protocol):
    """A `Task` that reports more than its metric: figures beside it, which select nothing and compare nothing."""

    def details(self, prediction: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """By name with unit, e.g. ``"class mIoU (%)"``: (B,) a number per sample, or (B, K) one per sample and class.

        NaN does not count. Reported is the mean over the samples, and then over the classes that have any.
        """
        ...
