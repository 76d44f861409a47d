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

# Sizes in hartree, each interval narrower than the step from one unit to the next, so that they tell the unit. Per
# electron of a neutral molecule of light elements its total energy and that of atomization, per atom the zero-point
# energy, and per molecule the HOMO (in QM9 -0.24 with a standard deviation of 0.02).
_SIZES = {
    "total": (-11.0, -3.5),
    "atomization": (-0.1, -0.012),
    "zero-point": (0.0015, 0.015),
    "HOMO": (-0.6, -0.06),
}
TOTALS = (("hartree", "total"), ("eV", "total"), ("kcal/mol", "total"), ("kJ/mol", "total"))
TOTALS_AND_ATOMIZATIONS = (
    ("hartree", "total"),
    ("eV", "total"),
    ("hartree", "atomization"),
    ("eV", "atomization"),
)
ATOMIZATIONS = (("hartree", "atomization"), ("eV", "atomization"), ("kcal/mol", "atomization"))
ZERO_POINTS = (("hartree", "zero-point"), ("eV", "zero-point"))
HOMOS = (("hartree", "HOMO"), ("eV", "HOMO"))


def energy_kinds(
    energy: NDArray[np.float64], counts: NDArray[np.int64] | int, among: Sequence[tuple[str, str]] = TOTALS
) -> list[tuple[str, str] | None]:
    """For every molecule which of some (unit, kind) its energy per count fits, or None.

    Kinds, and what ``counts`` counts: "total" (of all electrons; a pseudopotential calculation fits none) and
    "atomization" (total minus the isolated atoms), electrons; "zero-point", atoms; "HOMO", 1. The intervals
    of each choice in this file are disjoint.
    """
    kinds: list[tuple[str, str] | None] = [None] * len(energy)
    in_hartree = energy / np.maximum(counts, 1) / EV_PER["hartree"]
    for unit, kind in among:
        low, high = _SIZES[kind]
        fitting = (in_hartree * EV_PER[unit] >= low) & (in_hartree * EV_PER[unit] <= high)
        for index in np.flatnonzero(fitting):
            kinds[index] = (unit, kind)
    return kinds


def prevailing(kinds: Sequence[tuple[str, str] | None]) -> tuple[str, str] | None:
    """The most frequent of the kinds that were recognized, None if none was."""
    known = [kind for kind in kinds if kind is not None]
    return max(sorted(set(known)), key=known.count) if known else None
