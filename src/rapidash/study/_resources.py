"""Resources of a run where it is executed: devices of this machine, or a request to a cluster."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from rapidash._plain import check_fields
from rapidash.study._run_config import RunConfig

_TAKEN_BY = {  # by option, the launchers that take it
    "devices": ("local",),
    "cpus": ("ray", "slurm"),
    "gpus": ("ray", "slurm"),
    "memory": ("ray", "slurm"),
    "time": ("slurm",),
    "partition": ("slurm",),
    "account": ("slurm",),
    "max_jobs": ("slurm",),
}


@dataclass(frozen=True)
class Resources:
    """The resources that every run gets. None of them changes a result, or the name of a run.

    Args:
        devices: launcher ``"local"``: indices of the GPUs to use, with a worker each; None: all that torch sees.
        cpus: launchers ``"ray"`` and ``"slurm"``: cores of a run; None: ``train.threads``, or 1.
        gpus: launchers ``"ray"`` and ``"slurm"``: GPUs of a run, for Ray also a share such as 0.5; None: 1 for runs on
            ``"cuda"``, 0 for others.
        memory: launchers ``"ray"`` and ``"slurm"``: of a run, in GB; None: what the cluster gives.
        time: launcher ``"slurm"``: limit of a run, in hours.
        partition, account: launcher ``"slurm"``: where the runs are queued, and who pays; None: Slurm's defaults.
        max_jobs: launcher ``"slurm"``: runs at work at once; None: as many as submitit allows (256).
    Raises: ValueError for a value that is out of range or of another type.
    """

    devices: tuple[int, ...] | None = None
    cpus: int | None = None
    gpus: float | None = None
    memory: float | None = None
    time: float | None = None
    partition: str | None = None
    account: str | None = None
    max_jobs: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("cpus", "memory", "time", "max_jobs"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if self.gpus is not None and not 0 <= self.gpus < math.inf:
            raise ValueError(f"gpus must be at least 0, got {self.gpus}")
        if self.devices is not None and (not self.devices or min(self.devices) < 0):
            raise ValueError(f"devices must be indices of GPUs such as (0, 1), got {self.devices}")

    def check_launcher(self, launcher: str) -> None:
        """Raises: ValueError for an option that the launcher does not take, naming those that do."""
        for entry in fields(self):
            if getattr(self, entry.name) is not None and launcher not in _TAKEN_BY.get(entry.name, (launcher,)):
                takers = " and ".join(map(repr, _TAKEN_BY[entry.name]))
                raise ValueError(f"{entry.name} is for the launcher {takers}, not for {launcher!r}")

    def cpus_of(self, run: RunConfig) -> int:
        """Cores that a run gets from a cluster."""
        return self.cpus or run.train.threads or 1

    def gpus_of(self, run: RunConfig) -> float:
        """GPUs that a run gets from a cluster."""
        if not uses_gpu(run):
            return 0
        return 1 if self.gpus is None else self.gpus


DEFAULTS = Resources()


def uses_gpu(run: RunConfig) -> bool:
    """Whether a run is trained on a GPU."""
    return run.train.device.startswith("cuda")


def check_devices(runs: Sequence[RunConfig], launcher: str) -> None:
    """Raises: ValueError for a run that names one GPU among several, where the cluster says which it gets."""
    for run in runs:
        if uses_gpu(run) and run.train.device != "cuda":
            raise ValueError(
                f"train.device is {run.train.device!r}: with launcher {launcher!r} a run sees only the GPUs that it "
                "was given, use train.device 'cuda'"
            )
