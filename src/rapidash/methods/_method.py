"""Training methods: frozen descriptions that modify a model, and controls that act during a run."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from rapidash.data import Batch
from rapidash.models import NetworkConfig
from rapidash.registry import METHODS, Registry
from rapidash.symmetry import Ledger

if TYPE_CHECKING:
    from rapidash.methods._average import OrbitAverage
    from rapidash.methods._objective import Step
    from rapidash.methods._task import Task

FULL = "full"  # the name of the view that is the model as it is

Enter = Callable[[nn.Module], AbstractContextManager[Any]]


@dataclass(frozen=True)
class ParamGroup:
    """Parameters of the model that a control trains in its own way; no other optimizer sees them.

    Args:
        params: they belong to the model, and so to its checkpoints.
        lr: learning rate; None: that of the run, with its schedule.
        weight_decay: decoupled decay.
        optimizer: ``"adamw"``, or ``"sgd"`` without momentum.
        is_averaged: whether validation and result see the average over steps, as of all other weights.
        grad_clip: largest absolute value of an entry of their gradients; None: no limit. The clip of the run's whole
            gradient does not see them.
    """

    params: Sequence[nn.Parameter]
    lr: float | None = None
    weight_decay: float = 0.0
    optimizer: Literal["adamw", "sgd"] = "adamw"
    is_averaged: bool = True
    grad_clip: float | None = None


@dataclass
class StepView:
    """One step as a control may see it, with the prediction at hand.

    Args:
        step: steps done before this one.
        total_steps: of the run.
        model: in training mode.
        batch: the training batch after all controls have changed it.
        outcome: of the objective: the prediction, which needs no second pass, and the loss.
        rng: a CPU generator of this method and step alone.
        passes: passes of the model beyond that of the objective, counted by `predict`.
        task: of the run: its loss, and how its output transforms; None where a control is used without a run.
    """

    step: int
    total_steps: int
    model: nn.Module
    batch: Batch
    outcome: "Step"
    rng: torch.Generator = field(default_factory=torch.Generator)
    passes: int = 0
    task: "Task | None" = None

    def predict(self, batch: Batch) -> Any:
        """One more pass of the model, e.g. on moved inputs; it counts as cost."""
        self.passes += 1
        return self.model(batch)


class Control:
    """The actions of a method during a run; each of them does nothing unless a subclass overrides it.

    A control draws from the generators that it is given only. With a weight of zero it must take no extra pass and
    leave plain training bit for bit.
    """

    def param_groups(self) -> Sequence[ParamGroup]:
        """Parameters that need a learning rate, decay or averaging of their own."""
        return ()

    def before(self, step: int) -> None:
        """Called before every step with the number of steps done, so that a schedule resumes by itself."""

    def batch(self, batch: Batch, rng: torch.Generator) -> Batch:
        """The training batch, changed, e.g. moved; in float64, before it is rounded to the dtype of the run."""
        return batch

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """Scalars by name, added to the loss and logged."""
        return {}

    def after(self, view: StepView) -> None:
        """Called after the optimizer step: dual variables, projections, schedules."""

    def values(self) -> Mapping[str, float]:
        """Named values at a validation: gates, multipliers, widths; they reach history and record."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State beside the parameters and buffers of the model: tensors, numbers, strings, lists and dicts of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""


class Method:
    """A training method: a frozen dataclass, registered in `rapidash.registry.METHODS`.

    A `Variant` names its methods in the order in which they act. Two methods, or two settings of one, are never the
    same run.
    """

    registry: ClassVar[Registry[type["Method"]]] = METHODS
    primary_view: str = FULL  # the view whose result is that of the variant

    @property
    def kind(self) -> str:
        """The name under which the method is registered."""
        return self.registry.name_of(type(self))

    def check(self, model: NetworkConfig) -> None:
        """Raise ValueError, saying what the method needs, for a network that it does not fit; by default all do."""

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model to train: the same, with parts wrapped or replaced, or another around it.

        New weights come from torch's global generator, which is seeded for this method alone.
        """
        return model

    def control(self, model: nn.Module, total_steps: int) -> Control | None:
        """The control that acts during a run of a modified model; None if the method needs none."""
        return None

    def views(self, model: nn.Module) -> Mapping[str, Enter]:
        """By name, ways to see a modified model beside ``"full"``: contexts within which it is that view.

        Each view is validated, selected and tested. A saved model is put into a view again by the same contexts, so
        they depend on nothing but the model.
        """
        return {}

    def finish(self, model: nn.Module) -> nn.Module:
        """A modified model without what its primary view does not use, so that it costs nothing; the same function."""
        return model

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """The ledger of a view after the method has changed its symmetry."""
        return before

    def learned_ledger(self, model: nn.Module, before: Ledger, view: str) -> Ledger:
        """The ledger of a view of a trained model, for a method that finds the symmetry; by default that of any model.

        Args:
            model: as all methods have modified it, with the weights that count for the view.
            before, view: as of `ledger`.
        """
        return self.ledger(before, view)

    def average(self) -> "OrbitAverage | None":
        """An average over a group that predictions take at test time."""
        return None

    def acts_in_training(self) -> bool:
        """Whether the weights depend on the method: not for one that only averages, or changes the ledger."""
        parts = (Method.modify, Method.control, Method.views, Method.finish)
        return any(getattr(type(self), part.__name__) is not part for part in parts)
