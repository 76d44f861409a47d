"""Structures of atoms with what was computed for them: extended xyz and other formats by ASE, sdf by RDKit."""

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rapidash.datasets._cloud_files import Entries, FileCloud
from rapidash.datasets._reading import Array, DataError
from rapidash.datasets._xyz import is_count

_MOST_BEHIND = 1000  # lines behind the end of a file
_ASE_UNITS = {
    "energy": "eV",
    "energies": "eV",
    "forces": "eV/angstrom",
    "force": "eV/angstrom",
    "stress": "eV/angstrom^3",
    "virial": "eV",
    "virials": "eV",
    "dipole": "e*angstrom",
}


def read_ase_structures(path: Path) -> Entries:
    """The structures of a file that ASE reads, one at a time: elements z, pos, columns per atom, values, and the cell.

    Values and columns have the names of the file, such as ``REF_energy``; those that ASE knows as results (energy,
    forces, stress, dipole, ...) have ASE's names. What ends in energy, forces, stress or dipole is in the units of ASE.

    Raises: ImportError without ASE; DataError for a file that it cannot read, with the frame.
    """
    try:
        import ase.io
    except ImportError as error:
        raise ImportError("files of atoms with values need ASE: pip install 'rapidash[mol]'") from error
    if path.suffix.lower() in (".xyz", ".extxyz"):
        with _EndingText(path.open("rb")) as text:
            yield from _entries(path, ase.io.iread(text, index=":", format="extxyz"), gap=lambda: _gap(path))
    else:
        yield from _entries(path, ase.io.iread(path, index=":", do_not_split_by_at_sign=True))


class _EndingText(io.TextIOWrapper):
    """A text file that says so to a reader who asks for line after line behind its end."""

    _behind = 0

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        """The next line. Raises: ValueError long behind the end."""
        line = super().readline(size)
        self._behind = 0 if line else self._behind + 1
        if self._behind > _MOST_BEHIND:
            raise ValueError("a frame announces more atoms than the file has lines")
        return line


def _gap(path: Path) -> str:
    """Say what is wrong where ASE ends at an empty line between frames without a word; empty where there is none."""
    number = 0
    with path.open("rb") as file:
        while line := file.readline():
            number += 1
            if not line.strip():
                break
            if line.lstrip().startswith(b"VEC"):  # a vector of the cell, behind the atoms
                continue
            if not is_count(line.decode("ascii", "replace")):
                return ""  # which ASE says
            number += sum(1 for _ in itertools.islice(file, int(line) + 1))
        for behind, following in enumerate(file, start=number + 1):
            if word := following.decode("utf-8", "replace").strip():
                return (
                    f"line {number} is empty, and {word[:40]!r} follows in line {behind}: frames stand one directly "
                    "after the other, so remove the empty lines between them"
                )
    return ""


def _entries(path: Path, frames: Iterator[Any], gap: Callable[[], str] = str) -> Entries:
    number = 0
    while True:
        name = f"{path}, frame {number}"
        try:
            atoms = next(frames, None)
        except Exception as error:  # damage can raise nearly everything
            said = str(error).removeprefix("ase.io.extxyz: ") or type(error).__name__
            said = f"unknown element {said}" if isinstance(error, KeyError) else said
            yield name, DataError(f"ASE cannot read it: {said}")
            return
        if atoms is None:
            if problem := gap():
                yield name, DataError(problem)
            elif number == 0:
                raise DataError(f"{path} has no structure")
            return
        try:
            yield name, _of_atoms(name, atoms)
        except DataError as error:
            yield name, error
        number += 1


def _of_atoms(name: str, atoms: Any) -> FileCloud:
    z = np.asarray(atoms.numbers, dtype=np.int64)
    if len(z) == 0:
        raise DataError("it has no atoms")
    if (z < 1).any():
        raise DataError(f"atom {int(np.argmax(z < 1))} has no name: its element is missing, or X")
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    columns = {key: array for key, array in atoms.arrays.items() if key not in ("numbers", "positions")}
    arrays: dict[str, Array] = {"pos": np.asarray(atoms.positions, dtype=np.float64), "z": z}
    values: dict[str, Any] = {}
    for key, value in {**columns, **atoms.info, **results}.items():
        is_column = key in columns or (
            np.shape(value)[:1] == z.shape and key in ("forces", "charges", "magmoms", "energies")
        )
        (arrays if is_column else values)[key] = np.asarray(value)
    units = {key: unit for key in {**arrays, **values} if (unit := _unit(key))}
    periodic = np.asarray(atoms.pbc, dtype=bool)
    if not periodic.any():
        return FileCloud(name, arrays, values=values, units=units, assumes_units=bool(units))
    cell = np.asarray(atoms.cell[:], dtype=np.float64)
    check_cell(cell, periodic)
    return FileCloud(name, arrays, values=values, units=units, assumes_units=bool(units), cell=cell, periodic=periodic)


