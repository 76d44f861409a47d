"""The cost of one step of a training, measured before anything is trained."""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from rapidash.ops import counted_flops
from rapidash.train._checkpoint import Checkpoints
from rapidash.train._loop import limited_threads
from rapidash.train._training import Setup, Training

WARM_UP, ROUNDS = 2, 9  # steps of every training: kernels are compiled in the first; medians are over the others


@dataclass(frozen=True)
class StepCost:
    """Seconds of one training step, median, and its floating point operations, forward and backward.

    Counted are matrix products and the kernels of this package, see `rapidash.ops.flop_formulas`; None where operations
    of a step cannot be counted, which ``uncounted`` names, as convolutions where the gradient of an energy is trained.
    """

    seconds: float
    flops: int | None
    uncounted: tuple[str, ...] = ()


def step_costs(
    trainings: Mapping[str, tuple[nn.Module, Setup]], *, clock: Callable[[], float] = time.perf_counter
) -> list[StepCost]:
    """The cost of the first step of some trainings, measured in turns, so that what slows the machine slows all.

    The objective, the terms of methods and the optimizer are part of a step. The models are trained by these steps:
    give fresh ones. A training without ``threads`` gets one, as in a study. Torch's global generator is left as it was.

    Args:
        trainings: by name, models as `rapidash.train.train` takes them, and what it is told.
        clock: seconds; `time.process_time` where what else the machine does should not count.
    Raises: ValueError, naming the training, for one whose steps raise an error.
    """
    devices = {setup.device for _, setup in trainings.values() if setup.device.type == "cuda"}
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=list(devices)):
        made: list[Training] = []
        for name, (model, setup) in trainings.items():
            try:
                made.append(_started(model, setup, Path(folder) / str(len(made))))
            except Exception as error:
                raise ValueError(f"a step of {name} cannot be measured: {type(error).__name__}: {error}") from error
        times = [[_seconds(training, clock) for training in made] for _ in range(ROUNDS)]
        medians = map(statistics.median, zip(*times, strict=True))
        return [StepCost(seconds, *_flops(training)) for seconds, training in zip(medians, made, strict=True)]


def _started(model: nn.Module, setup: Setup, folder: Path) -> Training:
    """A training that has warmed up."""
    model.to(device=setup.device, dtype=setup.config.torch_dtype)
    with limited_threads(setup.config.threads or 1):
        training = Training(model, setup, Checkpoints(folder, {}))
    for _ in range(WARM_UP):
        _seconds(training, time.perf_counter)
    return training


def _seconds(training: Training, clock: Callable[[], float]) -> float:
    """One step on the first batch."""
    with limited_threads(training.config.threads or 1):
        started = clock()
        terms = training.first_step()
        sum(float(term.detach()) for term in terms.values())  # waits for the device
        return clock() - started


def _flops(training: Training) -> tuple[int | None, tuple[str, ...]]:
    """The operations of a step, and the names of those that cannot be counted."""
    with counted_flops() as count:
        training.first_step()
    return None if count.missed else count.total, tuple(sorted(count.missed))
