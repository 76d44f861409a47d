"""CPU time of the neighbors of a periodic structure beside ASE's list: copper of about 1,000 atoms, one thread."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from ase.build import bulk
from ase.neighborlist import primitive_neighbor_list

from rapidash.geometry import Cell, periodic_radius_edges

RADIUS = 5.0  # Angstrom
REPEATS = 15


def milliseconds(search: Callable[[], object]) -> float:
    """The median of the CPU time over repeats, after one that is not counted."""
    search()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        search()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times)


def main() -> None:
    """Print the times and their ratio."""
    torch.set_num_threads(1)
    atoms = bulk("Cu", "fcc", a=3.61, cubic=True) * (6, 6, 7)
    atoms.rattle(0.05, seed=0)
    pos, cell = torch.tensor(atoms.positions), Cell(torch.tensor(np.asarray(atoms.cell))[None])
    batch = torch.zeros(len(pos), dtype=torch.long)
    ours = milliseconds(lambda: periodic_radius_edges(pos, batch, RADIUS, cell))
    ase = milliseconds(lambda: primitive_neighbor_list("ijS", atoms.pbc, atoms.cell, atoms.positions, RADIUS))
    num = len(periodic_radius_edges(pos, batch, RADIUS, cell).shift)
    print(
        f"{len(pos)} atoms, {num} edges within {RADIUS} Angstrom: {ours:.1f} ms, ASE {ase:.1f} ms ({ase / ours:.1f}x)"
    )


if __name__ == "__main__":
    main()
