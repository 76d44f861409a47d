"""The files in which the B3LYP data of QM9 circulate: xyz (folder or tar), SDF with CSV, npz."""

import csv
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._locate import any_case, beside
from rapidash.datasets._molecules import Listed, Molecules, from_padded
from rapidash.datasets._reading import Array, DataError, SampleErrors, read_npz, readable, verify_checksum
from rapidash.datasets._units import EV_PER, TOTALS_AND_ATOMIZATIONS, energy_kinds, prevailing
from rapidash.datasets._xyz import Geometry, parse_xyz, read_sdf

TAR_MD5 = {"dsgdb9nsd.xyz.tar.bz2": "ad1ebd51ee7f5b3a6e32e974e5d54012"}  # of the deposit on Figshare

# Energies of the isolated atoms in hartree (atomref.txt of the deposit), in the order of ``_REFERRED``.
ATOM_REFERENCES = {
    1: (-0.500273, -0.498857, -0.497912, -0.510927),
    6: (-37.846772, -37.845355, -37.844411, -37.861317),
    7: (-54.583861, -54.582445, -54.581501, -54.598897),
    8: (-75.064579, -75.063163, -75.062219, -75.079532),
    9: (-99.718730, -99.717314, -99.716370, -99.733544),
}
_REFERRED = ("u0", "u298", "h298", "g298")
_PROPERTIES = ("a", "b", "c", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u298", "h298", "g298", "cv")
_IN_HARTREE = ("homo", "lumo", "gap", "zpve", *_REFERRED)
_ALIASES = {"u": "u298", "h": "h298", "g": "g298"}
_COMPLETE, _EXCLUDED = 133_885, 3_054
_GAP_TOLERANCE = 0.02  # eV; the published orbital energies and gaps are rounded to 1e-4 hartree

Entry = tuple[
    int, Geometry | DataError, dict[str, float] | None
]  # GDB number, geometry, properties in the file's units


def read_qm9_xyz(folder: Path, errors: SampleErrors, *, keep_uncharacterized: bool) -> Listed:
    """The molecules of a folder of ``dsgdb9nsd_000001.xyz`` files."""
    files = {_gdb_number(path.name): path for path in folder.glob(any_case("dsgdb9nsd_*.xyz"))}

    def entries() -> Iterator[Entry]:
        for number, path in sorted(files.items()):
            with readable(path):
                text = path.read_text(encoding="latin1")
            yield _xyz_entry(number, text)

    excluded = _excluded(folder, len(files), keep_uncharacterized)
    return _collect(entries(), excluded, errors)


def read_qm9_tar(path: Path, errors: SampleErrors, *, keep_uncharacterized: bool, verify: bool) -> Listed:
    """The molecules of the published archive, read member by member without unpacking it."""
    if verify:
        verify_checksum(path, TAR_MD5.get(path.name))
    entries: list[Entry] = []
    with readable(path):
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.name.lower().endswith(".xyz") else None
                    if content is not None:
                        text = content.read().decode("latin1")
                        entries.append(_xyz_entry(_gdb_number(Path(member.name).name), text))
        except tarfile.TarError as error:
            raise OSError(str(error)) from error
    entries.sort(key=lambda entry: entry[0])
    return _collect(entries, _excluded(path.parent, len(entries), keep_uncharacterized), errors)


def read_qm9_sdf(path: Path, errors: SampleErrors, *, keep_uncharacterized: bool) -> Listed:
    """The molecules of ``gdb9.sdf`` with the properties of ``gdb9.sdf.csv`` beside it."""
    table = beside(path, path.name + ".csv")
    with readable(table), table.open(newline="", encoding="latin1") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"mol_id", *_PROPERTIES} <= set(rows[0]):
        raise DataError(f"{table} lacks columns: expected mol_id and {', '.join(_PROPERTIES)}")
    by_name = {row["mol_id"]: row for row in rows}

    def entries() -> Iterator[Entry]:
        for title, geometry in read_sdf(path):
            number = _gdb_number(title)
            row = by_name.get(f"gdb_{number}")
            if row is None:
                yield number, DataError(f"{table.name} has no row gdb_{number}"), None
                continue
            try:
                yield number, geometry, {name: float(row[name]) for name in _PROPERTIES}
            except (TypeError, ValueError):
                yield number, DataError(f"{table.name} has an empty or unreadable value in row gdb_{number}"), None

    return _collect(entries(), _excluded(path.parent, len(rows), keep_uncharacterized), errors)


