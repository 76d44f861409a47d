"""The training loop."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from torch import nn

from rapidash.data import Dataset
from rapidash.methods import FULL, Method, Objective, Supervised, Task
from rapidash.ops import ProductKind, use_products
from rapidash.train._checkpoint import Checkpoints
from rapidash.train._config import TrainConfig, check_device
from rapidash.train._interrupt import Interrupts
from rapidash.train._log import TrainingLog
from rapidash.train._training import Setup, Training, describe_training


@dataclass(frozen=True)
class TrainResult:
    """The measurements of a training run, and the weights that it chose.

    Args:
        history: a row per validation: ``step``, ``epoch`` (fractional), ``train_loss`` (of the objective, mean over the
            steps since the last row), ``loss/NAME`` for every part of it and every term of a method, ``val_error`` (of
            the primary view), ``learning_rate``, ``val_error/VIEW`` for the other views, ``val/NAME`` for every figure
            beside the score, ``value/NAME`` for every value of a control, ``seconds`` (of training steps so far).
        best_step, best_val_error: the validation whose weights the model now holds, that of the primary view.
        best: by view the weights that its validation chose.
        best_of_views: step and validation error of these, for the other views.
        extra_passes: passes of the model for terms of methods, per step.
        seconds_per_step: median over the steps (on CUDA over groups of steps), data and optimizer included.
        train_seconds: of all training steps, without validation, checkpoints, and time between interrupted sessions.
        earlier_seconds: of the sessions before this one, with validation, up to the checkpoint from which it continued.
        peak_memory_bytes: largest memory during training steps above that before the first, see `PeakMemory`: on the
            CPU resident memory of the whole process, on CUDA memory of tensors.
        products: the kind of the matrix products of channel MLPs, of all sessions: bfloat16 only where operands were
            rounded.
        products_made: every kind that channel MLPs have made, see `rapidash.ops.use_products`.
        product_error: of one product of ``products`` relative to float64, the largest of all sessions, see
            `rapidash.ops.product_error`.
    """

    history: list[dict[str, int | float]]
    best_step: int
    best_val_error: float
    best: dict[str, dict[str, Any]] = field(repr=False)
    best_of_views: dict[str, tuple[int, float]]
    extra_passes: float
    seconds_per_step: float
    train_seconds: float
    earlier_seconds: float
    peak_memory_bytes: int
    products: ProductKind
    products_made: tuple[ProductKind, ...]
    product_error: float


def train(
    model: nn.Module,
    task: Task,
    config: TrainConfig,
    *,
    train_set: Dataset,
    val_set: Dataset,
    seed: int,
    run_dir: Path | str,
    progress: bool | Literal["always"],
    objective: Objective | None = None,
    methods: Sequence[Method] = (),
    primary_view: str = FULL,
) -> TrainResult:
    """Train a model for a fixed number of steps and leave it, in eval mode, with its best weights by validation.

    The weights that validation sees, and that the model is left with, are the averaged ones (`WeightAverage`). A run
    is a function of its arguments: data order, objective and methods draw from streams named by seed and step, and
    torch's global generator is seeded inside and left as it was. When ``run_dir`` holds a checkpoint of the same run it
    continues there, with the kind of matrix products with which it began; on the CPU with equal threads and flags of
    torch the result is the same bit for bit as without the interruption. Ctrl-C and SIGTERM save first.

    Args:
        model: ``forward(batch) -> prediction``; moved to the device and dtype of the config. A method
            ``calibrate(batch)`` is called once, before the first step of a fresh run.
        task: loss and metric.
        config: the settings.
        train_set, val_set: the samples to learn from and to select on. There is no place for test data.
        seed: names the random streams.
        run_dir: directory of checkpoints and TensorBoard events.
        progress: on stderr, a bar if that is a terminal, else a line for every validation; ``"always"``: a bar.
        objective: what is minimized and scored; None: the loss and metric of the task. The model is modified by it and
            by the methods already, see `rapidash.methods.build_model`.
        methods: in the order in which they act.
        primary_view: of the model, by whose validation the weights are chosen with which the model is left.
    Raises:
        ValueError: for empty data, a device that is not there, a model without parameters, or a checkpoint of another
            configuration (naming what differs), or two methods that train one parameter.
        CheckpointError: for a checkpoint that cannot be written (the one before is intact) or read.
        TrainingDivergedError: for a loss, validation error or weight that is not finite.
    """
    if len(val_set) == 0:
        raise ValueError("val_set has no samples: the best weights are chosen on it")
    device, run_dir = find_device(config.device), Path(run_dir)
    model.to(device=device, dtype=config.torch_dtype)
    setup = Setup(
        task, objective or Supervised(), tuple(methods), config, train_set, val_set, seed, device, primary_view
    )
    checkpoints = Checkpoints(run_dir, describe_training(model, setup))
    forked = [device] if device.type == "cuda" else []
    with limited_threads(config.threads), torch.random.fork_rng(devices=forked), Interrupts() as interrupts:
        run = Training(model, setup, checkpoints)
        tensorboard = run_dir / "tensorboard" if config.log_tensorboard else None
        shown = TrainingLog(total=config.steps, done=run.progress.step, progress=progress, tensorboard=tensorboard)
        with shown as log, use_products(run.products) as made:
            made.update(run.products_made)
            run.products_made = made
            _drive(run, interrupts, log)
    model.load_state_dict(run.best[primary_view])
    model.eval()
    state = run.progress
    return TrainResult(
        history=state.history,
        best_step=state.best_step,
        best_val_error=state.best_val_error,
        best=run.best,
        best_of_views=state.best_of_views,
        extra_passes=state.extra_passes / max(1, state.step),
        seconds_per_step=median(state.step_seconds),
        train_seconds=state.seconds,
        earlier_seconds=run.earlier_seconds,
        peak_memory_bytes=state.peak_memory_bytes,
        products=run.products_in_use(),
        products_made=tuple(sorted(run.products_made)),
        product_error=run.product_error,
    )


def _drive(run: Training, interrupts: Interrupts, log: TrainingLog) -> None:
    """Steps, validations and checkpoints until the end, or until a signal."""
    config, progress = run.config, run.progress
    begun_at = progress.step
    run.memory.start()
    while progress.step < config.steps:
        is_first = progress.step == begun_at
        log.advance(run.advance())
        if is_first:
            run.check_products()
        ended = progress.step == config.steps
        validate = ended or progress.step % config.eval_every == 0
        save = ended or progress.step % config.checkpoint_every == 0 or interrupts.received is not None
        if not (validate or save):
            continue
        run.memory.stop()
        if validate:
            log.row(run.validate())
        if save:
            run.save()
            interrupts.raise_received()
        run.memory.start()
    interrupts.raise_received()


def find_device(name: str) -> torch.device:
    """The device with this name. Raises: ValueError for one that torch does not see, or another kind."""
    check_device(name)
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise ValueError(f"device={name!r}, but torch sees {count} CUDA devices: use device='cpu'")
        return torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
    return device


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Within the block torch uses so many threads; None: as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
