"""A whole study: what is missing is run, what is recorded is kept."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rapidash._names import unknown_name
from rapidash.models import check_libraries
from rapidash.study._cluster import launch_ray, launch_slurm
from rapidash.study._design import RunConfig, StudyDesign
from rapidash.study._pool import OnEnd, OnStart, WorkerPool
from rapidash.study._progress import StudyProgress
from rapidash.study._run import check_data
from rapidash.study._store import Record, Store

Launch = Callable[[Sequence[RunConfig], Path, OnStart, OnEnd], None]


def launch_local(
    runs: Sequence[RunConfig], study_dir: Path, on_start: OnStart, on_end: OnEnd, *, workers: int | None = None
) -> None:
    """Run on processes of this machine, by default as many as it has cores; 1 when the runs share a GPU."""
    on_cpu = all(run.train.device == "cpu" for run in runs)
    WorkerPool(study_dir, workers or (min(available_cores(), len(runs)) if on_cpu else 1), on_start, on_end).run(runs)


LAUNCHERS: dict[str, Launch] = {"local": launch_local, "ray": launch_ray, "slurm": launch_slurm}


def run_study(
    design: StudyDesign,
    study_dir: Path | str,
    *,
    launcher: str = "local",
    workers: int | None = None,
    progress: bool = True,
) -> list[Record]:
    """Run what a study lacks: runs without record, interrupted ones from their checkpoint, failed ones again.

    Two processes may work on one study at once. Local workers are started with "spawn": a script that calls this
    needs the guard ``if __name__ == "__main__":``.

    Args:
        design: what to run.
        study_dir: where records and work files are, see `Store`; a directory of another study is refused.
        launcher: a name in `LAUNCHERS`: ``"local"``, ``"ray"``, ``"slurm"``.
        workers: processes of the local launcher; None: one per core, or 1 on a GPU.
        progress: show progress on stderr.
    Returns: the records of the design's runs, in its order; failed ones are among them.
    Raises: ValueError for an unknown launcher, or ``workers`` below 1 or with another launcher than the local one;
        ImportError naming a package that a baseline among the variants needs; FileNotFoundError and DataError for data
        that are missing or damaged; StoreError when the store cannot be written; KeyboardInterrupt after all workers
        have saved their checkpoints.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(unknown_name("launcher", launcher, LAUNCHERS))
    if workers is not None and (launcher != "local" or workers < 1):
        raise ValueError(f"workers must be at least 1 and is for launcher 'local', got {workers} with {launcher!r}")
    launch = partial(launch_local, workers=workers) if launcher == "local" else LAUNCHERS[launcher]
    for variant in design.variants:
        check_libraries(variant.model)
    store, runs = Store(study_dir), design.runs()
    missing = [run for run in runs if not is_done(store.load(run.key))]
    if missing:
        check_data(design.task, design.task_options)
    store.open_study(design)
    if missing:
        with StudyProgress(total=len(runs), done=len(runs) - len(missing), show=progress) as shown:
            launch(missing, store.directory, shown.started, shown.ended)
    return [record for run in runs if (record := store.load(run.key)) is not None]


def is_done(record: Record | None) -> bool:
    """Whether a run has a result."""
    return record is not None and record["status"] == "done"


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
