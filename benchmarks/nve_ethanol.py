"""Is the total energy of ethanol kept, 20 ps at 0.5 fs, in float32 and float64, with exact and with tabulated kernels?

    rapidash train md --variant "E(3) on R3" --model.channels 32 --model.num_layers 3 --model.basis_dim 32 \
        --model.basis_hidden_dim 32 --train.steps 8000 --train.learning_rate 0.01 --train.warmup_steps 400 \
        --train.ema_decay 0.999 --out runs/nve-ethanol
    python benchmarks/nve_ethanol.py runs/nve-ethanol --backend reference

Every trajectory starts at the same frame of the test set with the same momenta (300 K, no drift, no rotation) and runs
by ASE's velocity Verlet with `rapidash.interop.ase.RapidashCalculator`. The slope of the total energy is that of a line
through the means of 20 blocks, and its standard error that of the line's residuals. All trajectories go on in
turn, 2,000 steps each, and an interrupted run goes on where it was. After each part benchmarks/nve_ethanol.json and
docs/nve_ethanol_table.txt have what was run so far.
"""

import argparse
import hashlib
import io
import json
import time
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import ase
import numpy as np
import torch
from ase.md.verlet import VelocityVerlet
from ase.units import fs, kB

from rapidash._files import atomic_write
from rapidash.datasets import md_dataset
from rapidash.interop.ase import RapidashCalculator
from rapidash.predict import TrainedModel

HERE = Path(__file__).parent
RESULT, TABLE = HERE / "nve_ethanol.json", HERE.parent / "docs" / "nve_ethanol_table.txt"
PART = 2000  # steps of a trajectory at a time
EVERY = 4  # steps from one energy to the next
KERNELS: dict[str, dict[str, Any]] = {
    "exact": {"kernel": "exact"},
    "cubic tables": {"kernel": "tabulated", "interpolation": "cubic"},
    "linear tables": {"kernel": "tabulated", "interpolation": "linear"},
}
DTYPES = {"float64": torch.float64, "float32": torch.float32}
BLOCKS, TIMESTEP, TEMPERATURE = 20, 0.5, 300.0  # of a trajectory; fs; kelvin


class Slope(NamedTuple):
    """Of a line through the means of blocks, and its standard error, per unit of time."""

    value: float
    error: float


def slope(values: np.ndarray, timestep: float) -> Slope:
    """The slope of a series over time by the means of its blocks."""
    size = len(values) // BLOCKS
    means = values[: BLOCKS * size].reshape(BLOCKS, size).mean(axis=1)
    times = (np.arange(BLOCKS) - (BLOCKS - 1) / 2) * size * timestep
    value = float(times @ means / (times @ times))
    residual = means - means.mean() - value * times
    return Slope(value, float(np.sqrt(residual @ residual / (BLOCKS - 2) / (times @ times))))


def start(data_dir: Path | None) -> ase.Atoms:
    """A frame of the test set with momenta at 300 K, at rest as a whole."""
    frames = md_dataset("ethanol_test_MD", data_dir=data_dir, dtype=torch.float64)
    num = int(frames.num_points[0])
    atoms = ase.Atoms(frames.tensors["z"][:num].numpy(), frames.tensors["pos"][:num].numpy())
    masses = atoms.get_masses()[:, None]
    momenta = np.sqrt(masses * kB * TEMPERATURE) * np.random.default_rng(0).normal(size=(num, 3))
    momenta -= masses * momenta.sum(axis=0) / masses.sum()
    arms = atoms.positions - atoms.get_center_of_mass()
    spin = np.linalg.solve(
        np.einsum(
            "n,nij->ij", masses[:, 0], (arms**2).sum(1)[:, None, None] * np.eye(3) - arms[:, :, None] * arms[:, None]
        ),
        np.cross(arms, momenta).sum(axis=0),
    )
    atoms.set_momenta(momenta - masses * np.cross(spin, arms))
    return atoms


def with_kernels(folder: str, **options: Any) -> TrainedModel:
    """The trained model with another way to evaluate its kernels."""
    trained = TrainedModel.from_pretrained(folder)
    trained.model.backbone = trained.model.backbone.with_kernel(**options)
    return trained


