"""Fitted Q-learning from transitions at hand."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash._seed import seeded
from rapidash.data import Batch, Dataset, Field, RowBatch
from rapidash.groups import Scalar, Vector
from rapidash.methods import (
    Control,
    Objective,
    OrbitAverage,
    Score,
    Step,
    StepView,
    evaluate,
    in_eval_mode,
    refuse_average,
)
from rapidash.relax.rl._grid_world import GridWorld

if TYPE_CHECKING:
    from rapidash.methods import Task

_NOISE = 0.1  # of both coordinates in units of half the side: 0.4 cells


@dataclass(frozen=True)
class FittedQ(Objective):
    r"""Q-learning on a fixed set of transitions, :math:`(Q(s, a) - r - \gamma \max_b \bar Q(s', b))^2`.

    The target network Q-bar follows the network, q <- decay q + (1 - decay) p after every step. The score is the share
    of failures: walks by the move of largest value that do not arrive, one from every cell of the data; beside it with
    a noisy view of the cell in every step, and the error of Q.

    Args:
        decay: of the target network, in [0, 1).
    Raises: ValueError for another decay, or a task that is no grid world.
    Source: Mnih et al., "Human-level control through deep reinforcement learning", Nature 2015, on transitions at hand.
    """

    decay: float = 0.98

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {self.decay}")

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model itself. Raises: ValueError for a task that is no grid world."""
        if not isinstance(getattr(task, "world", None), GridWorld):
            raise ValueError(f"fitted-q learns to walk a grid: use the task 'grid-world', not {task.name!r}")
        return model

    def control(self, model: nn.Module, total_steps: int) -> "TargetNetwork":
        """The target network."""
        return TargetNetwork(model, self.decay)

    def step(self, model: nn.Module, task: "Task", batch: Batch, rng: torch.Generator) -> Step:
        """The squared difference from the target that the control has put into the batch."""
        values = model(batch)
        taken = (values * batch["move"]).sum(dim=1)
        return Step((taken - batch["target"]).square().mean(), values)

    def score(
        self,
        model: nn.Module,
        task: "Task",
        data: Dataset,
        *,
        train: Dataset,
        batch_size: int,
        seed: int = 0,
        average: OrbitAverage | None = None,
    ) -> Score:
        """Failures in per cent, see the class."""
        refuse_average(average, "walks follow the values of the model itself")
        world: GridWorld = task.world  # type: ignore[attr-defined]
        cells = _cells(world, data)
        with in_eval_mode(model), torch.no_grad():
            best = _best_move(model, world.observed(torch.arange(world.size**2)))
            plain = world.arrives(cells, lambda now: best[now])
            noise = seeded(seed, "noise")

            def blurred(now: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
                seen = world.observed(now)
                return _best_move(model, seen + _NOISE * torch.randn(seen.shape, generator=noise, dtype=seen.dtype))

            noisy = world.arrives(cells, blurred)
        details = {
            "failures with noisy states (%)": _failures(noisy),
            "error of Q": evaluate(model, task, data, batch_size=batch_size).mean,
        }
        return Score(_failures(plain), details)

    def metric(self, task: "Task") -> str:
        """Failures."""
        return "failures of the greedy policy"

    def unit(self, task: "Task") -> str:
        """Per cent."""
        return "%"


class TargetNetwork(Control):
    """A slow copy of the network, which gives every transition its target.

    Args:
        model: the network in training.
        decay: of the copy.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.slow = copy.deepcopy(model).requires_grad_(False).eval()

    def batch(self, batch: Batch, rng: torch.Generator) -> Batch:
        """The transitions with their targets."""
        like = next(self.slow.parameters())
        following = batch.with_tensor("state", batch["next_state"]).to(like.device, like.dtype)
        best = self.slow(following).amax(dim=1).to(batch["reward"])
        target = batch["reward"] + batch["discount"] * best
        return batch.with_tensor("target", target, Field(Scalar(), level="cloud"))

    def after(self, view: StepView) -> None:
        """The copy follows."""
        with torch.no_grad():
            for slow, fast in zip(self.slow.parameters(), self.model.parameters(), strict=True):
                slow.lerp_(fast, 1 - self.decay)

    def state_dict(self) -> dict[str, Any]:
        """The weights of the copy."""
        return {"slow": {name: tensor.clone() for name, tensor in self.slow.state_dict().items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with saved weights."""
        self.slow.load_state_dict(state["slow"])


def _best_move(model: nn.Module, seen: Tensor) -> Int[Tensor, " B"]:
    like = next(model.parameters())
    batch = RowBatch({"state": seen.to(like)}, {"state": Field(Vector(), level="cloud")})
    best: Tensor = model(batch).argmax(dim=1).cpu()
    return best


def _cells(world: GridWorld, data: Dataset) -> Int[Tensor, " B"]:
    """The cells of the samples."""
    offsets = (data.tensors["state"] * (world.size // 2)).round().long() + world.size // 2
    return offsets[:, 1] * world.size + offsets[:, 0]


def _failures(arrived: Tensor) -> float:
    return 100 * float((~arrived).double().mean())
