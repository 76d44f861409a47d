"""Trained models on corrupted test data: every run under every corruption and severity, stored beside the records."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rapidash.data import SEVERITIES, CloudDataset, corrupt_dataset
from rapidash.geometry import KNN, EdgeRule
from rapidash.methods import Task, evaluate
from rapidash.models import Baseline, Rapidash
from rapidash.study._corruption_plan import CorruptionPlan, read_object, save_plan, write_object
from rapidash.study._plugins import load_plugins
from rapidash.study._run_config import RunConfig
from rapidash.study._store import Record, Store
from rapidash.study._valid import LARGEST
from rapidash.study._weights import WEIGHTS, load_run
from rapidash.tasks import PosedTask, get_task

CORRUPTION_SEED = 0  # the same corrupted clouds for every variant and seed of every study
_RESULTS = "corruptions"


class _NotPossibleError(Exception):
    """Clouds that cannot be corrupted, or that a model cannot take when they are."""


def run_corruptions(
    study_dir: Path | str, plan: CorruptionPlan, *, report: Callable[[str], None] = lambda line: None
) -> CorruptionPlan:
    """Evaluate the selected weights of every finished run on the test data under every corruption and severity.

    Clouds are brought to the form that the benchmark wants and back; that of cloud i depends on the corruption, the
    severity and i only, so that all models see the same. Where a task turns its clouds, it turns the corrupted ones. A
    cloud that is left with fewer points than a network asks for as neighbors is connected whole. Results are one file
    per run, ``corruptions/KEY.json``, written after each corruption; what is there for these weights is not computed
    again.

    Args:
        study_dir: directory of the study, with its weights.
        plan: which corruptions; those of earlier calls stay.
        report: told what is being done.
    Returns: the plan of the directory; corruptions that some cloud or model could not take are among its ``skipped``.
    Raises: FileNotFoundError for a directory without finished runs; StoreError, OSError when it cannot be written.
    """
    store = Store(study_dir)
    records = [record for record in store.records() if record["status"] == "done" and _has_weights(store, record)]
    if not records:
        raise FileNotFoundError(f"{study_dir} has no finished run with weights to test on corrupted data")
    save_plan(store.directory, plan)
    load_plugins()
    config = RunConfig.from_dict(records[0]["config"])
    task = get_task(config.task, **config.task_options)
    test_set: CloudDataset | None = None
    skipped: dict[str, str] = {}
    for name in plan.names:
        missing = [record for record in records if _needs(store, record, name)]
        if not missing:
            continue
        test_set = _test_clouds(task) if test_set is None else test_set
        try:
            _test_runs(store, missing, name, task, test_set, report)
        except _NotPossibleError as error:
            skipped[name] = str(error)
            warnings.warn(f"{name} is left out: {error}", stacklevel=2)
    names = tuple(name for name in plan.names if name not in skipped)
    return save_plan(store.directory, replace(plan, names=names, skipped={**plan.skipped, **skipped}))


def read_results(study_dir: Path | str, key: str) -> dict[str, list[float | None]]:
    """By corruption, the mean test error of a run at every severity; None where it is not finite."""
    plain = read_object(_result_path(Path(study_dir), key)) or {}
    errors = plain.get("errors")
    found = errors.items() if isinstance(errors, dict) else ()
    return {name: [_number(value) for value in row] for name, row in found if _is_row(row)}


def _has_weights(store: Store, record: Record) -> bool:
    weights = store.work_dir(record["key"]) / WEIGHTS
    if not weights.is_file():
        warnings.warn(f"{weights} is missing: this run is not tested on corrupted data", stacklevel=4)
    return weights.is_file()


def _needs(store: Store, record: Record, name: str) -> bool:
    """Whether a run has no result under a corruption for its weights."""
    stored = read_object(_result_path(store.directory, record["key"])) or {}
    weights = _digest(store.work_dir(record["key"]) / WEIGHTS)
    return stored.get("weights") != weights or not _is_row((stored.get("errors") or {}).get(name))


def _test_runs(
    store: Store,
    records: Sequence[Record],
    name: str,
    task: Task,
    test_set: CloudDataset,
    report: Callable[[str], None],
) -> None:
    """Test some runs under one corruption; another process may be at work on some of them.

    Raises: _NotPossibleError with the reason.
    """
    try:
        corrupted = [_corrupted(test_set, name, level, task) for level in SEVERITIES]
    except (TypeError, ValueError) as error:
        raise _NotPossibleError(str(error)) from error
    for place, record in enumerate(records, start=1):
        report(f"{name}: run {place} of {len(records)}")
        with store.claim(record["key"]) as is_mine:
            if is_mine:
                _add_result(store, record, name, task, corrupted)


def _unturned(task: Task) -> Task:
    """The task with its clouds as the files have them: corruptions know up and down."""
    return replace(task, pose="aligned") if isinstance(task, PosedTask) else task


def _corrupted(test_set: CloudDataset, name: str, level: int, task: Task) -> CloudDataset:
    """The test clouds corrupted, and then turned where the task turns them."""
    corrupted = corrupt_dataset(test_set, name, level, seed=CORRUPTION_SEED, normalization="each")
    return task.posed(corrupted, "test") if isinstance(task, PosedTask) else corrupted


def _add_result(store: Store, record: Record, name: str, task: Task, corrupted: Sequence[CloudDataset]) -> None:
    """Evaluate one run under one corruption and write it to the file of the run."""
    directory, path = store.work_dir(record["key"]), _result_path(store.directory, record["key"])
    weights = _digest(directory / WEIGHTS)
    run = load_run(directory)
    model = run.model.to(run.config.train.device if torch.cuda.is_available() else "cpu")
    _connect_small_clouds(model)
    try:
        errors = [evaluate(model, task, data, batch_size=run.config.train.batch_size).mean for data in corrupted]
    except ValueError as error:
        raise _NotPossibleError(f"{run.config.label} cannot take the corrupted clouds: {error}") from error
    stored = read_object(path) or {}
    if stored.get("weights") != weights:  # of an earlier training
        stored = {}
    row = {name: [_number(error) for error in errors]}
    plain = {
        "key": record["key"],
        "weights": weights,
        "seed": CORRUPTION_SEED,
        "errors": {**stored.get("errors", {}), **row},
    }
    write_object(path, plain)


def _test_clouds(task: Task) -> CloudDataset:
    """The test data, not yet turned. Raises: ValueError for data that are no clouds."""
    data = _unturned(task).dataset("test")
    if not isinstance(data, CloudDataset):
        raise ValueError(f"corruptions are for clouds of points, the data of {task.name} are {type(data).__name__}")
    return data


def _connect_small_clouds(model: nn.Module) -> None:
    """Let neighbor rules take all points of a cloud that has fewer than k: corruptions remove points."""

    def clamped(rule: EdgeRule) -> EdgeRule:
        return replace(rule, clamp=True) if isinstance(rule, KNN) else rule

    for module in model.modules():
        if isinstance(module, Rapidash | Baseline):
            module.rules = [clamped(rule) for rule in module.rules]


def _result_path(directory: Path, key: str) -> Path:
    return directory / _RESULTS / f"{key}.json"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) == len(SEVERITIES)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < LARGEST else None
