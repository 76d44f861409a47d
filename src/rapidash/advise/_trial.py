"""One training of a race: trained on a part of the training data, judged on validation data, and its file."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from rapidash._files import atomic_write
from rapidash.advise._saved import SchemaError, read_saved, record
from rapidash.data import CloudDataset, Dataset, moved
from rapidash.groups import SO
from rapidash.methods import Supervised, Task, build_model, evaluate, in_view
from rapidash.study import RunConfig, Store, last_line, training_subset
from rapidash.train import train

Clock = Callable[[], float]
"""Seconds: `time.perf_counter`, or `time.process_time` where what else the machine does should not count."""
SCHEMA: Final = 1
MOST_VALIDATION: Final = 1000  # clouds that judge a trial
FAILURES: Final = (RuntimeError, ValueError, ArithmeticError)
"""Errors of a training that are its result: it is not tried again."""
_DIGITS: Final = 6


@dataclass(frozen=True)
class Parts:
    """The data of a race. There is no place for test data.

    Args:
        train, val: the samples to learn from, and those that judge.
        turned: the latter, each turned by a rotation of its own.
    """

    train: CloudDataset
    val: CloudDataset
    turned: Dataset

    @classmethod
    def of(cls, task: Task, seed: int) -> "Parts":
        """The training and validation part of a task, of the latter at most a thousand clouds.

        Raises: ValueError for data that are no clouds in memory.
        """
        train, val = task.dataset("train"), task.dataset("val")
        if not task.dim or not isinstance(train, CloudDataset) or not isinstance(val, CloudDataset):
            raise ValueError(f"advice is about clouds, and the data of task {task.name!r} are none")
        if len(val) > MOST_VALIDATION:
            val = val.subset(torch.linspace(0, len(val) - 1, MOST_VALIDATION).long())
        return cls(train, val, moved(val, SO(task.dim), seed))


@dataclass(frozen=True)
class Trial:
    """One training, and the error of every validation cloud.

    Args:
        key: of its configuration, and the name of its file.
        variant, seed, fraction, steps: what was trained.
        num_train: training clouds.
        errors: of each validation cloud, in the unit of the task; empty for a trial that failed.
        turned: of the same clouds, each turned.
        seconds: of the whole trial; ``train_seconds`` of its steps.
        error: why it failed; empty for one that ended.
    """

    key: str
    variant: str
    seed: int
    fraction: float
    steps: int
    num_train: int = 0
    errors: tuple[float, ...] = ()
    turned: tuple[float, ...] = ()
    seconds: float = 0.0
    train_seconds: float = 0.0
    error: str = ""

    @property
    def mean(self) -> float:
        """The mean error; infinite for a trial that failed."""
        return sum(self.errors) / len(self.errors) if self.errors else math.inf


def run_trial(config: RunConfig, key: str, task: Task, parts: Parts, folder: Path, clock: Clock) -> Trial:
    """The trial of a configuration: read from its file, or trained, from its checkpoint if there is one.

    Its files are named by the key of the configuration when it was planned, perhaps by an earlier version.

    An error of the training, such as a loss that is not finite, is the trial's: it is written and never tried again.

    Raises: OSError, StoreError or CheckpointError for a folder that cannot be written; ValueError for a file with the
        errors of other clouds. Ctrl-C passes through after a checkpoint.
    """
    path = folder / "trials" / f"{key}.json"
    work = Store(folder).work_dir(key)
    if (known := read_trial(path)) is not None:
        _check_judged(known, path, len(parts.val))
        return known
    given: dict[str, Any] = {"variant": config.variant.name, "seed": config.seed, "fraction": config.fraction}
    given |= {"key": key, "steps": config.train.steps}
    started = clock()
    try:
        train_set = training_subset(parts.train, config.fraction, config.seed)
        found = trained_errors(config, task, train_set, parts.val, (parts.val, parts.turned), work)
        errors, turned = (tuple(float(f"{value:.{_DIGITS}g}") for value in each) for each in found.errors)
        given |= {"num_train": len(train_set), "train_seconds": found.train_seconds}
        trial = Trial(**given, errors=errors, turned=turned, seconds=clock() - started)
    except FAILURES as error:
        trial = Trial(**given, seconds=clock() - started, error=why_failed(error))
    atomic_write(path, json.dumps({"schema": SCHEMA, **asdict(trial)}, allow_nan=False) + "\n")
    remove_checkpoints(work)
    return trial


def why_failed(error: Exception) -> str:
    """Why a training failed, in a line.

    Raises: the error itself, where it is of the folder and not of the training.
    """
    if type(error).__name__ in ("StoreError", "CheckpointError"):
        raise error
    return last_line(f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class TrainedErrors:
    """The error of every sample of some data, of a network trained now, and the seconds of its steps."""

    errors: tuple[list[float], ...]
    train_seconds: float


def trained_errors(
    config: RunConfig, task: Task, train_set: Dataset, val: Dataset, judged: Sequence[Dataset], work: Path
) -> TrainedErrors:
    """Train the variant of a configuration, from its checkpoint if there is one, and judge it on some data.

    Args:
        config: of the training.
        task, train_set, val: the task, the samples to learn from, and those that choose the weights.
        judged: data sets.
        work: folder of checkpoints.
    Raises: ArithmeticError for errors that are not finite; as `rapidash.train.train`.
    """
    variant, seed = config.variant, config.seed
    model = build_model(task, variant, seed=seed)
    result = train(
        model,
        task,
        config.train,
        train_set=train_set,
        val_set=val,
        seed=seed,
        run_dir=work,
        progress=False,
        objective=variant.objective or Supervised(),
        methods=variant.methods,
        primary_view=variant.primary_view,
    )
    found = []
    with in_view(model, variant.methods, variant.primary_view):
        for data in judged:
            size = config.train.batch_size
            errors = evaluate(model, task, data, batch_size=size, average=variant.average, seed=seed).per_sample
            if not bool(torch.isfinite(errors).all()):
                raise ArithmeticError("the errors on data that judge are not finite")
            found.append(errors.tolist())
    return TrainedErrors(tuple(found), result.train_seconds)


def read_trial(path: Path) -> Trial | None:
    """The trial in a file; None where there is none, or a file that is not whole, which is then set aside.

    Raises: ValueError for a trial of another schema.
    """
    try:
        return read_saved(path, "trial", partial(record, Trial), schema=SCHEMA)
    except FileNotFoundError:
        return None
    except SchemaError:
        raise
    except ValueError:
        path.replace(path.with_suffix(".json.corrupt"))
        return None


def _check_judged(trial: Trial, path: Path, num: int) -> None:
    """Raises: ValueError for errors of another number of validation clouds than there are."""
    judged = {len(errors) for errors in (trial.errors, trial.turned)}
    if not trial.error and judged != {num}:
        said = " and ".join(map(str, sorted(judged)))
        raise ValueError(
            f"{path} has the errors of {said} validation clouds, and there are {num}: the data were others then. "
            "Choose another --out"
        )


def remove_checkpoints(directory: Path) -> None:
    """Checkpoints of a trial that has ended are of no use."""
    for path in directory.glob("checkpoint*.pt"):
        path.unlink(missing_ok=True)


def plain(values: Mapping[str, Any]) -> str:
    """A file of the folder as text."""
    return json.dumps(values, indent=1, allow_nan=False, ensure_ascii=True) + "\n"
