"""One training run as an object: its state, one step, validation, saving and continuing."""

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudDataset
from rapidash.groups import Group
from rapidash.train._batches import TrainingBatches
from rapidash.train._checkpoint import Checkpoints
from rapidash.train._config import WITHOUT_EFFECT, TrainConfig
from rapidash.train._ema import WeightAverage
from rapidash.train._evaluate import evaluate
from rapidash.train._hooks import Hook, StatefulHook, SteppedHook
from rapidash.train._memory import PeakMemory
from rapidash.train._optim import build_optimizers, learning_rate, set_learning_rate, trainable_parameters
from rapidash.train._task import Task

_UNRELATED = (*WITHOUT_EFFECT, "threads", "device")  # settings that a continuation may change
_MAX_TIMES = 4096


class TrainingDivergedError(RuntimeError):
    """A loss, an error or a weight is not finite; the message names the step and the last checkpoint."""


@dataclass
class Progress:
    """Everything about a run that is neither weights nor optimizer state."""

    step: int = 0
    history: list[dict[str, int | float]] = field(default_factory=list)
    loss_sums: dict[str, float] = field(default_factory=dict)  # since the last row of the history
    loss_steps: int = 0
    best_step: int = 0
    best_val_error: float = math.inf
    seconds: float = 0.0
    step_seconds: list[float] = field(default_factory=list)
    peak_memory_bytes: int = 0
    wall_seconds: float = 0.0  # of all sessions up to the checkpoint, with validation


