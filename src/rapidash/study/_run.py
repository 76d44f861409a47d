"""One run of a study, from its configuration to its record; safe to call any number of times, from any process."""

import copy
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from rapidash._files import atomic_write
from rapidash._plain import to_plain
from rapidash._seed import seeded
from rapidash.data import Dataset
from rapidash.methods import Split, Supervised, Task, build_model
from rapidash.study._claims import before_and_after
from rapidash.study._design import RunConfig
from rapidash.study._environment import commit, device_name, versions
from rapidash.study._plugins import load_plugins
from rapidash.study._store import RECORD_SCHEMA, Record, Store, StoreError, is_full_disk
from rapidash.study._views import Views, finite_or_none
from rapidash.study._weights import save_weights
from rapidash.tasks import get_task
from rapidash.train import CHECKPOINT, train

MAX_ERROR_LENGTH = 10_000


def run_one(config: RunConfig, study_dir: Path | str, *, progress: bool = False) -> Record | None:
    """Train, evaluate and measure one configuration, and write its record.

    Idempotent: a finished run returns its record, an interrupted one continues from its checkpoint, a failed one is
    tried again. What a finished run of the study has trained is not trained again for another average at test time. An
    error of the run becomes a record with ``status`` "failed" and the traceback. Validation data select the weights;
    test data are read once, after training.

    Args:
        config: what to run.
        study_dir: directory of the study, see `Store`.
        progress: of the training, on stderr.
    Returns: the record, or None when another process is at work on this run.
    Raises: StoreError when the disk is full or the store cannot be written. Ctrl-C and SIGTERM pass through after the
        training has saved a checkpoint.
    """
    store = Store(study_dir)
    with store.claim(config.key) as is_mine:
        if not is_mine:
            return None
        record = store.load(config.key)
        if record is not None and record["status"] == "done":
            return record
        record = _execute(config, store, progress=progress)
        store.save(record)
        return record


def check_data(task_name: str, task_options: Mapping[str, Any]) -> None:
    """Read every split of a task once: what is missing or damaged is an error before anything is launched.

    Raises: ValueError for an unknown task or option; FileNotFoundError and DataError of the task's readers.
    """
    load_plugins()
    task = get_task(task_name, **task_options)
    for split in get_args(Split):
        task.dataset(split)


def failed_record(config: RunConfig, error: str, *, started: str | None = None, seconds: float | None = None) -> Record:
    """The record of a run that ended with an error; what of its text is no Unicode stands there as an escape."""
    return {
        **_provenance(config),
        "status": "failed",
        "error": _bounded(error),
        "started": started or _now(),
        "seconds": seconds,
    }


def _execute(config: RunConfig, store: Store, *, progress: bool) -> Record:
    started, clock = _now(), time.perf_counter()
    try:
        load_plugins()
        results, earlier = _results(config, store, progress=progress)
    except Exception as error:
        if is_full_disk(error) or isinstance(error, StoreError):
            raise StoreError(f"run {config.label} stopped: {error}. Finished runs are kept") from error
        return failed_record(config, traceback.format_exc(), started=started, seconds=time.perf_counter() - clock)
    return {
        **_provenance(config),
        "status": "done",
        "error": None,
        "started": started,
        "seconds": time.perf_counter() - clock + earlier,
        **results,
    }


def _results(config: RunConfig, store: Store, *, progress: bool) -> tuple[dict[str, Any], float]:
    """What a record says of a finished run, and the seconds that earlier sessions of it took."""
    directory = store.work_dir(config.key)
    if _adopt_training(config, store):
        try:
            return _train_and_measure(config, directory, progress=progress)[0], 0.0  # the other run has them on record
        except ValueError:  # the data, or the package, are others by now
            (directory / CHECKPOINT).unlink(missing_ok=True)
    return _train_and_measure(config, directory, progress=progress)


def _adopt_training(config: RunConfig, store: Store) -> bool:
    """Give a run that only averages or measures otherwise the last checkpoint of one that trained the same weights.

    Returns: whether there was one.
    """
    directory = store.work_dir(config.key)
    if (config.variant.average is None and not config.measures) or (directory / CHECKPOINT).exists():
        return False
    for record in store.records():
        checkpoint = store.work_dir(record["key"]) / CHECKPOINT
        if record["status"] == "done" and checkpoint.is_file() and _trained_as(record, config):
            atomic_write(directory / CHECKPOINT, checkpoint.read_bytes())
            return True
    return False


