"""The same runs on a Ray cluster or under Slurm. All nodes must share the study's file system."""

import math
import os
import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rapidash.study._pool import OnEnd, OnStart
from rapidash.study._provenance import failed_record
from rapidash.study._resources import DEFAULTS, Resources, check_devices
from rapidash.study._run import run_one
from rapidash.study._run_config import RunConfig
from rapidash.study._store import Record, Store, StoreError

_ENVIRONMENT = (
    "RAPIDASH_DATA",
    "RAPIDASH_CACHE",
    "RAPIDASH_PLUGINS",
    "PYTHONPATH",
)  # Slurm passes all of it on, Ray does not
_SLURM_HOURS = 24
_PACKAGE_OF = {"ray": ("ray", "ray"), "slurm": ("submitit", "submitit")}


def launch_ray(
    runs: Sequence[RunConfig], study_dir: Path, on_start: OnStart, on_end: OnEnd, *, resources: Resources = DEFAULTS
) -> None:
    """Run on the Ray cluster at ``RAY_ADDRESS``; Ray starts a lost run again on another node.

    A run asks for its cores, a GPU if it is trained on one, and memory, see `Resources`.
    Raises: ImportError naming the package to install, ValueError for resources that Ray does not take, StoreError for a
        run that could not be recorded.
    """
    ray = _optional("ray", "ray")
    check_cluster("ray", runs, resources)
    if not ray.is_initialized():
        ray.init()
    settings = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    waiting = {}
    for run in runs:
        options = {"num_cpus": resources.cpus_of(run), "num_gpus": resources.gpus_of(run)}
        if resources.memory is not None:
            options["memory"] = round(resources.memory * 2**30)
        remote = ray.remote(**options, max_retries=3, runtime_env={"env_vars": settings})(run_one)
        waiting[remote.remote(run, study_dir.resolve())] = run
        on_start(run)
    while waiting:
        (reference,), _ = ray.wait(list(waiting), num_returns=1)
        _deliver(waiting.pop(reference), lambda reference=reference: ray.get(reference), study_dir, on_end)


def launch_slurm(
    runs: Sequence[RunConfig], study_dir: Path, on_start: OnStart, on_end: OnEnd, *, resources: Resources = DEFAULTS
) -> None:
    """Submit one array job, an element per run, with submitit; its logs go to ``slurm`` in the study's directory.

    Raises: ImportError naming the package to install, ValueError where there is no Slurm, or for resources that it does
        not take, StoreError for a run that could not be recorded.
    """
    submitit = _optional("submitit", "submitit")
    check_cluster("slurm", runs, resources)
    executor = submitit.AutoExecutor(folder=study_dir.resolve() / "slurm")
    executor.update_parameters(name="rapidash", **_slurm_parameters(runs, resources))
    jobs = executor.map_array(run_one, list(runs), [study_dir.resolve()] * len(runs))
    for run in runs:
        on_start(run)
    of_job = dict(zip(map(id, jobs), runs))
    for job in submitit.helpers.as_completed(jobs):
        _deliver(of_job[id(job)], job.result, study_dir, on_end)


def check_cluster(launcher: str, runs: Sequence[RunConfig], resources: Resources) -> None:
    """Raise an error if something keeps the runs from a cluster, before anything is read or written.

    Raises: ImportError naming the package to install; ValueError where there is no Slurm, for a run that names one GPU
        among several, or for resources that the cluster does not take.
    """
    _optional(*_PACKAGE_OF[launcher])
    missing = [program for program in ("sbatch", "srun") if launcher == "slurm" and shutil.which(program) is None]
    if missing:
        raise ValueError(
            f"launcher 'slurm' needs Slurm, but this machine has no {' and no '.join(missing)}: "
            "start the study on a login node of the cluster, or use the launcher 'local'"
        )
    check_devices(runs, launcher)
    if launcher == "slurm":
        _slurm_parameters(runs, resources)


def _slurm_parameters(runs: Sequence[RunConfig], resources: Resources) -> dict[str, Any]:
    """The request of every element of the array: the most that one of the runs needs."""
    gpus = max(map(resources.gpus_of, runs))
    if gpus != int(gpus):
        raise ValueError(f"gpus must be a whole number with launcher 'slurm', got {gpus}")
    parameters = {
        "timeout_min": math.ceil(60 * (resources.time or _SLURM_HOURS)),
        "cpus_per_task": max(map(resources.cpus_of, runs)),
        "gpus_per_node": int(gpus) or None,
        "mem_gb": resources.memory,
        "slurm_partition": resources.partition,
        "slurm_account": resources.account,
        "slurm_array_parallelism": resources.max_jobs,
    }
    return {name: value for name, value in parameters.items() if value is not None}


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
        raise ImportError(
            f"the launcher needs {package}: pip install {package}, or use the launcher 'local'"
        ) from error
