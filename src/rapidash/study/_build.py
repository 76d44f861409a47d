"""The model of a run before training."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from rapidash._allocation_limit import COPIES_IN_TRAINING, AllocationLimit, machine_memory
from rapidash._plain import content_key, to_plain
from rapidash.data import Dataset
from rapidash.methods import Task, build_model
from rapidash.study._plugins import load_plugins
from rapidash.study._run_config import RunConfig
from rapidash.tasks import get_task


def fresh_model(task: Task, config: RunConfig) -> nn.Module:
    """The model of a run before training; its weights depend on the run's seed only."""
    model = build_model(task, config.variant, seed=config.seed)
    return model.to(device=config.train.device, dtype=config.train.torch_dtype)


def calibrated(model: nn.Module, train_set: Dataset, config: RunConfig) -> nn.Module:
    """A copy of a fresh model as the training will start from it: rescaled on one batch, where it can be."""
    twin = copy.deepcopy(model)
    calibrate = getattr(twin, "calibrate", None)
    if calibrate is not None:
        batch = train_set.batch(torch.arange(min(config.train.batch_size, len(train_set))))
        calibrate(batch.to(config.train.device, config.train.torch_dtype))
    return twin


def check_networks(runs: Sequence[RunConfig]) -> None:
    """Build the model of every variant at every level once: a value that a network refuses is told before training.

    Raises: ValueError naming level and variant, for a model that cannot be built or is too large to be trained here.
    """
    load_plugins()
    for run in {content_key(to_plain([run.variant, run.task_options])): run for run in runs}.values():
        try:
            with AllocationLimit(machine_memory() // COPIES_IN_TRAINING):
                build_model(get_task(run.task, **run.task_options), run.variant)
        except Exception as error:
            level = {name: value for name, value in run.level.items() if not name.startswith("train.")}
            raise ValueError(f"factors {level!r} of variant {run.variant.name!r}: {error}") from error