def _trained_as(record: Record, config: RunConfig) -> bool:
    """Whether the run in a record trained the weights of a configuration."""
    try:
        return RunConfig.from_dict(record["config"]).training_key == config.training_key
    except (ValueError, TypeError, ImportError):  # of another version, or of a package that is not there
        return False


def _train_and_measure(config: RunConfig, run_dir: Path, *, progress: bool) -> tuple[dict[str, Any], float]:
    """Train from the beginning or the checkpoint, and measure; also the seconds of the sessions before."""
    variant, settings = config.variant, config.train
    task = get_task(config.task, **config.task_options)
    objective = variant.objective or Supervised()
    train_set = training_subset(task.dataset("train"), config.fraction, config.seed)
    val_set = task.dataset("val")
    model = fresh_model(task, config)
    seen = Views(task, variant, model)
    before = seen.measured(_calibrated(model, train_set, config), val_set, config, "before")
    result = train(
        model,
        task,
        settings,
        train_set=train_set,
        val_set=val_set,
        seed=config.seed,
        run_dir=run_dir,
        progress=progress,
        objective=objective,
        methods=variant.methods,
        primary_view=variant.primary_view,
    )
    scores = seen.tested(model, result.best, train_set, config)
    after = seen.measured(model, val_set, config, "after", best=result.best)
    model.load_state_dict(result.best[variant.primary_view])
    test_errors = seen.of_primary(scores)
    units = {"metric": objective.metric(task), "unit": objective.unit(task)}
    results = {**units, "val_error": result.best_val_error, **test_errors}
    save_weights(model, config, run_dir, results=results | {"commit": commit()})
    values = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "num_train": len(train_set),
        "history": [{key: finite_or_none(value) for key, value in row.items()} for row in result.history],
        "best_step": result.best_step,
        "seconds_per_step": result.seconds_per_step,
        "train_seconds": result.train_seconds,
        "peak_memory_bytes": result.peak_memory_bytes,
        "val_error": result.best_val_error,
        **test_errors,
        **units,
        "symmetry": seen.ledgers[variant.primary_view].to_dict(),
        **before_and_after(before[variant.primary_view].symmetry, after[variant.primary_view].symmetry),
        "views": seen.in_record(result, scores, before, after),
        "measurements": [to_plain(found) for found in seen.measurements(result, scores, units, before, after)],
    }
    return values, result.earlier_seconds


def fresh_model(task: Task, config: RunConfig) -> nn.Module:
    """The model of a run before training; its weights depend on the run's seed only."""
    model = build_model(task, config.variant, seed=config.seed)
    return model.to(device=config.train.device, dtype=config.train.torch_dtype)


def _calibrated(model: nn.Module, train_set: Dataset, config: RunConfig) -> nn.Module:
    """A copy of a fresh model as the training will start from it: rescaled on one batch, where it can be."""
    twin = copy.deepcopy(model)
    calibrate = getattr(twin, "calibrate", None)
    if calibrate is not None:
        batch = train_set.batch(torch.arange(min(config.train.batch_size, len(train_set))))
        calibrate(batch.to(config.train.device, config.train.torch_dtype))
    return twin


def training_subset(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """The first part of a permutation of the samples that the seed names: smaller subsets lie in larger ones.

    Raises: ValueError for an empty dataset.
    """
    if len(dataset) == 0:
        raise ValueError("the training set has no samples")
    if fraction == 1:
        return dataset
    order = torch.randperm(len(dataset), generator=seeded(seed, "subset"))
    return dataset.subset(order[: max(1, round(fraction * len(dataset)))])


def _provenance(config: RunConfig) -> Record:
    return {
        "schema": RECORD_SCHEMA,
        "key": config.key,
        "config": config.to_dict(),
        "commit": commit(),
        "versions": versions(),
        "device": device_name(config.train.device),
        "threads": config.train.threads or torch.get_num_threads(),
    }


def _bounded(text: str) -> str:
    """Text of at most 10,000 characters that every file can hold: an error may be of any size.

    Long lines lose their middle first, so that the last one still says which error it was.
    """
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) > MAX_ERROR_LENGTH:
        text = "\n".join(_without_middle(line, MAX_ERROR_LENGTH // 10, " ") for line in text.split("\n"))
    return _without_middle(text, MAX_ERROR_LENGTH, "\n")


def _without_middle(text: str, length: int, space: str) -> str:
    if len(text) <= length:
        return text
    half = length // 2 - 30  # room for the note
    return f"{text[:half]}{space}... {len(text) - 2 * half} characters left out ...{space}{text[-half:]}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
