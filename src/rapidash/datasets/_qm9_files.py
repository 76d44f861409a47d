"""The files in which the B3LYP data of QM9 circulate: xyz (folder or tar), SDF with CSV, npz."""

import csv
import lzma
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from rapidash.datasets._locate import any_case, beside
from rapidash.datasets._molecules import Bad, Listed, Molecules, from_padded, unreadable
from rapidash.datasets._npz import read_npz
from rapidash.datasets._qm9_units import in_electron_volts
from rapidash.datasets._reading import Array, DataError, readable, real_numbers, verify_checksum, whole_numbers
from rapidash.datasets._text import lines_of, text_lines
from rapidash.datasets._xyz import Geometry, parse_xyz, read_sdf

TAR_MD5 = {"dsgdb9nsd.xyz.tar.bz2": "ad1ebd51ee7f5b3a6e32e974e5d54012"}  # of the deposit on Figshare

_PROPERTIES = ("a", "b", "c", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u298", "h298", "g298", "cv")
_ALIASES = {"u": "u298", "h": "h298", "g": "g298"}
_LONGEST = 1000  # lines of a file: its molecules have at most 29 atoms
_COMPLETE, _EXCLUDED = 133_885, 3_054
# GDB number, geometry, properties in the file's units
Entry = tuple[int, Geometry | DataError, dict[str, float] | None]


def read_qm9_xyz(folder: Path, *, keep_uncharacterized: bool) -> Listed:
    """The molecules of a folder of ``dsgdb9nsd_000001.xyz`` files."""
    files = {_gdb_number(path.name): path for path in folder.glob(any_case("dsgdb9nsd_*.xyz"))}

    def entries() -> Iterator[Entry]:
        for number, path in sorted(files.items()):
            yield _xyz_entry(number, text_lines(path))

    excluded = _excluded(folder, len(files), keep_uncharacterized)
    return collect(folder, entries(), excluded)


def read_qm9_tar(path: Path, *, keep_uncharacterized: bool, verify: bool) -> Listed:
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
                        number = _gdb_number(Path(member.name).name)
                        entries.append(_xyz_entry(number, lines_of(content, member.name)))
        except (tarfile.TarError, lzma.LZMAError) as error:
            raise OSError(str(error)) from error
    entries.sort(key=lambda entry: entry[0])
    return collect(path, entries, _excluded(path.parent, len(entries), keep_uncharacterized))


def read_qm9_sdf(path: Path, *, keep_uncharacterized: bool) -> Listed:
    """The molecules of ``gdb9.sdf`` with the properties of ``gdb9.sdf.csv`` beside it, its columns in any case."""
    table = beside(path, path.name + ".csv")
    rows = _csv_rows(table)

    def entries() -> Iterator[Entry]:
        for title, geometry in read_sdf(path):
            number, row = _gdb_number(title), rows.get(title)
            if row is None:
                yield number, DataError(f"{table.name} has no row {title}"), None
            elif isinstance(row, str):
                yield number, DataError(f"{table.name} {row} in row {title}"), None
            else:
                yield number, geometry, row

    return collect(path, entries(), _excluded(path.parent, len(rows), keep_uncharacterized))


def _csv_rows(table: Path) -> dict[str, dict[str, float] | str]:
    """The properties by mol_id, or what is wrong with those of a molecule."""
    found: dict[str, dict[str, float] | str] = {}
    lines = csv.reader(text_lines(table))
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        if len(set(header)) < len(header) or not {"mol_id", *_PROPERTIES} <= set(header):
            raise DataError(f"{table} lacks columns, or has one twice: expected mol_id and {', '.join(_PROPERTIES)}")
        for line in lines:
            row = dict(zip(header, line))
            name = row.get("mol_id", "").strip()
            try:
                values: dict[str, float] | str = {key: float(row[key]) for key in _PROPERTIES}
            except (KeyError, ValueError):
                values = "has an empty or unreadable value"
            if line and len(line) != len(header):
                values = f"has {len(line)} values, expected {len(header)},"
            if line:
                found[name] = values if name not in found else "has two lines"
    except csv.Error as error:
        raise DataError(f"{table}, line {lines.line_num}: {error}: it is damaged") from error
    if not found:
        raise DataError(f"{table} lacks rows: it is cut short")
    return found


def read_qm9_npz(path: Path, *, keep_uncharacterized: bool) -> Listed:
    """The molecules of an npz file: DimeNet's (R, Z, N, id) or Cormorant's (positions, charges, num_atoms, index).

    Units, and whether energies are total or minus the atoms, are told by their size. The molecules of
    uncharacterized.txt are left out by their number, unless the file lacks them already.
    """
    arrays = read_npz(path, verify=False)
    sizes, z, pos, num_charges = _npz_atoms(path, arrays)
    given = next((arrays[name] for name in ("id", "index") if name in arrays), np.arange(sizes.size))
    index = whole_numbers(path, "id", given.reshape(-1))
    lowered = {_ALIASES.get(name.lower(), name.lower()): name for name in arrays if name.lower() != "n"}
    known = {name: lowered[name] for name in _PROPERTIES if name in lowered}
    properties = {name: real_numbers(path, own, arrays[own]).reshape(-1) for name, own in known.items()}
    names = [f"molecule gdb {number}" for number in index]
    molecules = Molecules(sizes, z, pos, {}, {"index": index, **properties}, names)
    molecules.check_lengths(path)
    kept = np.arange(len(molecules))
    if {"id", "index"} & set(arrays) or len(molecules) == _COMPLETE:
        numbers = index + 1 if 0 in index else index  # GDB numbers begin with 1
        excluded = _excluded(path.parent, len(molecules), keep_uncharacterized)
        kept = np.flatnonzero(~np.isin(numbers, list(excluded)))
    listed = Listed.whole(molecules.select(kept))
    for place in np.flatnonzero(num_charges[kept] != sizes[kept]).tolist():
        listed.mark(place, f"num_atoms is {sizes[kept][place]}, charges has {num_charges[kept][place]} elements")
    return in_electron_volts(listed, path)


def _npz_atoms(path: Path, arrays: Mapping[str, Array]) -> tuple[Array, Array, Array, Array]:
    """Numbers of atoms (B,), z (N,), pos (N, 3), and how many elements there are for each molecule (B,)."""
    if {"R", "Z", "N"} <= set(arrays):
        sizes, z = (whole_numbers(path, name, arrays[name]) for name in ("N", "Z"))
        return sizes, z, real_numbers(path, "R", arrays["R"]), sizes
    if {"positions", "charges", "num_atoms"} <= set(arrays):
        charges, sizes = (whole_numbers(path, name, arrays[name]) for name in ("charges", "num_atoms"))
        padded = from_padded(path, charges, real_numbers(path, "positions", arrays["positions"]), sizes)
        return *padded, (charges != 0).sum(axis=1)
    raise DataError(
        f"{path} has the arrays {sorted(arrays)}, expected R, Z, N (DimeNet) or positions, charges, num_atoms "
        "(Cormorant)"
    )


def _xyz_entry(number: int, lines: Iterator[str]) -> Entry:
    try:
        geometry = parse_xyz("\n".join(islice(lines, _LONGEST)))
        values = [float(word) for word in geometry.comment.replace("*^", "e").split()[2:]]
        if not geometry.comment.startswith("gdb") or len(values) < len(_PROPERTIES):
            raise DataError(f"its second line is not 'gdb', a number and {len(_PROPERTIES)} properties")
        if (stated := geometry.comment.split()[1]) != str(number):
            raise DataError(f"its second line is of gdb {stated[:20]}")
    except DataError as error:
        return number, error, None
    except ValueError as error:
        return number, DataError(f"its second line holds something that is no number ({error})"), None
    return number, geometry, dict(zip(_PROPERTIES, values))


def collect(source: Path, entries: Iterable[Entry], excluded: set[int]) -> Listed:
    """The list of molecules that are not excluded, with energies in eV. Raises: DataError where none can be read."""
    kept: list[tuple[int, int, Geometry, dict[str, float]]] = []
    bad: Bad = {}
    place = 0
    for number, geometry, properties in entries:
        if number in excluded:
            continue
        if isinstance(geometry, DataError) or properties is None:
            bad[place] = f"molecule gdb {number}", str(geometry)
        else:
            kept.append((place, number, geometry, properties))
        place += 1
    if not kept:
        raise unreadable(source, bad, place)
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
    return in_electron_volts(Listed(molecules, np.array(places), place, bad), source)


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
    words = (line.split(maxsplit=1) for line in text_lines(path))
    found = {int(line[0]) for line in words if line and re.fullmatch("[0-9]{1,9}", line[0])}
    if num_found >= _COMPLETE and len(found) != _EXCLUDED:
        raise DataError(f"{path} lists {len(found)} molecules, published are {_EXCLUDED}: it is cut short or changed")
    return found


def _gdb_number(name: str) -> int:
    match = re.search(r"([0-9]{1,18})(?:\.xyz)?$", name, re.IGNORECASE)
    if match is None:
        raise DataError(f"{name[:80]!r} has no GDB number")
    return int(match[1])
