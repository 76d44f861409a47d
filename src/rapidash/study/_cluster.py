"""The same runs on a Ray cluster or under Slurm. All nodes must share the study's file system."""

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rapidash.study._design import RunConfig
from rapidash.study._pool import OnEnd, OnStart
from rapidash.study._run import failed_record, run_one
from rapidash.study._store import Record, Store, StoreError

_ENVIRONMENT = ("RAPIDASH_DATA", "RAPIDASH_CACHE", "RAPIDASH_PLUGINS")  # Slurm passes all of it on, Ray does not


def launch_ray(runs: Sequence[RunConfig], study_dir: Path, on_start: OnStart, on_end: OnEnd) -> None:
    """Run on the Ray cluster at ``RAY_ADDRESS``, one CPU per run; Ray starts a lost run again on another node.

    Raises: ImportError naming the package to install, StoreError for a run that could not be recorded.
    """
    ray = _optional("ray", "ray")
    if not ray.is_initialized():
        ray.init()
    settings = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    remote = ray.remote(num_cpus=1, max_retries=3, runtime_env={"env_vars": settings})(run_one)
    waiting = {}
    for run in runs:
        waiting[remote.remote(run, study_dir.resolve())] = run
        on_start(run)
    while waiting:
        (reference,), _ = ray.wait(list(waiting), num_returns=1)
        _deliver(waiting.pop(reference), lambda reference=reference: ray.get(reference), study_dir, on_end)


def launch_slurm(runs: Sequence[RunConfig], study_dir: Path, on_start: OnStart, on_end: OnEnd) -> None:
    """Submit one array job, an element per run, with submitit; its logs go to ``slurm`` in the study's directory.

    Raises: ImportError naming the package to install, StoreError for a run that could not be recorded.
    """
    submitit = _optional("submitit", "submitit")
    executor = submitit.AutoExecutor(folder=study_dir.resolve() / "slurm")
    executor.update_parameters(name="rapidash", timeout_min=24 * 60, cpus_per_task=1)
    jobs = executor.map_array(run_one, list(runs), [study_dir.resolve()] * len(runs))
    for run in runs:
        on_start(run)
    of_job = dict(zip(map(id, jobs), runs))
    for job in submitit.helpers.as_completed(jobs):
        _deliver(of_job[id(job)], job.result, study_dir, on_end)


def _deliver(run: RunConfig, result: Any, study_dir: Path, on_end: OnEnd) -> None:
    """Report the record of a run that has left the cluster; a run lost with its node has failed."""
    try:
        record: Record | None = result()
    except StoreError:
        raise
    except Exception as error:
        record = failed_record(run, f"the run was lost: {type(error).__name__}: {error}")
        Store(study_dir).save(record)
    on_end(run, record or failed_record(run, "another process is at work on this run"))


def _optional(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"this launcher needs {package}: pip install {package}, or use launcher='local'") from error
