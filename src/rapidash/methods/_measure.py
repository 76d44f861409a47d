"""The subject that a run hands to a measure, and the measurements, pictures and scenes that it returns."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from rapidash.data import Dataset
from rapidash.methods._method import FULL
from rapidash.methods._picture import Moment, Picture
from rapidash.methods._scene import Scene
from rapidash.methods._task import Task
from rapidash.symmetry import Ledger


@dataclass(frozen=True)
class Measurement:
    """One figure of a run; a record is a list of these, and curves.

    Args:
        name: what was measured, e.g. ``"equivariance error"``.
        value: the figure; None where it is not defined.
        unit: of the value.
        group: the group that it is about, e.g. ``"SO(3)"``.
        moment: ``"before"`` or ``"after"`` training.
        view: of the model.
        better: ``"lower"`` or ``"higher"``, or empty where neither is.
        low, high: 95 % interval over what the run itself has counted, such as samples; None where there is none. What
            seeds of training differ by is another thing.
    """

    name: str
    value: float | None
    unit: str = "1"
    group: str = ""
    moment: Moment = "after"
    view: str = FULL
    better: Literal["lower", "higher", ""] = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Subject:
    """The subject of a measure: a model in one view, at one moment of a run. A measure leaves it as it is.

    Args:
        model: in eval mode, on the device and in the dtype of the run.
        task: what it was built for.
        data: validation data.
        ledger: the symmetry that this view claims.
        moment: ``"before"`` (fresh and calibrated) or ``"after"`` training.
        view: of the model.
        seed: of the run; a measure draws from streams that it names, `rapidash.data.seeded`.
    """

    model: nn.Module
    task: Task
    data: Dataset
    ledger: Ledger
    moment: Moment
    view: str
    seed: int


Measure = Callable[[Subject], Iterable[Measurement | Picture | Scene]]
