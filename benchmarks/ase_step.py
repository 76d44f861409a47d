"""CPU time of a step of `RapidashCalculator` over that of its network alone, and the share of the neighbors.

    python benchmarks/ase_step.py

Fresh networks of 32 channels and 3 layers with exact kernels, one thread, all columns in turn: the network gives the
energies and forces of a batch that is at hand, its edges included; a step moves an atom and asks for energy, forces
and, in a cell, the stress.
"""

import ase
import numpy as np
import torch
from ase.build import bulk, molecule
from forces import milliseconds

from rapidash.data import CloudBatch, Field
from rapidash.geometry import Cell, periodic_radius_edges
from rapidash.groups import Position, Scalar, Vector
from rapidash.interop.ase import RapidashCalculator
from rapidash.methods import Variant
from rapidash.models import RapidashConfig
from rapidash.predict import TrainedModel
from rapidash.tasks import get_task

SIZES = {"space": "R3", "channels": 32, "num_layers": 3, "basis_dim": 32, "basis_hidden_dim": 32}
RADIUS = 5.0
FIELDS = {
    "pos": Field(Position(), "angstrom"),
    "z": Field(Scalar()),
    "cell": Field(Vector(), "angstrom", "cloud"),
    "periodic": Field(Scalar(), level="cloud"),
}


def model_of(atoms: ase.Atoms) -> TrainedModel:
    """A fresh model of own data for the elements and periods of some atoms."""
    torch.manual_seed(0)
    options = {"files": ["none.xyz"], "target": "energy", "forces": "forces", "kind": "forces", "target_unit": "eV"}
    elements = sorted(set(atoms.numbers.tolist()))
    options |= {"elements": elements, "is_periodic": True}
    variant = Variant("E(3)", RapidashConfig(edges=f"radius-{RADIUS}", kernel="exact", **SIZES))
    reference = {"mean": 0.0, "scale": 1.0, "offsets": [0.0] * len(elements)}
    return TrainedModel("own-data", options, variant, get_task("own-data", **options).build(variant).eval(), reference)


def batch_of(atoms: ase.Atoms) -> CloudBatch:
    tensors = {
        "pos": torch.tensor(atoms.positions, dtype=torch.float32),
        "z": torch.tensor(atoms.numbers),
        "cell": torch.tensor(np.asarray(atoms.cell), dtype=torch.float32)[None],
        "periodic": torch.tensor(atoms.pbc)[None],
    }
    return CloudBatch(tensors, FIELDS, torch.zeros(len(atoms), dtype=torch.long), 1)


def main() -> None:
    """Print a line for each system."""
    torch.set_num_threads(1)
    copper = bulk("Cu", "fcc", a=3.61, cubic=True)
    systems = {
        "ethanol": (molecule("CH3CH2OH"), 100),
        "copper": (copper * 3, 20),
        "copper, more": (copper * (4, 4, 4), 10),
    }
    for name, (atoms, repeats) in systems.items():
        atoms.rattle(0.05, seed=0)
        trained = model_of(atoms)
        network, batch = trained.model.requires_grad_(False), batch_of(atoms)
        atoms.calc = RapidashCalculator(trained)
        cell = Cell(batch["cell"], batch["periodic"])

        def step(atoms: ase.Atoms = atoms) -> None:
            atoms.positions[0, 0] += 1e-6
            atoms.get_forces()

        def alone(network: torch.nn.Module = network, batch: CloudBatch = batch) -> None:
            with torch.no_grad():
                network(batch)

        def edges(batch: CloudBatch = batch, cell: Cell = cell) -> None:
            periodic_radius_edges(batch.pos, batch.batch, RADIUS, cell)

        of_step, of_network, of_edges = milliseconds([step, alone, edges], repeats)
        print(
            f"{name}: {len(atoms)} atoms, a step {of_step:.1f} ms, the network {of_network:.1f} ms "
            f"(ratio {of_step / of_network:.2f}), of which neighbors {of_edges:.1f} ms"
        )


if __name__ == "__main__":
    main()
