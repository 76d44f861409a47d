"""The trained model of a run: a saved model that carries the run's configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from rapidash._hub import model_folder
from rapidash._plain import to_plain
from rapidash._pretrained import CONFIG, find_pretrained
from rapidash._pretrained import WEIGHTS as WEIGHTS_FILE
from rapidash._training_folder import MODEL_FOLDER
from rapidash.methods import FULL, Task
from rapidash.predict import TrainedModel
from rapidash.study._plugins import load_plugins
from rapidash.study._run_config import RunConfig
from rapidash.tasks import FileTask, get_task

WEIGHTS = f"{MODEL_FOLDER}/{WEIGHTS_FILE}"  # in the directory of a run


@dataclass(frozen=True)
class TrainedRun:
    """A trained model in eval mode, with the task and the configuration that it was trained for.

    The model is the primary view of the variant, without what this does not use.
    """

    config: RunConfig
    task: Task
    model: nn.Module
    view: str = FULL


def save_weights(
    model: nn.Module, config: RunConfig, run_dir: Path, *, results: Mapping[str, Any] | None = None
) -> Path:
    """Write the folder ``model`` of a run, see `TrainedModel.save_pretrained`, and return it.

    Args:
        model: with its trained weights.
        config: what was run.
        run_dir: directory of the run.
        results: what the card tells: ``test_error``, ``metric``, ...
    Raises: OSError naming the file when it cannot be written.
    """
    task = get_task(config.task, **config.task_options)
    plain = config.to_dict()
    trained = TrainedModel(
        config.task,
        config.task_options,
        config.variant,
        model,
        reference=task.reference() if isinstance(task, FileTask) else {},
        training={name: plain[name] for name in ("seed", "fraction", "train", *_also(config))},
        results=results or {},
        view=config.variant.primary_view,
    )
    return trained.save_pretrained(run_dir / MODEL_FOLDER)


def _also(config: RunConfig) -> list[str]:
    """Entries of a configuration that are there where they say something."""
    return [name for name in ("level", "init") if getattr(config, name)]


def load_run(path: Path | str, *, data_dir: str | None = None) -> TrainedRun:
    """The trained model of a run, with its configuration.

    Args:
        path: the directory of a run, the folder ``model`` in it, or a file in that.
        data_dir: where the task's data are now, if the run was told another folder by its option ``data_dir``.
    Raises: FileNotFoundError for a missing file; ValueError for one that is damaged, was not written by a run, or whose
        weights do not fit the model, naming file and entry.
    """
    load_plugins()
    trained = TrainedModel.from_pretrained(path)
    if "train" not in trained.training:
        raise ValueError(
            f"{find_pretrained(model_folder(path)) / CONFIG}: 'training' does not say how the model was trained, it "
            "was not saved by a run: rapidash predict takes it, rapidash measure only models of a run"
        )
    config = RunConfig.from_dict(
        {
            "task": trained.task_name,
            "task_options": trained.task_options,
            "variant": to_plain(trained.variant),
            **trained.training,
        }
    )
    task = trained.task
    if data_dir is not None and config.task_options.get("data_dir") is not None:
        task = get_task(config.task, **{**config.task_options, "data_dir": data_dir})
    return TrainedRun(config, task, trained.finished(), trained.view)
