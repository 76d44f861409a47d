"""The B3LYP targets of QM9 as tables beside geometries: an npz of whole numbers, and the package qm9pack."""

import csv
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._elements import element_number
from rapidash.datasets._locate import beside
from rapidash.datasets._molecules import Listed, Molecules
from rapidash.datasets._npz import read_npz
from rapidash.datasets._qm9_files import Entry, collect
from rapidash.datasets._qm9_units import in_electron_volts
from rapidash.datasets._reading import Array, DataError, whole_numbers
from rapidash.datasets._text import text_lines
from rapidash.datasets._xyz import Geometry

TARGETS_NPZ, GEOMETRY_NPZ, PACKAGE_CSV = "qm9_b3lyp_targets.npz", "qm9_geometry.npz", "qm9_part1.csv"
_NUM_PARTS = 3  # csv files of the package
_GEOMETRY = ("gdb_index", "n_atoms", "z", "pos")

_COLUMNS = {  # of the npz: whole numbers, to be divided by 10 ** decimals
    "mu": "mu_debye",
    "alpha": "alpha_bohr3",
    "homo": "homo_eh",
    "lumo": "lumo_eh",
    "gap": "gap_eh",
    "r2": "r2_bohr2",
    "zpve": "zpve_eh",
    "u0": "u0_eh",
    "cv": "cv_cal_mol_k",
}
_ABOVE_U0 = {"u298": "u_eh_minus_u0", "h298": "h_eh_minus_u0", "g298": "g_eh_minus_u0"}  # 1e-6 hartree
_PACKAGE_COLUMNS = {
    "a": "RotA_GHz",
    "b": "RotB_GHz",
    "c": "RotC_GHz",
    "mu": "Dipole_debye",
    "alpha": "Polarizability_bohr3",
    "homo": "HOMO_au",
    "lumo": "LUMO_au",
    "gap": "HOMO_LUMO_gap_au",
    "r2": "R2_bohr2",
    "zpve": "ZPVE_au",
    "u0": "InternalEnergy_0K_au",
    "u298": "InternalEnergy_298K_au",
    "h298": "Enthalphy_298K_au",
    "g298": "GibbsFreeEnergy_298K_au",
    "cv": "Heatcapacity_Cv_cal_mol_K",
}


def read_qm9_targets(path: Path, *, verify: bool) -> Listed:
    """The molecules of ``qm9_b3lyp_targets.npz``, with the positions in ``qm9_geometry.npz`` beside it and its own.

    Raises: FileNotFoundError without geometries; DataError for damaged files; a molecule without a geometry, or with
        another number of atoms there, is a bad one.
    """
    arrays = read_npz(path, ("gdb_index", "n_atoms"), verify=verify)
    index = whole_numbers(path, "gdb_index", arrays["gdb_index"])
    targets = {name: _decimal(path, arrays, column, len(index)) for name, column in _COLUMNS.items()}
    for name, column in _ABOVE_U0.items():
        targets[name] = targets["u0"] + 1e-6 * _column(path, arrays, column, len(index))
    geometries = _geometries(path, arrays, verify=verify)
    place = {int(number): row for row, number in enumerate(geometries.per_molecule["index"])}
    rows = np.array([place.get(int(number), -1) for number in index])
    sizes = whole_numbers(path, "n_atoms", arrays["n_atoms"])
    if sizes.shape != index.shape:
        raise DataError(f"{path}: 'n_atoms' has the shape {sizes.shape}, expected {index.shape}: it is damaged")
    found = rows >= 0
    fits = found & (geometries.num_atoms[np.maximum(rows, 0)] == sizes)
    good = np.flatnonzero(fits)
    molecules = geometries.select(rows[good])
    molecules.per_molecule |= {name: values[good] for name, values in targets.items()}
    wrong = {place: f"molecule gdb {index[place]}" for place in np.flatnonzero(~fits).tolist()}
    bad = {
        place: (name, f"its geometry has not its {sizes[place]} atoms" if found[place] else "it has no geometry")
        for place, name in wrong.items()
    }
    return in_electron_volts(Listed(molecules, good, len(index), bad), path)


def table_files(path: Path) -> list[Path]:
    """The files that are read with the first of a layout, as far as they are there."""
    names = sorted(path.parent.glob("*"))
    wanted = {TARGETS_NPZ, GEOMETRY_NPZ, *_parts()}
    return [file for file in names if file.name.lower() in wanted]


def _parts() -> list[str]:
    return [PACKAGE_CSV.replace("1", str(number)) for number in range(1, _NUM_PARTS + 1)]


def qm9pack_folder() -> Path | None:
    """The folder of csv files of the package qm9pack, where it is installed; it is not imported."""
    found = importlib.util.find_spec("qm9pack")
    folder = Path(found.origin).parent / "data" if found is not None and found.origin else None
    return folder if folder is not None and (folder / PACKAGE_CSV).is_file() else None


