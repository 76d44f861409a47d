"""Is the total energy of ethanol kept, 20 ps at 0.5 fs, in float32 and float64, with exact and with tabulated kernels?

    rapidash train md --variant "E(3) on R3" --model.channels 32 --model.num_layers 3 --model.basis_dim 32 \
        --model.basis_hidden_dim 32 --train.steps 8000 --train.learning_rate 0.01 --train.warmup_steps 400 \
        --train.ema_decay 0.999 --out runs/nve-ethanol
    python benchmarks/nve_ethanol.py runs/nve-ethanol --backend reference

Every trajectory starts at the same frame of the test set with the same momenta (300 K, no drift, no rotation) and runs
by ASE's velocity Verlet with `rapidash.interop.ase.RapidashCalculator`. The slope of the total energy is that of a line
through the means of 20 blocks, and its standard error that of the line's residuals. Finished trajectories of as many
steps are kept in benchmarks/nve_ethanol.json and not repeated; --again repeats them. The table goes to
docs/results/nve_ethanol_table.rst.
"""

import argparse
import json
import time
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
RESULT, TABLE = HERE / "nve_ethanol.json", HERE.parent / "docs" / "results" / "nve_ethanol_table.rst"
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


def trajectory(atoms: ase.Atoms, steps: int) -> dict[str, float]:
    """Run it; energies per atom in meV, times in ps."""
    energies, temperatures = np.empty(steps // EVERY), np.empty(steps // EVERY)
    dynamics = VelocityVerlet(atoms, timestep=TIMESTEP * fs)
    begin = time.process_time()
    for number in range(steps // EVERY):
        dynamics.run(EVERY)
        energies[number] = 1e3 * atoms.get_total_energy() / len(atoms)
        temperatures[number] = atoms.get_temperature()
    seconds = time.process_time() - begin
    found = slope(energies, 1e-3 * TIMESTEP * EVERY)
    return {
        "steps": steps,
        "picoseconds": 1e-3 * TIMESTEP * steps,
        "slope_mev_per_atom_per_ps": found.value,
        "standard_error": found.error,
        "deviation_mev_per_atom": float(energies.std()),
        "mean_temperature_k": float(temperatures.mean()),
        "highest_temperature_k": float(temperatures.max()),
        "cpu_ms_per_step": 1e3 * seconds / steps,
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """A list-table of the trajectories."""
    heads = (
        "kernels",
        "dtype",
        "slope (meV/atom/ps)",
        "deviation (meV/atom)",
        "mean temperature (K)",
        "CPU ms per step",
    )
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        *(f"   {'*' if not k else ' '} - {h}" for k, h in enumerate(heads)),
    ]
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
    parser.add_argument("--again", action="store_true", help="repeat trajectories that are finished")
    options = parser.parse_args()
    torch.set_num_threads(1)
    trained = TrainedModel.from_pretrained(options.model)
    setting = {"model": {name: trained.results[name] for name in ("metric", "unit", "test_error")}}
    setting |= {"timestep_fs": TIMESTEP, "backend": options.backend}
    results = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() and not options.again else {}
    if {name: results.get(name) for name in setting} != setting:
        results = {**setting, "trajectories": {}}
    for kernels in options.kernels:
        for dtype in DTYPES:
            name, choice = f"{kernels}, {dtype}", KERNELS[kernels]
            if results["trajectories"].get(name, {}).get("steps", 0) >= options.steps:
                continue
            atoms = start(options.data)
            model = with_kernels(options.model, **choice, backend=options.backend)
            atoms.calc = RapidashCalculator(model, dtype=DTYPES[dtype])
            results["trajectories"][name] = trajectory(atoms, options.steps)
            atomic_write(RESULT, json.dumps(results, indent=1) + "\n")
            atomic_write(TABLE, table(results["trajectories"]))
    print(table(results["trajectories"]))


if __name__ == "__main__":
    main()
