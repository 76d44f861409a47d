"""The energies of QM9 in eV: which unit a file has, told by size, and the energies of the isolated atoms."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._molecules import Listed, Molecules
from rapidash.datasets._reading import Array, DataError
from rapidash.datasets._units import EV_PER, HOMOS, TOTALS_AND_ATOMIZATIONS, ZERO_POINTS

# Energies of the isolated atoms in hartree (atomref.txt of the deposit), in the order of ``_REFERRED``.
ATOM_REFERENCES = {
    1: (-0.500273, -0.498857, -0.497912, -0.510927),
    6: (-37.846772, -37.845355, -37.844411, -37.861317),
    7: (-54.583861, -54.582445, -54.581501, -54.598897),
    8: (-75.064579, -75.063163, -75.062219, -75.079532),
    9: (-99.718730, -99.717314, -99.716370, -99.733544),
}
ELEMENTS = tuple(ATOM_REFERENCES)
_REFERRED = ("u0", "u298", "h298", "g298")
_ORBITALS = ("homo", "lumo", "gap")
_MEDIAN_GAP = (1.0, 20.0)  # eV; 6.8 in QM9
_GAP_TOLERANCE = 0.02  # eV; the published orbital energies and gaps are rounded to 1e-4 hartree
# eV, 0.1 hartree. With nine heavy atoms the heat content up to 298 K stays below 0.03 hartree, T S (S below
# 130 cal/mol/K) below 0.065; a wrong unit or reference is off by 0.3 hartree, the least energy of atomization, or more.
_THERMAL = 2.7


def in_electron_volts(listed: Listed, source: Path) -> Listed:
    """The list with energies in eV, those of atomization beside the totals; molecules in other units are marked bad.

    Totals, orbital energies and the zero-point energy have each their own unit, as files mix them. Raises: DataError
    where one cannot be told.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported as such later
        _totals(listed, source)
        _orbitals(listed, source)
        _zero_points(listed, source)
    return listed


def _zero_points(listed: Listed, source: Path) -> None:
    table = listed.molecules.per_molecule
    if "zpve" in table:
        atoms = listed.molecules.num_atoms.astype(np.int64)
        unit, _ = listed.tell_unit("zpve", atoms, ZERO_POINTS, elements=ELEMENTS, source=source)
        _scale(table, ("zpve",), unit)


def _totals(listed: Listed, source: Path) -> None:
    molecules, table = listed.molecules, listed.molecules.per_molecule
    present = [name for name in _REFERRED if name in table]
    if not present:
        return
    first = present[0]
    unit, kind = listed.tell_unit(first, molecules.electrons, TOTALS_AND_ATOMIZATIONS, elements=ELEMENTS, source=source)
    _scale(table, present, unit)
    reference = _reference_energies(molecules)
    for name in present:
        if kind == "total":
            table[f"{name}_atom"] = table[name] - reference[name]
        else:
            table[f"{name}_atom"], table[name] = table[name], table[name] + reference[name]
        apart = np.abs(table[name] - table[first])
        for index in np.flatnonzero(apart > _THERMAL).tolist():
            listed.mark(index, f"mixed units: its {name} is {apart[index]:.4g} eV from its {first}")


def _orbitals(listed: Listed, source: Path) -> None:
    table = listed.molecules.per_molecule
    present = [name for name in _ORBITALS if name in table]
    if not present:
        return
    if present == ["lumo"]:
        raise DataError(f"{source}: the unit of 'lumo' cannot be told without 'homo' or 'gap', as it can be near 0")
    if "homo" in table:
        unit, _ = listed.tell_unit("homo", 1, HOMOS, elements=ELEMENTS, source=source)
    else:
        unit = _unit_of_gaps(table["gap"], source)
    _scale(table, present, unit)
    if len(present) == len(_ORBITALS):
        apart = np.abs(table["lumo"] - table["homo"] - table["gap"]) > _GAP_TOLERANCE
        for index in np.flatnonzero(apart).tolist():
            listed.mark(index, "mixed units: its gap is not lumo - homo")


def _unit_of_gaps(gap: Array, source: Path) -> str:
    """By their median: the gaps of single molecules range so widely that one does not tell its unit."""
    finite = gap[np.isfinite(gap)]
    median = float(np.median(finite)) if len(finite) else 1.0
    for unit in ("hartree", "eV"):
        if _MEDIAN_GAP[0] <= median * EV_PER[unit] <= _MEDIAN_GAP[1]:
            return unit
    raise DataError(
        f"{source}: the unit of 'gap', of median {median:.6g}, cannot be told: it fits no size in hartree or eV"
    )


def _scale(table: dict[str, Array], names: tuple[str, ...] | list[str], unit: str) -> None:
    table |= {name: table[name] * EV_PER[unit] for name in names}


def _reference_energies(molecules: Molecules) -> dict[str, NDArray[np.float64]]:
    """(B,) sums over the isolated atoms in eV; 0 for an element without a reference, which is reported elsewhere."""
    table = np.zeros((119, len(_REFERRED)))
    for z, energies in ATOM_REFERENCES.items():
        table[z] = energies
    per_atom = table[np.clip(molecules.z, 0, 118)] * EV_PER["hartree"]
    return {name: molecules.sums(column) for name, column in zip(_REFERRED, per_atom.T)}
