"""One training run as an object: its state, one step, validation, saving and continuing."""

import hashlib
import json
import math
import time
import warnings
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rapidash._plain import to_plain
from rapidash._seed import seeded
from rapidash.data import Dataset
from rapidash.methods import FULL, Method, Objective, Score, Task, in_view, view_names
from rapidash.ops import ProductKind, check_float32, check_rounded, product_libraries, products_of
from rapidash.train._batches import TrainingBatches
from rapidash.train._checkpoint import Checkpoints
from rapidash.train._config import WITHOUT_EFFECT, TrainConfig
from rapidash.train._controls import Controls, stream_names
from rapidash.train._ema import WeightAverage
from rapidash.train._memory import PeakMemory
from rapidash.train._optim import build_optimizers, learning_rate, set_learning_rate, trainable_parameters

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
    best_of_views: dict[str, tuple[int, float]] = field(default_factory=dict)  # step and error, of the other views
    extra_passes: int = 0  # of the model, for terms of methods
    seconds: float = 0.0
    step_seconds: list[float] = field(default_factory=list)
    peak_memory_bytes: int = 0
    wall_seconds: float = 0.0  # of all sessions up to the checkpoint, with validation


@dataclass(frozen=True)
class Setup:
    """The parts of a run, see `train`."""

    task: Task
    objective: Objective
    methods: tuple[Method, ...]
    config: TrainConfig
    train_set: Dataset
    val_set: Dataset
    seed: int
    device: torch.device
    primary_view: str = FULL


class Training:
    """A model in training; `train` drives it.

    Args:
        model: modified by the objective and the methods.
        setup: all else.
        checkpoints: of the run.
    """

    def __init__(self, model: nn.Module, setup: Setup, checkpoints: Checkpoints) -> None:
        self.model, self.setup, self.config, self.seed = model, setup, setup.config, setup.seed
        self.checkpoints, self.device = checkpoints, setup.device
        self.progress = Progress()
        self.products = products_of(
            self.config.precision, model
        )  # of the whole run: a continuation has those of the first session
        self.products_made: set[ProductKind] = set()  # by channel MLPs, in all sessions
        self.product_error = 0.0  # the largest of all sessions
        self.memory = PeakMemory(setup.device)
        self.window = steps_between_looks(setup.device)
        self._clock = time.perf_counter()
        self._start()
        self.earlier_seconds = self.progress.wall_seconds

    def _start(self) -> None:
        """Continue from the checkpoint, or calibrate a fresh model on its first batch."""
        setup, config = self.setup, self.config
        state = self.checkpoints.load()
        self.model.train()
        self.controls = Controls(
            self.model,
            setup.objective,
            setup.methods,
            total_steps=config.steps,
            seed=setup.seed,
            task=setup.task,
        )
        self.batches = TrainingBatches(
            setup.train_set,
            config.batch_size,
            seed=setup.seed,
            device=setup.device,
            dtype=config.torch_dtype,
            controls=self.controls,
        )
        if state is None:
            torch.manual_seed(seeded(self.seed, "train").initial_seed())
            if callable(calibrate := getattr(self.model, "calibrate", None)):
                calibrate(self.batches[0])
        self.owned = owned = self.controls.param_groups()
        foreign = {id(parameter) for group in owned for parameter in group.params}
        self.parameters = trainable_parameters(self.model)
        self.clipped = [parameter for parameter in self.parameters if id(parameter) not in foreign]
        self.optimizers = build_optimizers(self.model, config, owned)
        not_averaged = [parameter for group in owned if not group.is_averaged for parameter in group.params]
        self.average = WeightAverage(self.model, config.ema_decay, not_averaged)
        self.views = view_names(setup.methods, self.model)
        self.best = {view: _copy(self.model.state_dict()) for view in self.views}
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

    def products_in_use(self) -> ProductKind:
        """The kind of the run's products, torch's in place of bfloat16 where no operand has been rounded."""
        is_rounded = self.products != "bfloat16" or "bfloat16" in self.products_made
        return self.products if is_rounded else "torch"

    def check_products(self) -> None:
        """After the first steps of a session: the error of their products, and warnings where they are not as asked."""
        error = check_float32(self.products_in_use(), self.parameters[0])
        self.product_error = max(error, self.product_error)  # NaN stays
        if self.config.precision == "bfloat16":
            check_rounded(self.products_made)

    def first_step(self) -> dict[str, Tensor]:
        """The first step, which may be taken again and again: always on the same batch."""
        return self._step(0)

    def _step(self, step: int) -> dict[str, Tensor]:
        """One optimizer step; the loss of the objective, its parts, and the terms of the methods."""
        self.controls.before(step)
        batch = self.batches[step]
        set_learning_rate(self.optimizers, learning_rate(step, self.config))
        outcome = self.setup.objective.step(self.model, self.setup.task, batch, seeded(self.seed, "objective", step))
        terms = self.controls.terms(step, batch, outcome)
        loss = sum(terms.values(), start=outcome.loss)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.grad_clip:
            nn.utils.clip_grad_norm_(self.clipped, self.config.grad_clip)
        for group in self.owned:
            if group.grad_clip is not None:
                nn.utils.clip_grad_value_(group.params, group.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        torch.autograd.graph.increment_version(self.parameters)  # fused steps do not, and kept tables look at it
        self.average.update()
        self.controls.after()
        self.progress.extra_passes = self.controls.extra_passes
        return {"train_loss": outcome.loss} | {
            f"loss/{name}": term for name, term in {**outcome.parts, **terms}.items()
        }

    def validate(self) -> dict[str, int | float]:
        """Add a row to the history; keep the weights of every view when they are the best so far."""
        progress, config, primary = self.progress, self.config, self.setup.primary_view
        with self.average.applied():
            scores = {view: self._score(view) for view in self.views}
        row: dict[str, int | float] = {"step": progress.step, "epoch": progress.step / self.batches.steps_per_epoch}
        row |= {name: total / progress.loss_steps for name, total in progress.loss_sums.items()}
        row |= {"val_error": scores[primary].error, "learning_rate": learning_rate(progress.step - 1, config)}
        row |= {f"val_error/{view}": score.error for view, score in scores.items() if view != primary}
        row |= {f"val/{name}": value for name, value in scores[primary].details.items()}
        row |= {f"value/{name}": value for name, value in self.controls.values().items()}
        row["seconds"] = progress.seconds
        progress.history.append(row)
        progress.loss_sums, progress.loss_steps = {}, 0
        return row

    def _score(self, view: str) -> Score:
        """The score of a view on the validation data; its weights are kept when it is the best so far."""
        setup, progress = self.setup, self.progress
        with in_view(self.model, setup.methods, view):
            score = setup.objective.score(
                self.model, setup.task, setup.val_set, train=setup.train_set, batch_size=self.config.batch_size
            )
        if not math.isfinite(score.error):
            which = "" if view == FULL else f" of the view {view!r}"
            self._diverged(f"the validation error{which} is {score.error} after step {progress.step}")
        if score.error < self.best_error(view):
            self.best[view] = _copy(self.model.state_dict())
            if view == setup.primary_view:
                progress.best_step, progress.best_val_error = progress.step, score.error
            else:
                progress.best_of_views[view] = (progress.step, score.error)
        return score

    def best_error(self, view: str) -> float:
        """The least validation error of a view so far."""
        if view == self.setup.primary_view:
            return self.progress.best_val_error
        return self.progress.best_of_views.get(view, (0, math.inf))[1]

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
            "best": self.best[self.setup.primary_view],
            "best_of_views": {v: state for v, state in self.best.items() if v != self.setup.primary_view},
            "controls": self.controls.state_dict(),
            "random": torch.get_rng_state(),
            "products": self.products,
            "products_made": sorted(self.products_made),
            "product_error": self.product_error,
        }
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        self.checkpoints.save(state)

    def _restore(self, state: dict[str, Any]) -> None:
        self.progress = Progress(**state["progress"])
        self.products = state.get("products", "torch")  # earlier versions had no other
        self.products_made = set(state.get("products_made", [self.products]))  # earlier versions did not look
        self.product_error = state.get("product_error", 0.0)  # earlier versions do not say it
        if self.products not in (*product_libraries(), "bfloat16"):
            warnings.warn(
                f"the run began with matrix products of {self.products}, which this build of torch does not have: it "
                "continues with torch's, whose last digits differ",
                stacklevel=5,
            )
            self.products = "torch"
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.average.load_state_dict(state["average"], num_updates=self.progress.step)
        self.best = {self.setup.primary_view: state["best"], **state["best_of_views"]}
        self.controls.load_state_dict(state["controls"])
        self.controls.extra_passes = self.progress.extra_passes
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


