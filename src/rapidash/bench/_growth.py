"""Growth of time and memory with points, neighbors, orientations and channels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from rapidash.bench._cases import CASES, BenchCase
from rapidash.bench._measure import interleaved, peak_memory, variants, with_size

LARGEST_DEFINITION = 40_000  # edges for which the definition is run: each takes about 45 kB


@dataclass(frozen=True)
class Sweep:
    """One size that varies, the others fixed.

    Args:
        name: what grows.
        base: fields of the case that are fixed.
        field: the field that varies.
        sizes: its values.
        about: the fixed sizes, for the reader.
    """

    name: str
    base: Mapping[str, int | str]
    field: str
    sizes: tuple[int, ...]
    about: str

    def changes(self, size: int) -> dict[str, int | str]:
        """The fields of the case at one size."""
        changes = {**self.base, self.field: f"knn-{size}" if self.field == "edges" else size}
        return {**changes, "num_clouds_gpu": changes["num_clouds"]}


_PAIRS: dict[str, int | str] = {"num_clouds": 2, "num_points": 18}
_NEAR: dict[str, int | str] = {"num_clouds": 1, "num_points": 512, "edges": "knn-16", "channels": 32, "num_layers": 2}
SWEEPS = (
    Sweep("points, all pairs", _PAIRS, "num_points", (8, 16, 32, 64, 128), "2 clouds"),
    Sweep("clouds", _PAIRS, "num_clouds", (1, 2, 4, 8), "18 points, all pairs"),
    Sweep("orientations", _PAIRS, "num_orientations", (4, 8, 12, 20), "2 clouds of 18 points, all pairs"),
    Sweep("channels", _PAIRS, "channels", (32, 64, 128, 256), "2 clouds of 18 points, all pairs"),
    Sweep("neighbors", _NEAR, "edges", (4, 8, 16, 32, 64), "512 points, 32 channels, 2 layers"),
    Sweep("points, 16 neighbors", _NEAR, "num_points", (500, 2000, 10_000, 100_000), "1 cloud, 32 channels, 2 layers"),
)


@dataclass(frozen=True)
class GrowthRow:
    """A training step at one size of one sweep: seconds, and peak memory in bytes above that before the step.

    Those of the definition are None where it would ask for too much.
    """

    sweep: str
    size: int
    definition: float | None
    fast: float
    definition_memory: int | None
    fast_memory: int


def measure_growth(*, rounds: int = 3, device: str = "cpu") -> Iterator[GrowthRow]:
    """Vary one size of a network at a time: 3 layers of 128 channels, or 2 of 32 where there are more points."""
    for sweep in SWEEPS:
        for size in sweep.sizes:
            yield _row(sweep, size, grown_case(sweep, size), rounds, device)


def grown_case(sweep: Sweep, size: int) -> BenchCase:
    """The network and batch at one size of a sweep."""
    return with_size(CASES["qm9-8"], **{"num_layers": 3, "channels": 128, **sweep.changes(size)})


def _row(sweep: Sweep, size: int, case: BenchCase, rounds: int, device: str) -> GrowthRow:
    neighbors = int(str(case.config.edges).removeprefix("knn-")) if sweep.base is _NEAR else case.num_points
    fits = case.num_clouds * case.num_points * neighbors <= LARGEST_DEFINITION
    names = ("definition", "fast") if fits else ("fast",)
    ways = variants(case, torch.device(device))
    seconds = interleaved({name: ways[name].step for name in names}, rounds, torch.device(device))
    del ways
    memory = {name: peak_memory(case, name, device) for name in names}
    return GrowthRow(
        sweep.name, size, seconds.get("definition"), seconds["fast"], memory.get("definition"), memory["fast"]
    )