def read_qm9_package(folder: Path) -> Listed:
    """The molecules of ``qm9_part1.csv``, ``qm9_part2.csv`` and ``qm9_part3.csv``, the tables of the package qm9pack.

    Raises: FileNotFoundError for a missing part; DataError for another table.
    """
    parts = [beside(folder / PACKAGE_CSV, name) for name in _parts()]
    if missing := [part.name for part in parts if not part.is_file()]:
        raise FileNotFoundError(f"{', '.join(missing)} is missing: {folder} is incomplete")
    return collect(folder, (entry for part in parts for entry in _package_entries(part)), set())


def _package_entries(path: Path) -> Iterator[Entry]:
    lines = csv.DictReader(text_lines(path))
    needed = ("Index", "Elements", "XYZ_Ang", "Mulliken_pop", *_PACKAGE_COLUMNS.values())
    if missing := [name for name in needed if name not in (lines.fieldnames or ())]:
        raise DataError(f"{path} has no column {missing[0]!r}, it has {lines.fieldnames}: it is no table of qm9pack")
    try:
        for row in lines:
            number = _number(path, lines.line_num, row["Index"])
            try:
                yield number, _package_geometry(row), {key: float(row[name]) for key, name in _PACKAGE_COLUMNS.items()}
            except (DataError, TypeError, ValueError) as error:
                yield number, DataError(f"a value in line {lines.line_num} of {path.name} is damaged: {error}"), None
    except csv.Error as error:
        raise DataError(f"{path}, line {lines.line_num}: {error}: it is damaged") from error


def _number(path: Path, line: int, word: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) < 10):
        raise DataError(f"{path}, line {line}: {word[:80]!r} is no number of a molecule: it is damaged")
    return int(word)


def _package_geometry(row: Mapping[str, str]) -> Geometry:
    """Lists of Python, of names and of numbers. Raises: DataError, ValueError, TypeError for others."""
    names = [word.strip().strip("'") for word in row["Elements"].strip("[]").split(",")]
    z = [element_number(name) for name in names]
    if unknown := [name for name, number in zip(names, z) if not number]:
        raise DataError(f"the element {unknown[0]!r} is unknown")
    pos, charges = _numbers(row["XYZ_Ang"]), _numbers(row["Mulliken_pop"])
    if len(pos) != 3 * len(z) or len(charges) != len(z):
        raise DataError(f"{len(z)} elements have {len(pos)} coordinates and {len(charges)} charges")
    return Geometry(np.array(z, dtype=np.int64), pos.reshape(-1, 3), charges[:, None], "")


def _numbers(text: str) -> NDArray[np.float64]:
    """The numbers of a list, or of a list of lists; some are written as -6.E-6."""
    return np.array([float(word) for word in text.replace("[", "").replace("]", "").split(",")])


def _geometries(path: Path, targets: Mapping[str, Array], *, verify: bool) -> Molecules:
    """Those of the file beside the targets, and those that the targets have themselves."""
    source = beside(path, GEOMETRY_NPZ)
    if not source.is_file():
        raise FileNotFoundError(f"{GEOMETRY_NPZ} is not beside {path}: the targets need the geometries in it")
    own = _molecules(source, read_npz(source, _GEOMETRY, verify=verify))
    if not {f"extra_{name}" for name in _GEOMETRY} <= set(targets):
        return own
    more = _molecules(path, {name: targets[f"extra_{name}"] for name in _GEOMETRY})
    return Molecules(
        np.concatenate([own.num_atoms, more.num_atoms]),
        np.concatenate([own.z, more.z]),
        np.concatenate([own.pos, more.pos]),
        {},
        {"index": np.concatenate([own.per_molecule["index"], more.per_molecule["index"]])},
        [*own.names, *more.names],
    )


def _molecules(path: Path, arrays: Mapping[str, Array]) -> Molecules:
    index = whole_numbers(path, "gdb_index", arrays["gdb_index"])
    names = [f"molecule gdb {number}" for number in index]
    z = whole_numbers(path, "z", arrays["z"])
    molecules = Molecules(arrays["n_atoms"], z, arrays["pos"], {}, {"index": index}, names)
    molecules.check_lengths(path)
    return molecules


def _decimal(path: Path, arrays: Mapping[str, Array], column: str, size: int) -> NDArray[np.float64]:
    """Whole numbers with so many decimals as the file says."""
    if f"{column}_decimals" not in arrays:
        raise DataError(f"{path} has no array '{column}_decimals', it has {sorted(arrays)}: it is another version")
    decimals = whole_numbers(path, f"{column}_decimals", arrays[f"{column}_decimals"].reshape(-1))
    if decimals.shape != (1,):
        raise DataError(f"{path}: '{column}_decimals' has {decimals.size} numbers, expected one")
    return _column(path, arrays, column, size) / 10.0 ** int(decimals[0])


def _column(path: Path, arrays: Mapping[str, Array], column: str, size: int) -> NDArray[np.float64]:
    if column not in arrays:
        raise DataError(f"{path} has no array {column!r}, it has {sorted(arrays)}: it is another version")
    if arrays[column].shape != (size,):
        raise DataError(f"{path}: {column!r} has the shape {arrays[column].shape}, expected ({size},): it is cut short")
    return whole_numbers(path, column, arrays[column]).astype(np.float64)
