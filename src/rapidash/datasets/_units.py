"""Units of molecular data: conversion factors (CODATA 2018), and the unit of an energy, told by its size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EV_PER = {  # electron volts in one unit of energy
    "eV": 1.0,
    "hartree": 27.211386245988,
    "kcal/mol": 0.0433641153087705,
    "kJ/mol": 0.0103642696562,
}
ANGSTROM_PER_BOHR = 0.529177210903
DEBYE_PER_ATOMIC_UNIT = 2.541746473

# A neutral molecule of light elements has a total energy of -4 to -11 hartree per electron, and an atomization energy
# of -0.015 to -0.1 hartree per electron: far enough apart to tell the unit and the kind.
_PER_ELECTRON = {"total": (-11.0, -3.5), "atomization": (-0.1, -0.012)}
TOTALS = (("hartree", "total"), ("eV", "total"), ("kcal/mol", "total"), ("kJ/mol", "total"))
TOTALS_AND_ATOMIZATIONS = (
    ("hartree", "total"),
    ("eV", "total"),
    ("hartree", "atomization"),
    ("eV", "atomization"),
)


def energy_kinds(
    energy: NDArray[np.float64], electrons: NDArray[np.int64], among: Sequence[tuple[str, str]] = TOTALS
) -> list[tuple[str, str] | None]:
    """For every molecule which of some (unit, kind) its energy per electron fits, or None.

    Kinds: "total" (of all electrons; a pseudopotential calculation fits none) and "atomization" (total minus the
    isolated atoms). The intervals of ``TOTALS`` are disjoint, and so are those of ``TOTALS_AND_ATOMIZATIONS``.
    """
    kinds: list[tuple[str, str] | None] = [None] * len(energy)
    in_hartree = energy / np.maximum(electrons, 1) / EV_PER["hartree"]
    for unit, kind in among:
        low, high = _PER_ELECTRON[kind]
        fitting = (in_hartree * EV_PER[unit] >= low) & (in_hartree * EV_PER[unit] <= high)
        for index in np.flatnonzero(fitting):
            kinds[index] = (unit, kind)
    return kinds


def prevailing(kinds: Sequence[tuple[str, str] | None]) -> tuple[str, str] | None:
    """The most frequent of the kinds that were recognized, None if none was."""
    known = [kind for kind in kinds if kind is not None]
    return max(sorted(set(known)), key=known.count) if known else None