def describe_training(model: nn.Module, setup: Setup) -> dict[str, str]:
    """Describe the parts of a run that its continuation must share, flat and in words."""
    description = {"task": setup.task.name, "seed": str(setup.seed)}
    settings = to_plain(setup.config, for_key=True)  # checkpoints do not have fields that came later
    description |= {f"train.{key}": str(value) for key, value in settings.items() if key not in _UNRELATED}
    description |= {"train_set": _fingerprint(setup.train_set), "val_set": _fingerprint(setup.val_set)}
    description |= {"objective": _in_words(setup.objective)}
    named = zip(stream_names(setup.methods), setup.methods)
    description |= {f"method {name}": _in_words(method) for name, method in named if method.acts_in_training()}
    for name, tensor in model.state_dict().items():
        description[f"model.{name}"] = f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
    return description


def _fingerprint(dataset: Dataset) -> str:
    """The size of a dataset, and a hash of its first and last sample."""
    if len(dataset) == 0:
        return "0 samples"
    ends = dataset.batch(torch.tensor([0, len(dataset) - 1]))
    content = hashlib.sha256()
    for name in sorted(ends.tensors):
        content.update(name.encode() + ends.tensors[name].contiguous().cpu().numpy().tobytes())
    return f"{len(dataset)} samples, {content.hexdigest()[:12]}"


def _in_words(part: Method | Objective) -> str:
    """A method or an objective with its settings, as in the key of a run; what is no dataclass by its type."""
    return json.dumps(to_plain(part, for_key=True), sort_keys=True) if is_dataclass(part) else type(part).__qualname__


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value.detach().clone() if isinstance(value, Tensor) else value for name, value in state.items()}
