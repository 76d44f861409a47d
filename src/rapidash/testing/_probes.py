"""Methods that watch another one: they stand before and behind it in a run."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rapidash.data import Batch
from rapidash.methods import Control, Method

DROPPED = 0.1  # share of the entries of a prediction


class InterruptedRunError(Exception):
    """Ends a run in the middle, as a kill does."""


class _Dropout:
    """A hook behind a model, which then draws from torch's global generator in every pass of training."""

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, Tensor) and module.training:
            return nn.functional.dropout(output, DROPPED)
        return output


class Before(Method):
    """Stands before a method: drops a part of the predictions in training, and writes down what comes in.

    Args:
        log: filled during the run: batches by step, and the states of torch's global generator by moment.
    """

    kind = "a probe before"

    def __init__(self, log: dict[str, Any]) -> None:
        self.log = log

    def modify(self, model: nn.Module, task: Any) -> nn.Module:
        """The same model, with dropout behind it."""
        model.register_forward_hook(_Dropout())
        return model

    def control(self, model: nn.Module, total_steps: int) -> Control:
        """Writes down."""
        return _Watch(self.log, "before")


class Behind(Method):
    """Stands behind a method: counts the passes of the model in training, writes down, and ends the run when asked.

    Args:
        log: as of `Before`.
        ends_at: the step before which the run ends with `InterruptedRunError`; None: never.
    """

    kind = "a probe behind"

    def __init__(self, log: dict[str, Any], ends_at: int | None = None) -> None:
        self.log, self.ends_at = log, ends_at

    def control(self, model: nn.Module, total_steps: int) -> Control:
        """Counts, writes down, and ends."""
        self.log["passes"] = 0

        def count(module: nn.Module, args: Any) -> None:
            if module.training:
                self.log["passes"] += 1

        model.register_forward_pre_hook(count)
        return _Watch(self.log, "behind", self.ends_at)


class _Watch(Control):
    """Writes down batches and the generator, but not around `terms` and `after`, whose draws a run keeps apart."""

    def __init__(self, log: dict[str, Any], place: str, ends_at: int | None = None) -> None:
        self.log, self.place, self.ends_at, self.step = log, place, ends_at, 0

    def before(self, step: int) -> None:
        if step == self.ends_at:
            raise InterruptedRunError
        self.step = step
        self._write("before")

    def batch(self, batch: Batch, rng: torch.Generator) -> Batch:
        self.log[f"{self.place} batch {self.step}"] = {name: tensor.clone() for name, tensor in batch.tensors.items()}
        self._write("batch")
        return batch

    def values(self) -> Mapping[str, float]:
        self._write("values")
        return {}

    def state_dict(self) -> dict[str, Any]:
        self._write("state_dict")
        return {}

    def _write(self, part: str) -> None:
        self.log[f"{self.place} {part} {self.step} random"] = torch.get_rng_state()


def draws_of_the_global_generator(log: Mapping[str, Any]) -> str | None:
    """The first part of a control between the two probes that moved torch's global generator, None for none."""
    for name, state in log.items():
        place, _, rest = name.partition(" ")
        if place == "before" and rest.endswith("random"):
            other = log.get(f"behind {rest}")
            if other is not None and not torch.equal(state, other):
                return rest.split(" ")[0]
    return None