class Run:
    """A model in training; `train` drives it.

    Args: as `train`, with the batches and the checkpoints of the run.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        config: TrainConfig,
        batches: TrainingBatches,
        val_set: CloudDataset,
        hooks: Sequence[Hook],
        checkpoints: Checkpoints,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model, self.task, self.config, self.val_set, self.seed = model, task, config, val_set, seed
        self.batches, self.hooks, self.checkpoints, self.device = batches, hooks, checkpoints, device
        self.progress = Progress()
        self.memory = PeakMemory(device)
        self.window = steps_between_looks(device)
        self._stepped = [hook for hook in hooks if isinstance(hook, SteppedHook)]
        self._stateful = [hook for hook in hooks if isinstance(hook, StatefulHook)]
        self._clock = time.perf_counter()
        self._start()
        self.earlier_seconds = self.progress.wall_seconds

    def _start(self) -> None:
        """Continue from the checkpoint, or calibrate a fresh model on its first batch."""
        state = self.checkpoints.load()
        self.model.train()
        if state is None:
            torch.manual_seed(seeded(self.seed, "train").initial_seed())
            if callable(calibrate := getattr(self.model, "calibrate", None)):
                calibrate(self.batches[0])
        self.parameters = trainable_parameters(self.model)
        self.optimizers = build_optimizers(self.model, self.config)
        self.average = WeightAverage(self.model, self.config.ema_decay)
        self.best = _copy(self.model.state_dict())
        if state is not None:
            self._restore(state)

    def advance(self) -> int:
        """Take steps until the next look at the losses, at most to the next validation or checkpoint; how many."""
        step, config = self.progress.step, self.config
        ends = [step + self.window, config.steps]
        ends += [(step // every + 1) * every for every in (config.eval_every, config.checkpoint_every)]
        started, names, losses = time.perf_counter(), [], []
        for index in range(step, min(ends)):
            terms = self._step(index)
            names += [(index, name) for name in terms]
            losses += [term.detach().reshape(1) for term in terms.values()]
        values = torch.cat(losses).tolist()  # waits for the device
        seconds = time.perf_counter() - started
        for (index, name), value in zip(names, values, strict=True):
            if not math.isfinite(value):
                self._diverged(f"{name} is {value} in step {index + 1}")
            self.progress.loss_sums[name] = self.progress.loss_sums.get(name, 0.0) + value
        count = min(ends) - step
        self.progress.step += count
        self.progress.loss_steps += count
        self.progress.seconds += seconds
        self.progress.step_seconds.append(seconds / count)
        return count

    def _step(self, step: int) -> dict[str, Tensor]:
        """One optimizer step; the terms of its loss."""
        for stepped in self._stepped:
            stepped.on_step(step)
        batch = self.batches[step]
        set_learning_rate(self.optimizers, learning_rate(step, self.config))
        terms = {"train_loss": self.task.loss(self.model(batch), batch)}
        for index, hook in enumerate(self.hooks):
            rng = seeded(self.seed, "hook", index, step)
            for name, term in hook.loss_terms(self.model, batch, rng).items():
                terms[f"loss/{name}"] = term
        loss = sum(list(terms.values())[1:], start=terms["train_loss"])
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.grad_clip:
            nn.utils.clip_grad_norm_(self.parameters, self.config.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.average.update()
        return terms

    def validate(self) -> dict[str, int | float]:
        """Add a row to the history; keep the weights when they are the best so far."""
        progress, config = self.progress, self.config
        with self.average.applied():
            result = evaluate(self.model, self.task, self.val_set, batch_size=config.batch_size)
            error = result.mean
            if not math.isfinite(error):
                self._diverged(f"the validation error is {error} after step {progress.step}")
            if error < progress.best_val_error:
                progress.best_step, progress.best_val_error = progress.step, error
                self.best = _copy(self.model.state_dict())
        row: dict[str, int | float] = {"step": progress.step, "epoch": progress.step / self.batches.steps_per_epoch}
        row |= {name: total / progress.loss_steps for name, total in progress.loss_sums.items()}
        row |= {"val_error": error, "learning_rate": learning_rate(progress.step - 1, config)}
        row |= {f"val/{name}": value for name, value in result.details.items()}
        row["seconds"] = progress.seconds
        progress.history.append(row)
        progress.loss_sums, progress.loss_steps = {}, 0
        return row

    def save(self) -> None:
        """Write a checkpoint, of finite weights only."""
        finite = torch.stack([torch.isfinite(parameter).all() for parameter in self.parameters])
        if not bool(finite.all()):
            self._diverged(f"a weight is not finite after step {self.progress.step}")
        self.progress.step_seconds = self.progress.step_seconds[-_MAX_TIMES:]
        self.progress.wall_seconds = self.earlier_seconds + time.perf_counter() - self._clock
        self.progress.peak_memory_bytes = max(self.progress.peak_memory_bytes, self.memory.bytes)
        state = {
            "progress": {item.name: getattr(self.progress, item.name) for item in fields(Progress)},
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": self.average.state_dict(),
            "best": self.best,
            "hooks": [hook.state_dict() for hook in self._stateful],
            "random": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        self.checkpoints.save(state)

    def _restore(self, state: dict[str, Any]) -> None:
        self.progress = Progress(**state["progress"])
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.average.load_state_dict(state["average"], num_updates=self.progress.step)
        self.best = state["best"]
        for hook, saved in zip(self._stateful, state["hooks"], strict=True):
            hook.load_state_dict(saved)
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and "random_cuda" in state:
            torch.cuda.set_rng_state(state["random_cuda"], self.device)

    def _diverged(self, what: str) -> None:
        newest = self.checkpoints.newest()
        raise TrainingDivergedError(
            f"training stopped: {what}. Last checkpoint: {newest or 'none yet'}. Lower the learning rate "
            f"({self.config.learning_rate}), lengthen warmup_steps ({self.config.warmup_steps}), set grad_clip "
            f"({self.config.grad_clip}), or look for extreme values in the data"
        )


def steps_between_looks(device: torch.device) -> int:
    """How many steps run before the losses are looked at: a look waits for a GPU, and costs nothing on the CPU."""
    return 32 if device.type == "cuda" else 1


def describe_run(
    model: nn.Module,
    task: Task,
    config: TrainConfig,
    *,
    augment: Group | None,
    train_set: CloudDataset,
    val_set: CloudDataset,
    seed: int,
    hooks: Sequence[Hook],
) -> dict[str, str]:
    """What a continuation must share with the run that it continues, flat and in words."""
    description = {"task": task.name, "seed": str(seed), "augment": str(augment)}
    description |= {f"train.{key}": str(value) for key, value in asdict(config).items() if key not in _UNRELATED}
    description |= {"train_set": _fingerprint(train_set), "val_set": _fingerprint(val_set)}
    description |= {f"hook.{i}": _hook_name(hook) for i, hook in enumerate(hooks)}
    for name, tensor in model.state_dict().items():
        description[f"model.{name}"] = f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
    return description


def _fingerprint(dataset: CloudDataset) -> str:
    """The size of a dataset, and a hash of its first and last cloud."""
    if len(dataset) == 0:
        return "0 clouds"
    ends = dataset.batch(torch.tensor([0, len(dataset) - 1]))
    content = hashlib.sha256()
    for name in sorted(ends.tensors):
        content.update(name.encode() + ends.tensors[name].contiguous().cpu().numpy().tobytes())
    return f"{len(dataset)} clouds, {content.hexdigest()[:12]}"


def _hook_name(hook: Hook) -> str:
    """A hook in words: dataclasses with their settings, other objects by type (their repr holds an address)."""
    return repr(hook) if hasattr(hook, "__dataclass_fields__") else type(hook).__qualname__


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value.detach().clone() if isinstance(value, Tensor) else value for name, value in state.items()}