def read_qm9_npz(path: Path, errors: SampleErrors) -> Listed:
    """The molecules of an npz file: DimeNet's (R, Z, N, id) or Cormorant's (positions, charges, num_atoms, index).

    Whether energies are in hartree or eV, and total or minus the atoms, is told by their size; a molecule whose energy
    does not fit the others is bad.
    """
    arrays = read_npz(path, verify=False)
    if {"R", "Z", "N"} <= set(arrays):
        sizes, z, pos = arrays["N"].astype(np.int64), arrays["Z"].astype(np.int64), arrays["R"].astype(np.float64)
    elif {"positions", "charges", "num_atoms"} <= set(arrays):
        sizes = arrays["num_atoms"].astype(np.int64)
        z, pos = from_padded(arrays["charges"], arrays["positions"].astype(np.float64), sizes)
    else:
        raise DataError(
            f"{path} has the arrays {sorted(arrays)}, expected R, Z, N (DimeNet) or positions, charges, num_atoms "
            "(Cormorant)"
        )
    index = arrays.get("id", arrays.get("index", np.arange(len(sizes)))).astype(np.int64).reshape(-1)
    lowered = {_ALIASES.get(name.lower(), name.lower()): array for name, array in arrays.items() if name.lower() != "n"}
    properties = {name: lowered[name].astype(np.float64).reshape(-1) for name in _PROPERTIES if name in lowered}
    names = [f"molecule gdb {number}" for number in index]
    per_molecule: dict[str, Array] = {"index": index, **properties}
    wrong = [name for name, array in per_molecule.items() if len(array) != len(sizes)]
    if wrong or sizes.sum() != len(z) or len(z) != len(pos):
        raise DataError(
            f"{path}: {wrong or ['atoms']} do not have a row for each of {len(sizes)} molecules or their atoms"
        )
    return _with_units(Listed.whole(Molecules(sizes, z, pos, {}, per_molecule, names)), errors)


def _xyz_entry(number: int, text: str) -> Entry:
    try:
        geometry = parse_xyz(text)
        values = [float(word) for word in geometry.comment.replace("*^", "e").split()[2:]]
        if not geometry.comment.startswith("gdb") or len(values) < len(_PROPERTIES):
            raise DataError(f"its second line is not 'gdb', a number and {len(_PROPERTIES)} properties")
    except DataError as error:
        return number, error, None
    except ValueError as error:
        return number, DataError(f"its second line holds something that is no number ({error})"), None
    return number, geometry, dict(zip(_PROPERTIES, values))


def _collect(entries: Iterable[Entry], excluded: set[int], errors: SampleErrors) -> Listed:
    kept: list[tuple[int, int, Geometry, dict[str, float]]] = []
    place = 0
    for number, geometry, properties in entries:
        if number in excluded:
            continue
        if isinstance(geometry, DataError) or properties is None:
            errors.add(f"molecule gdb {number}", str(geometry))
        else:
            kept.append((place, number, geometry, properties))
        place += 1
    if not kept:
        errors.report(place)
    places, numbers, geometries, rows = zip(*kept)
    has_charges = all(geometry.columns.shape[1] == 1 for geometry in geometries)
    per_molecule: dict[str, Array] = {"index": np.array(numbers)}
    per_molecule |= {name: np.array([row[name] for row in rows]) for name in _PROPERTIES}
    molecules = Molecules(
        np.array([len(geometry.z) for geometry in geometries]),
        np.concatenate([geometry.z for geometry in geometries]),
        np.concatenate([geometry.pos for geometry in geometries]),
        {"mulliken": np.concatenate([geometry.columns[:, 0] for geometry in geometries])} if has_charges else {},
        per_molecule,
        [f"molecule gdb {number}" for number in numbers],
    )
    return _with_units(Listed(molecules, np.array(places), place), errors)


