"""How time and memory grow with points, neighbors, orientations and channels."""

from dataclasses import dataclass

import torch

from rapidash.bench._cases import CASES
from rapidash.bench._measure import interleaved, variants, with_size

SWEEPS: dict[str, tuple[dict[str, int], ...]] = {
    "points": tuple({"num_points": n, "num_clouds": 2} for n in (8, 16, 32, 64, 128)),
    "orientations": tuple({"num_orientations": o, "num_clouds": 2} for o in (4, 8, 16, 32)),
    "channels": tuple({"channels": c, "num_clouds": 2} for c in (32, 64, 128, 256)),
    "batch": tuple({"num_clouds": b} for b in (1, 2, 4, 8)),
}
_SIZE = {"points": "num_points", "orientations": "num_orientations", "channels": "channels", "batch": "num_clouds"}


@dataclass(frozen=True)
class GrowthRow:
    """Seconds per training step at one size of one sweep."""

    sweep: str
    size: int
    definition: float
    fast: float


def measure_growth(*, rounds: int = 3, device: str = "cpu") -> list[GrowthRow]:
    """Vary one size of a fully connected network of 3 layers and 128 channels at a time."""
    base = with_size(CASES["qm9-8"], num_layers=3, channels=128)
    rows = []
    for sweep, changes in SWEEPS.items():
        for change in changes:
            gpu = {"num_clouds_gpu": change["num_clouds"]}
            ways = variants(with_size(base, **change, **gpu), torch.device(device))
            jobs = {name: ways[name].step for name in ("definition", "fast")}
            rows.append(GrowthRow(sweep, change[_SIZE[sweep]], **interleaved(jobs, rounds, torch.device(device))))
    return rows
