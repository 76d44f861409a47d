"""Order, sign and unit of the six numbers that mlearn calls ``virial``, found from its energies and forces.

    python benchmarks/virial_convention.py

1. *Energies.* Two strained crystals i, j that differ by a small strain e and small displacements d within the cell have
   energies that differ by V s : e - F . d, where the stress s times the volume V and the forces F are means over both
   (the error is of third order in e). Every order of six numbers, with the volume as a factor or without, predicts all
   these differences up to one number, which least squares give: its sign is the sign, its size the unit. All 2 x 720
   orders are tried, and nothing is trained. It needs crystals strained in small steps: Si, Ge and Mo have them.
2. *Forces.* A pair potential sum_ij phi(r_ij), fitted to the forces of an element by linear least squares, has a
   stress. Less its trace, which pairs cannot give, it is compared with the six numbers of every group in all 720
   orders, by correlation. It needs structures without symmetry: those at high temperature and with a vacancy.
"""

import argparse
from collections.abc import Iterator
from itertools import combinations, permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from rapidash.datasets import MLEARN_ELEMENTS, MLEARN_GROUPS, locate
from rapidash.geometry import Cell, periodic_radius_edges

COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
ROWS, COLUMNS = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)
MOST_STRAIN, MOST_SHIFT = 0.045, 0.5  # of a pair: the norm of e, and the displacement of an atom in angstrom
UNITS = {"eV/angstrom^3": 1.0, "GPa": 1 / 160.2176634, "kbar": 1 / 1602.176634}  # of a stress
RADIUS, NUM_RADIAL = 6.0, 20  # of the pair potential, in angstrom


class Structure(NamedTuple):
    """One structure as the file has it, with float64 numbers."""

    group: str
    cell: np.ndarray
    pos: np.ndarray
    forces: np.ndarray
    energy: float
    six: np.ndarray

    @property
    def volume(self) -> float:
        return abs(np.linalg.det(self.cell))


def structures(arrays: dict[str, np.ndarray], prefix: str) -> list[Structure]:
    """Those of one set, ``"Si/train"``."""
    count = arrays[f"{prefix}_n_atoms"].astype(int)
    end = np.cumsum(count)
    names = ("group", "cell", "energy", "virial")
    group, cell, energy, six = (arrays[f"{prefix}_{name}"] for name in names)
    pos, forces = (np.split(arrays[f"{prefix}_{name}"].astype(float), end[:-1]) for name in ("pos", "forces"))
    parts = zip(group, cell.astype(float), pos, forces, energy, six.astype(float), strict=True)
    return [Structure(*part) for part in parts]


# ---- energies


def differences(given: list[Structure]) -> Iterator[tuple[float, np.ndarray, np.ndarray, np.ndarray]]:
    """Of every pair the energy that strain must explain, the strain (shears twice), the six numbers, times volume too.

    Shapes: (), (6,), (6,), (6,).
    """
    for one, other in combinations(given, 2):
        if len(one.pos) != len(other.pos):
            continue
        middle = (one.cell + other.cell) / 2
        gradient = np.linalg.solve(middle, other.cell - one.cell)
        strain = ((gradient + gradient.T) / 2)[ROWS, COLUMNS]
        step = other.pos @ np.linalg.inv(other.cell) - one.pos @ np.linalg.inv(one.cell)
        shift = (step - np.round(step)) @ middle
        shift -= shift.mean(axis=0)
        if np.linalg.norm(gradient + gradient.T) / 2 > MOST_STRAIN or np.abs(shift).max() > MOST_SHIFT:
            continue
        work = ((one.forces + other.forces) / 2 * shift).sum()
        yield (
            other.energy - one.energy + work,
            strain * [1, 1, 1, 2, 2, 2],
            (one.six + other.six) / 2,
            (one.volume * one.six + other.volume * other.six) / 2,
        )


def ranked_by_energy(given: list[Structure]) -> list[tuple[float, str, bool, float]]:
    """Every order: the share of the energy that it leaves, its name, whether with the volume, factor."""
    energy, strain, plain, with_volume = (np.array(column) for column in zip(*differences(given), strict=True))
    found = []
    for takes_volume, numbers in ((False, plain), (True, with_volume)):
        products = numbers[:, :, None] * strain[:, None, :]  # of number a and component b
        for order in permutations(range(6)):
            predicted = products[:, np.arange(6), order].sum(axis=1)
            factor = float(predicted @ energy / (predicted @ predicted))
            left = float(np.linalg.norm(energy - factor * predicted) / np.linalg.norm(energy))
            found.append((left, named(order), takes_volume, factor))
    return sorted(found)


