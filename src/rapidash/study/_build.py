"""The model of a run before training."""

import copy

import torch
from torch import nn

from rapidash.data import Dataset
from rapidash.methods import Task, build_model
from rapidash.study._run_config import RunConfig


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
