"""Training methods plug in as hooks: the loop knows hooks, not methods."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from rapidash.data import CloudBatch


@runtime_checkable
class Hook(Protocol):
    """A training method, usually a frozen dataclass: terms of the loss.

    A hook may also have ``on_step`` (see `SteppedHook`) and a state (see `StatefulHook`). A weight of zero must give
    plain training.
    """

    def loss_terms(self, model: nn.Module, batch: CloudBatch, rng: torch.Generator) -> dict[str, Tensor]:
        """Scalars by name, added to the task's loss and logged.

        ``batch`` is the training batch after augmentation; ``rng`` is a CPU generator of this hook and step alone.
        """
        ...


@runtime_checkable
class SteppedHook(Hook, Protocol):
    """A hook with a schedule."""

    def on_step(self, step: int) -> None:
        """Called before every step with the number of steps done, so that a schedule resumes by itself."""
        ...


@runtime_checkable
class StatefulHook(Hook, Protocol):
    """A hook whose state (say, a dual variable) is not a function of the step: it goes into the checkpoints."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings, lists and dicts of them."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        ...
