"""The trained weights of a run: a safetensors file that carries its configuration."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from rapidash._files import atomic_write
from rapidash.study._design import RunConfig
from rapidash.study._plugins import load_plugins
from rapidash.train import Task, get_task

WEIGHTS = "model.safetensors"
_FORMAT = "rapidash-run-1"


@dataclass(frozen=True)
class TrainedRun:
    """A trained model in eval mode, with the task and the configuration that it was trained for."""

    config: RunConfig
    task: Task
    model: nn.Module


def save_weights(model: nn.Module, config: RunConfig, run_dir: Path) -> Path:
    """Write ``model.safetensors`` with the configuration in its metadata; whole or not at all.

    Raises: OSError naming the file when it cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    metadata = {"format": _FORMAT, "config": json.dumps(config.to_dict(), allow_nan=False)}
    atomic_write(run_dir / WEIGHTS, save(tensors, metadata=metadata))
    return run_dir / WEIGHTS


def load_run(path: Path | str) -> TrainedRun:
    """Read the weights of a run, rebuild its model and load them.

    Args:
        path: ``model.safetensors`` of a run, or the directory that holds it.
    Raises: FileNotFoundError for a missing file; ValueError for one that is truncated, was not written by a run, or
        whose weights do not fit the model, naming the file.
    """
    path = Path(path)
    path = path / WEIGHTS if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: give work/KEY/{WEIGHTS} of a study, or its directory")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{path} has no configuration of a run: only {WEIGHTS} files of a study can be read")
    config = RunConfig.from_dict(json.loads(metadata["config"]))
    load_plugins()
    task = get_task(config.task, **config.task_options)
    with torch.random.fork_rng():
        model = task.build(config.variant)
    model.to(dtype=config.train.torch_dtype)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {path} do not fit {config.variant.name!r} of this version: {error}"
        ) from error
    return TrainedRun(config, task, model.eval())
