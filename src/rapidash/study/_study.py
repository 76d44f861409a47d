"""A whole study: what is missing is run, what is recorded is kept."""

import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import torch

from rapidash._names import unknown_name
from rapidash._plain import content_key, to_plain
from rapidash.registry import LAUNCHERS
from rapidash.study import _budget
from rapidash.study._budget import BUDGET, budgeted_runs
from rapidash.study._build import check_networks
from rapidash.study._cluster import check_cluster
from rapidash.study._data import check_data
from rapidash.study._design import StudyDesign
from rapidash.study._pool import OnEnd, OnRetry, OnStart, WorkerPool
from rapidash.study._progress import StudyProgress
from rapidash.study._resources import DEFAULTS, Resources, uses_gpu
from rapidash.study._run_config import RunConfig
from rapidash.study._store import Record, Store
from rapidash.train import StepCost


class Launch(Protocol):
    """Executes runs with the resources that each of them gets, and reports their beginnings and ends."""

    def __call__(
        self,
        runs: Sequence[RunConfig],
        study_dir: Path,
        on_start: OnStart,
        on_end: OnEnd,
        *,
        resources: Resources = ...,
    ) -> None:
        """Return when all runs have ended."""


def launch_local(
    runs: Sequence[RunConfig],
    study_dir: Path,
    on_start: OnStart,
    on_end: OnEnd,
    *,
    workers: int | None = None,
    resources: Resources = DEFAULTS,
    on_retry: OnRetry | None = None,
) -> None:
    """Run on processes of this machine: by default one per core, or one per GPU when the runs use them.

    A worker sees its own GPU only, as ``"cuda"``. Runs that name one, such as ``"cuda:1"``, go there, one at a time.
    """
    gpus = visible_gpus(resources.devices) if any(run.train.device == "cuda" for run in runs) else ()
    if resources.devices is not None and not gpus:
        raise ValueError("devices are for runs on a GPU that do not say which: use train.device 'cuda'")
    on_cpu = not any(map(uses_gpu, runs))
    number = workers or min(len(runs), available_cores() if on_cpu else max(1, len(gpus)))
    if any(uses_gpu(run) and run.train.device != "cuda" for run in runs):  # they name it among all
        gpus = ()
        number = workers or 1
    WorkerPool(study_dir, number, on_start, on_end, gpus=gpus, on_retry=on_retry).run(runs)


def run_study(
    design: StudyDesign,
    study_dir: Path | str,
    *,
    launcher: str = "local",
    workers: int | None = None,
    resources: Resources | None = None,
    progress: bool = True,
    on_accepted: Callable[[], None] = lambda: None,
) -> list[Record]:
    """Run what a study lacks: runs without record, interrupted ones from their checkpoint, failed ones again.

    Where the design says that time or operations are equal, a step of every variant is measured before the first run,
    and each variant takes as many steps as fit into the budget of the design's first one; ``budget.json`` has them.

    Two processes may work on one study at once. Local workers are started with "spawn": a script that calls this
    needs the guard ``if __name__ == "__main__":``.

    Args:
        design: what to run.
        study_dir: where records and work files are, see `Store`; a directory of another study is refused.
        launcher: a name in `rapidash.registry.LAUNCHERS`: ``"local"``, ``"ray"``, ``"slurm"``.
        workers: processes of the local launcher; None: one per core, or one per GPU.
        resources: what a run gets where it is executed; it changes no result.
        progress: show progress on stderr.
        on_accepted: called once, when nothing in design and directory speaks against the study any more: before a step
            is measured or a run is launched.
    Returns: the records of the design's runs, in its order; failed ones are among them.
    Raises: ValueError for an unknown launcher, ``workers`` below 1 or with another launcher than the local one, or
        resources that the launcher does not take, or a factor with a value of which a network cannot be built;
        ImportError naming a package that a baseline among the variants needs; FileNotFoundError and DataError for data
        that are missing or damaged; StoreError when the store cannot be written; KeyboardInterrupt after all workers
        have saved their checkpoints.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(unknown_name("launcher", launcher, LAUNCHERS))
    if workers is not None and (launcher != "local" or workers < 1):
        raise ValueError(f"workers must be at least 1 and is for launcher 'local', got {workers} with {launcher!r}")
    resources = resources or DEFAULTS
    resources.check_launcher(launcher)
    for variant in design.variants:
        variant.model.check_libraries()
    store = Store(study_dir)
    store.check_study(design)
    runs = design.runs()
    if any(name.startswith("model.") for name in design.factors):
        check_networks(runs)

    accept = cache(on_accepted)

    def costs(runs: Sequence[RunConfig]) -> list[StepCost]:
        accept()
        return _budget.measured_costs(runs)

    if design.equal != "steps":
        if not (store.directory / BUDGET).is_file():
            _check_data(runs)
        store.open_study(design)
        runs = budgeted_runs(design, store.directory, measure=costs)
    missing = [run for run in runs if not is_done(store.load(run.key))]
    if missing:
        if launcher in ("ray", "slurm"):
            check_cluster(launcher, missing, resources)
        _check_data(missing)
    store.open_study(design)
    accept()
    if missing:
        with StudyProgress(total=len(runs), done=len(runs) - len(missing), show=progress) as shown:
            launch: Launch = LAUNCHERS.get(launcher)
            if launcher == "local":
                launch = partial(launch_local, workers=workers, on_retry=shown.retried)
            launch(missing, store.directory, shown.started, shown.ended, resources=resources)
    return [record for run in runs if (record := store.load(run.key)) is not None]


def _check_data(runs: Sequence[RunConfig]) -> None:
    """Read the data of some runs once, those of each setting of the task."""
    for options in {content_key(to_plain(run.task_options)): run.task_options for run in runs}.values():
        check_data(runs[0].task, options)


def is_done(record: Record | None) -> bool:
    """Whether a run has a result."""
    return record is not None and record["status"] == "done"


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus(devices: Sequence[int] | None = None) -> tuple[str, ...]:
    """A value of ``CUDA_VISIBLE_DEVICES`` for each GPU that this process sees: a process with it sees one GPU.

    Args:
        devices: indices, as torch counts them here; None: all.
    Raises: ValueError for an index that is not there.
    """
    count = torch.cuda.device_count()
    if wrong := [index for index in devices or () if index >= count]:
        raise ValueError(f"devices has {wrong[0]}, but torch sees {count} CUDA devices (numbered from 0)")
    listed = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    names = listed if len(listed) >= count else [str(index) for index in range(count)]
    return tuple(names[index] for index in (range(count) if devices is None else dict.fromkeys(devices)))
