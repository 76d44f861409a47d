"""All frames of an xyz file, plain or extended, a bad one reported in its place."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rapidash.datasets._molecules import ATOMIC_NUMBER
from rapidash.datasets._reading import Array, DataError, readable
from rapidash.datasets._xyz import parse_xyz

_PROPERTIES = re.compile(r'\bproperties=(?:"([^"]*)"|(\S+))', re.IGNORECASE)
_PBC = re.compile(r"""\bpbc\s*=\s*("[^"]*"|'[^']*'|\[[^\]]*\]|\{[^}]*\}|\S+)""", re.IGNORECASE)
_LATTICE = re.compile(r"\blattice=", re.IGNORECASE)
_RENAMED = {"species": "z", "Z": "z", "numbers": "z", "velo": "vel", "velocities": "vel"}
_KINDS = {"R": np.float64, "I": np.int64}


def read_xyz_frames(path: Path) -> Iterator[tuple[str, dict[str, Array] | DataError]]:
    """The frames of an xyz file by name, "frame 0" first; a ``DataError`` in the place of a bad one.

    Arrays: z (N,) int64, pos (N, 3) in the file's unit, and in extended xyz the other numeric columns by their name.
    Nothing but blank lines may stand between frames (or, in files of QM9, its three lines after the atoms). After a bad
    frame reading goes on at the next line that is a number of atoms.
    Raises: DataError for a file that cannot be read or holds no frame.
    """
    with readable(path):  # comments are in any encoding; the file may begin with a byte order mark
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    at, number = _next_count(lines, 0), 0
    if at is None:
        raise DataError(f"{path} has no line with a number of atoms: it is not an xyz file, or empty")
    if (first := _next_text(lines, 0)) != at:
        yield "frame 0", DataError(f"its first line is {lines[first]!r}, expected a number of atoms")
        number = 1
    while at is not None:
        end = at + int(lines[at]) + 2
        try:
            yield f"frame {number}", _parse_frame(lines, at, end)
        except DataError as error:
            yield f"frame {number}", error
            end = at + 2  # the count may be wrong: look for the next one below the comment
        at, number = _next_count(lines, end), number + 1


def _next_count(lines: list[str], start: int) -> int | None:
    """The first line from ``start`` on that is a single whole number."""
    return next((at for at in range(start, len(lines)) if lines[at].strip().isdecimal()), None)


def _next_text(lines: list[str], start: int) -> int:
    """The first line from ``start`` on that is not blank, or the end."""
    return next((at for at in range(start, len(lines)) if lines[at].strip()), len(lines))


def _parse_frame(every: list[str], at: int, end: int) -> dict[str, Array]:
    """The frame between two lines, of which the first is its number of atoms."""
    lines, announced = every[at:end], every[at].strip()
    if int(announced) == 0:
        raise DataError("it has no atoms: it announces 0")
    if end > len(every):
        raise DataError(f"it announces {announced} atoms and the file ends {end - len(every)} lines short")
    if (found := _next_count(lines, 2)) is not None:
        raise DataError(f"it announces {announced} atoms, the next frame begins after {found - 2}: cut short")
    arrays = _parse_atoms(lines)
    after = _next_text(every, _end_of_qm9(every, end))
    if after < len(every) and not every[after].strip().isdecimal():
        raise DataError(
            f"it announces {announced} atoms and more lines follow, the first: {every[after]!r}; "
            "expected the number of atoms of the next frame, or the end of the file"
        )
    return arrays


def _end_of_qm9(lines: list[str], end: int) -> int:
    """Where a frame ends that has the frequencies, SMILES and InChI of QM9's files after its atoms."""
    has_identifiers = end + 2 < len(lines) and lines[end + 2].startswith("InChI=")
    return end + 3 if has_identifiers else end


def _parse_atoms(lines: list[str]) -> dict[str, Array]:
    comment = lines[1]
    periodic = _PBC.search(comment)
    if _LATTICE.search(comment) and (periodic is None or re.search(r"[T1]", periodic[1], re.IGNORECASE)):
        raise DataError("it is periodic (Lattice): clouds have no cell, so neighbors across it would be lost")
    declared = _PROPERTIES.search(comment)
    if declared is None:
        molecule = parse_xyz("\n".join(lines), with_columns=False)
        return {"z": molecule.z, "pos": molecule.pos}
    return _parse_columns(lines[2:], declared[1] or declared[2])


def _parse_columns(lines: list[str], properties: str) -> dict[str, Array]:
    """Columns by the declaration of extended xyz, NAME:TYPE:WIDTH one after the other."""
    parts = properties.split(":")
    triples = list(zip(parts[::3], parts[1::3], parts[2::3]))
    if len(parts) % 3 or not all(width.isdecimal() for _, _, width in triples):
        raise DataError(f"Properties={properties} is not NAME:TYPE:WIDTH, repeated")
    rows = [line.split() for line in lines]
    total = sum(int(width) for _, _, width in triples)
    for row, line in zip(rows, lines):
        if len(row) < total:
            raise DataError(f"{line!r} has {len(row)} columns, Properties={properties} declares {total}")
    arrays: dict[str, Array] = {}
    first = 0
    for name, kind, width in triples:
        words = [row[first : first + int(width)] for row in rows]
        first += int(width)
        name = _RENAMED.get(name, name)
        if name == "z" and kind == "S":
            arrays["z"] = _elements([row[0] for row in words])
        elif kind in _KINDS:
            arrays[name] = _numbers(words, _KINDS[kind], name)
    if "pos" not in arrays or arrays["pos"].shape[1] != 3:
        raise DataError(f"Properties={properties} declares no pos:R:3")
    if "z" in arrays:
        arrays["z"] = arrays["z"].reshape(-1)
    return arrays


def _elements(symbols: list[str]) -> Array:
    names = [symbol.capitalize() for symbol in symbols]
    if unknown := [symbol for symbol, name in zip(symbols, names) if name not in ATOMIC_NUMBER]:
        raise DataError(f"unknown element {unknown[0]!r}")
    return np.array([ATOMIC_NUMBER[name] for name in names])


def _numbers(words: list[list[str]], kind: type, name: str) -> Array:
    try:
        return np.array(words, dtype=kind)
    except ValueError as error:
        raise DataError(f"column {name!r} is not numeric: {error}") from error