def _with_units(listed: Listed, errors: SampleErrors) -> Listed:
    """Energies in eV, with those of atomization beside the totals; molecules in other units than the rest are bad."""
    molecules = listed.molecules
    table = molecules.per_molecule
    if "u0" not in table:
        return listed
    kinds = energy_kinds(table["u0"], molecules.electrons, TOTALS_AND_ATOMIZATIONS)
    usual = prevailing(kinds)
    if usual is None:
        raise DataError(f"{errors.source}: the energies u0 are neither in hartree nor in eV, e.g. {table['u0'][0]}")
    unit, kind = usual
    factor = EV_PER[unit]
    table |= {name: table[name] * factor for name in _IN_HARTREE if name in table}
    good = np.array([found == usual for found in kinds])
    for index in np.flatnonzero(~good).tolist():
        errors.add(molecules.names[index], f"mixed units: its u0 is not a {kind} energy in {unit} like the others")
    if {"homo", "lumo", "gap"} <= set(table):
        apart = np.abs(table["lumo"] - table["homo"] - table["gap"]) > _GAP_TOLERANCE
        for index in np.flatnonzero(apart & good).tolist():
            errors.add(molecules.names[index], "mixed units: its gap is not lumo - homo")
        good &= ~apart
    reference = _reference_energies(molecules)
    for name, energy in reference.items():
        if name in table and kind == "total":
            table[f"{name}_atom"] = table[name] - energy
        elif name in table:
            table[f"{name}_atom"], table[name] = table[name], table[name] + energy
    if not good.any():
        errors.report(len(molecules))
    return Listed(molecules.select(np.flatnonzero(good)), listed.place[good], listed.total)


def _reference_energies(molecules: Molecules) -> dict[str, NDArray[np.float64]]:
    """(B,) sums over the isolated atoms in eV; 0 for an element without a reference, which is reported elsewhere."""
    table = np.zeros((119, len(_REFERRED)))
    for z, energies in ATOM_REFERENCES.items():
        table[z] = energies
    sizes = molecules.num_atoms.astype(np.int64)
    per_atom = table[np.clip(molecules.z, 0, 118)] * EV_PER["hartree"]
    sums = np.add.reduceat(per_atom, np.cumsum(sizes) - sizes, axis=0)
    return dict(zip(_REFERRED, sums.T))


def _excluded(folder: Path, num_found: int, keep: bool) -> set[int]:
    """GDB numbers of the molecules that failed the authors' consistency check."""
    path = folder / "uncharacterized.txt"
    if not path.exists():
        path = folder.parent / "uncharacterized.txt"
    if keep:
        return set()
    if not path.exists():
        if num_found < _COMPLETE:
            return set()
        raise FileNotFoundError(
            f"uncharacterized.txt is not in {folder} with its {num_found} molecules: it lists the {_EXCLUDED} to leave "
            "out. Get it from figshare.com/collections/978904, or pass keep_uncharacterized=True."
        )
    with readable(path):
        words = [line.split() for line in path.read_text(encoding="latin1").splitlines()]
    found = {int(line[0]) for line in words if line and line[0].isdigit()}
    if num_found >= _COMPLETE and len(found) != _EXCLUDED:
        raise DataError(f"{path} lists {len(found)} molecules, published are {_EXCLUDED}: it is cut short or changed")
    return found


def _gdb_number(name: str) -> int:
    match = re.search(r"(\d+)(?:\.xyz)?$", name, re.IGNORECASE)
    if match is None:
        raise DataError(f"{name!r} has no GDB number")
    return int(match[1])