class Trajectory:
    """One trajectory, whose state is kept in a file from one part to the next."""

    def __init__(self, atoms: ase.Atoms, path: Path) -> None:
        self.atoms, self.path, self.seconds = atoms, path, 0.0
        self.energies, self.temperatures = [np.zeros(0)], [np.zeros(0)]  # meV per atom, kelvin
        if path.exists():
            with np.load(path, allow_pickle=False) as file:
                atoms.set_positions(file["positions"])
                atoms.set_momenta(file["momenta"])
                self.energies, self.temperatures = [file["energies"]], [file["temperatures"]]
                self.seconds = float(file["seconds"])

    def run(self, steps: int) -> dict[str, float]:
        """Go on for some steps. Returns: the figures of all that was run."""
        energies, temperatures = np.empty(steps // EVERY), np.empty(steps // EVERY)
        dynamics = VelocityVerlet(self.atoms, timestep=TIMESTEP * fs)
        begin = time.process_time()
        for number in range(steps // EVERY):
            dynamics.run(EVERY)
            energies[number] = 1e3 * self.atoms.get_total_energy() / len(self.atoms)
            temperatures[number] = self.atoms.get_temperature()
        self.seconds += time.process_time() - begin
        self.energies.append(energies)
        self.temperatures.append(temperatures)
        self._save()
        return self._figures()

    def _save(self) -> None:
        buffer = io.BytesIO()
        np.savez(
            buffer,
            positions=self.atoms.get_positions(),
            momenta=self.atoms.get_momenta(),
            energies=np.concatenate(self.energies),
            temperatures=np.concatenate(self.temperatures),
            seconds=self.seconds,
        )
        atomic_write(self.path, buffer.getvalue())

    def _figures(self) -> dict[str, float]:
        energies, temperatures = np.concatenate(self.energies), np.concatenate(self.temperatures)
        steps = EVERY * len(energies)
        found = slope(energies, 1e-3 * TIMESTEP * EVERY)
        return {
            "steps": steps,
            "picoseconds": 1e-3 * TIMESTEP * steps,
            "slope_mev_per_atom_per_ps": found.value,
            "standard_error": found.error,
            "deviation_mev_per_atom": float(energies.std()),
            "mean_temperature_k": float(temperatures.mean()),
            "highest_temperature_k": float(temperatures.max()),
            "cpu_ms_per_step": 1e3 * self.seconds / steps,
        }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """A list-table of the trajectories."""
    heads = ("kernels", "dtype", "ps", "slope (meV/atom/ps)", "deviation (meV/atom)", "mean K", "CPU ms per step")
    lines = [".. list-table::", "   :header-rows: 1", ""]
    lines += [f"   {' ' if place else '*'} - {head}" for place, head in enumerate(heads)]
    for name, row in rows.items():
        kernels, _, dtype = name.rpartition(", ")
        slope_text = f"{row['slope_mev_per_atom_per_ps']:+.5f} ± {row['standard_error']:.5f}"
        lines += [f"   * - {kernels}", f"     - {dtype}", f"     - {row['picoseconds']:g}", f"     - {slope_text}"]
        lines += [f"     - {row['deviation_mev_per_atom']:.3f}", f"     - {row['mean_temperature_k']:.0f}"]
        lines += [f"     - {row['cpu_ms_per_step']:.1f}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of the trained model, or of its training")
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--kernels", nargs="+", choices=KERNELS, default=list(KERNELS), help="which of them")
    parser.add_argument("--data", type=Path, default=None, help="folder of the files of data sets")
    parser.add_argument(
        "--backend", default="auto", help="of the network's operations; reference is faster for 9 atoms"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/nve-ethanol-states"), help="where states are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    trained = TrainedModel.from_pretrained(options.model)
    setting = {"model": {name: trained.results[name] for name in ("metric", "unit", "test_error")}}
    setting |= {"timestep_fs": TIMESTEP, "backend": options.backend}
    results = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    if {name: results.get(name) for name in setting} != setting:
        results = {**setting, "trajectories": {}}
    rows = results["trajectories"]
    states = options.work / hashlib.sha256(json.dumps(setting).encode()).hexdigest()[:12]
    for end in range(PART, options.steps + 1, PART):
        for kernels, dtype in product(options.kernels, DTYPES):
            name = f"{kernels}, {dtype}"
            if rows.get(name, {}).get("steps", 0) >= end:
                continue
            atoms = start(options.data)
            model = with_kernels(options.model, **KERNELS[kernels], backend=options.backend)
            atoms.calc = RapidashCalculator(model, dtype=DTYPES[dtype])
            rows[name] = Trajectory(atoms, states / f"{name}.npz").run(PART)
            atomic_write(RESULT, json.dumps(results, indent=1) + "\n")
            atomic_write(TABLE, table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