def check_cell(cell: Array, periodic: Array) -> None:
    """Raises: DataError for vectors that are not finite, or dependent, along the periodic directions."""
    vectors = cell[periodic]
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.isfinite(vectors).all():
        raise DataError(f"its cell has vectors that are not finite: {cell.tolist()}")
    if not lengths.all() or np.linalg.svd(vectors / lengths[:, None])[1].min() < 1e-8:
        raise DataError(f"its cell has no volume along its periodic vectors: {cell.tolist()}")


def _unit(name: str) -> str:
    return _ASE_UNITS.get(name.lower().replace("-", "_").rpartition("_")[2], "")


def read_sdf_molecules(path: Path) -> Entries:
    """The molecules of an sdf file, V2000 or V3000, one at a time; data fields are values, numbers where they are such.

    Raises: ImportError without RDKit.
    """
    try:
        from rdkit import Chem, RDLogger
    except ImportError as error:
        raise ImportError("sdf files need RDKit: pip install 'rapidash[mol]'") from error
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]  # what is wrong is said by entry
    with path.open("rb") as file:
        number = -1
        for number, molecule in enumerate(Chem.ForwardSDMolSupplier(file, sanitize=False, removeHs=False)):
            name = f"{path}, entry {number + 1}"
            try:
                yield name, _of_molecule(name, molecule)
            except DataError as error:
                yield name, error
        if number < 0:
            raise DataError(f"{path} has no molecule")


def _of_molecule(name: str, molecule: Any) -> FileCloud:
    if molecule is None or molecule.GetNumConformers() == 0:
        raise DataError("RDKit cannot read it: it is damaged, or has no coordinates")
    conformer = molecule.GetConformer()
    if not conformer.Is3D():
        raise DataError("it says that its coordinates are 2D, a drawing: positions in space are expected")
    z = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], dtype=np.int64)
    if len(z) == 0 or (z < 1).any():
        raise DataError("it has no atoms" if len(z) == 0 else f"atom {int(np.argmax(z < 1))} has no name: no element")
    units: dict[str, str] = {}
    values: dict[str, Any] = {}
    for key, text in molecule.GetPropsAsDict(autoConvertStrings=False).items():
        bare, unit = split_unit(key)
        values[bare] = value_of_text(str(text))
        units |= {bare: unit} if unit else {}
    arrays = {"pos": np.asarray(conformer.GetPositions(), dtype=np.float64), "z": z}
    return FileCloud(name, arrays, values=values, units=units)


def split_unit(name: str) -> tuple[str, str]:
    """A name and the unit behind it in parentheses or brackets, such as ``gap (eV)``; empty without one."""
    stripped = name.strip()
    for first, last in ("()", "[]"):
        if stripped.endswith(last) and first in stripped[1:]:
            bare, _, unit = stripped[:-1].partition(first)
            return bare.strip(), unit.strip()
    return stripped, ""


def value_of_text(text: str) -> Array:
    """A number, several of them, or the text itself."""
    words = text.replace(",", " ").split()
    for kind in (int, float):
        try:
            numbers = np.array([kind(word) for word in words])
        except (ValueError, OverflowError):
            continue
        if len(numbers):
            return numbers[0] if len(numbers) == 1 else numbers
    return np.array(text.strip())


def names_in_use(wanted: str, names: Iterable[str]) -> list[str]:
    """Names of a file that mean what is wanted.

    The name itself; else, also without a unit behind it and in any case, that name; else those that end in it, such as
    ``REF_energy``; else the same with or without an s at the end, such as ``dft_force`` for forces.
    """
    known = list(names)
    if wanted in known:
        return [wanted]
    bare = split_unit(wanted)[0].lower()
    for word in (bare, bare.removesuffix("s") if bare.endswith("s") else f"{bare}s"):
        same = [name for name in known if name.lower() == word]
        if found := same or [name for name in known if word and name.lower().endswith(f"_{word}")]:
            return found
    return []