def named(order: tuple[int, ...]) -> str:
    return " ".join(COMPONENTS[place] for place in order)


def in_unit(factor: float, takes_volume: bool) -> str:
    """The factor in the nearest unit: -1 where compression counts positive."""
    if not takes_volume:
        return f"{factor:+.4f} eV / volume"
    unit = min(UNITS, key=lambda name: abs(np.log(abs(factor) / UNITS[name])))
    return f"{factor / UNITS[unit]:+.4f} {unit}"


# ---- forces


def pair_terms(one: Structure) -> tuple[np.ndarray, np.ndarray]:
    """Forces (3 N, K) and stress (6, K) of every radial function: a Gaussian times (1 - r^2 / R^2)^2."""
    centers = np.linspace(1.5, RADIUS, NUM_RADIAL)
    width = centers[1] - centers[0]
    cell = Cell(torch.from_numpy(one.cell)[None])
    found = periodic_radius_edges(torch.from_numpy(one.pos), torch.zeros(len(one.pos), dtype=torch.long), RADIUS, cell)
    offset = one.pos[found.edges[0]] + found.shift.numpy() @ one.cell - one.pos[found.edges[1]]
    length = np.linalg.norm(offset, axis=1)
    offset, length, target = offset[length > 0], length[length > 0], found.edges[1].numpy()[length > 0]
    z, inside = (length[:, None] - centers) / width, 1 - (length[:, None] / RADIUS) ** 2
    slope = np.exp(-(z**2) / 2) * (-z / width * inside**2 - 4 * length[:, None] / RADIUS**2 * inside)
    forces = np.zeros((len(one.pos), 3, NUM_RADIAL))
    np.add.at(forces, target, (offset / length[:, None])[:, :, None] * slope[:, None, :])
    arms = offset[:, ROWS] * offset[:, COLUMNS] / length[:, None]
    return forces.reshape(-1, NUM_RADIAL), arms.T @ slope / (2 * one.volume)


def without_trace(six: np.ndarray) -> np.ndarray:
    return np.concatenate([six[:, :3] - six[:, :3].mean(axis=1, keepdims=True), six[:, 3:]], axis=1)


def ranked_by_forces(given: list[Structure]) -> dict[str, list[tuple[float, str]]]:
    """For every group the correlation of each order, the strongest first."""
    terms = [pair_terms(one) for one in given]
    normal = sum(forces.T @ forces for forces, _ in terms)
    right = sum(forces.T @ one.forces.reshape(-1) for (forces, _), one in zip(terms, given))
    weights = np.linalg.solve(normal + 1e-6 * np.trace(normal) / NUM_RADIAL * np.eye(NUM_RADIAL), right)
    found = {}
    for group in MLEARN_GROUPS:
        chosen = [index for index, one in enumerate(given) if one.group == group]
        if not chosen:
            continue
        stress = without_trace(np.stack([terms[index][1] @ weights for index in chosen]))
        numbers = without_trace(np.stack([given[index].six for index in chosen]))
        products = numbers.T @ stress / (np.linalg.norm(numbers) * np.linalg.norm(stress))
        orders = permutations(range(6))
        found[group] = sorted((float(products[np.arange(6), order].sum()), named(order)) for order in orders)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder of mlearn_pbc.npz, or the file")
    _, path = locate(("mlearn_pbc.npz",), dataset="mlearn", obtain="", data_dir=parser.parse_args().data)
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    print("by energies of strained crystals: the share of them that the best of 2 x 720 orders leaves, and the next")
    for name in ("Si", "Ge", "Mo"):
        crystals = [one for one in structures(arrays, f"{name}/train") if one.group == "Elastic"]
        best, second = (
            f"{order}, stress = {in_unit(factor, takes_volume)} {left:5.1%}"
            for left, order, takes_volume, factor in ranked_by_energy(crystals)[:2]
        )
        print(f"{name}  {best}   next {second}")
    print(
        "\nby a pair potential fitted to forces: the correlation of the best of 720 orders, without trace, and the next"
    )
    for name in MLEARN_ELEMENTS:
        parts = [f"{name}/{part}" for part in ("train", "test") if f"{name}/{part}_energy" in arrays]
        given = [one for part in parts for one in structures(arrays, part)]
        for group, ((best, order), (second, other), *_) in ranked_by_forces(given).items():
            num = sum(one.group == group for one in given)
            print(f"{name}  {group:8s} {num:4d}  {order}  {best:+.3f}   next {other}  {second:+.3f}")


if __name__ == "__main__":
    main()
