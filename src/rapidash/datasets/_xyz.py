"""Single molecules from the text formats of chemistry: xyz (with QM9's second line) and SDF (V2000)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._molecules import ATOMIC_NUMBER
from rapidash.datasets._reading import DataError
from rapidash.datasets._text import split_lines, text_lines

_LARGEST = 1e6  # coordinates have ten places, four of them decimals
_LONGEST_MOL = 4 + 999 + 1  # lines: a V2000 entry has at most 999 atoms; the one after them is looked at


@dataclass(frozen=True)
class Geometry:
    """One molecule: atomic numbers, positions in the file's unit, further columns per atom, and the comment line."""

    z: NDArray[np.int64]
    pos: NDArray[np.float64]
    columns: NDArray[np.float64]
    comment: str


def parse_xyz(text: str, *, with_columns: bool = True) -> Geometry:
    """The first molecule of an xyz text; numbers may be written as 1.2*^-6, elements as CL or cl.

    Args:
        text: of the file.
        with_columns: take the numbers after the coordinates, as many for each atom; False: whatever stands there.
    Raises: DataError for an unknown element, a line that is no atom, or fewer lines than announced.
    """
    lines = split_lines(text)
    try:
        num_atoms = int(lines[0].split()[0])
    except (IndexError, ValueError):
        raise DataError("its first line is not a number of atoms: it is not an xyz file, or empty") from None
    if num_atoms < 1:
        raise DataError(f"it has no atoms: its first line is {lines[0]!r}")
    if len(lines) < num_atoms + 2:
        raise DataError(f"it announces {num_atoms} atoms and has {max(len(lines) - 2, 0)} lines for them: cut short")
    numbers: list[int] = []
    rows: list[list[float]] = []
    for line in lines[2 : num_atoms + 2]:
        words = line.replace("*^", "e").split()
        symbol = words[0].capitalize() if words else ""
        if symbol not in ATOMIC_NUMBER and not symbol.isdigit():
            raise DataError(f"unknown element in {line!r}")
        numbers.append(int(symbol) if symbol.isdigit() else ATOMIC_NUMBER[symbol])
        try:
            row = [float(word) for word in words[1 : None if with_columns else 4]]
        except ValueError:
            row = []
        if len(row) < 3:
            raise DataError(f"{line!r} is not an element with three coordinates")
        if rows and len(row) != len(rows[0]):
            raise DataError(f"{line!r} has {len(row)} numbers, the atoms before it have {len(rows[0])}")
        rows.append(row)
    table = np.array(rows)
    return Geometry(np.array(numbers), table[:, :3], table[:, 3:], lines[1])


def read_sdf(path: Path) -> Iterator[tuple[str, Geometry | DataError]]:
    """The entries of an SDF file with their titles, a ``DataError`` in the place of a bad one. Raises: DataError."""
    lines: list[str] = []
    number, has_begun = 1, False
    for line in text_lines(path):
        if not line.startswith("$$$$"):
            has_begun = has_begun or bool(line.strip())
            if len(lines) < _LONGEST_MOL:  # what follows are data fields
                lines.append(line)
            continue
        title = lines[0].strip() if lines else ""
        try:
            yield title or f"entry {number}", _parse_mol(lines)
        except DataError as error:
            yield title or f"entry {number}", error
        lines, number, has_begun = [], number + 1, False
    if has_begun:
        raise DataError(f"{path} does not end with '$$$$': it is cut short in entry {number}, or not an SDF file")


def _parse_mol(lines: list[str]) -> Geometry:
    """One entry. Raises: DataError for another version than V2000, and for what it states and is not so."""
    counts = lines[3] if len(lines) > 3 else ""
    if (version := re.search(r"\b(V\d+)\s*$", counts)) and version[1] != "V2000":
        raise DataError(f"it is written in {version[1]}, which is not read, only V2000: convert it")
    if lines[1:2] and lines[1][20:22].upper() == "2D":
        raise DataError("it says that its coordinates are 2D, a drawing: positions in space are expected")
    try:
        num_atoms = int(counts[:3])
        rows = [(line[:10], line[10:20], line[20:30], line[30:34].strip()) for line in lines[4 : 4 + num_atoms]]
        pos = np.array([[float(x) for x in row[:3]] for row in rows]).reshape(-1, 3)
    except (IndexError, ValueError) as error:
        raise DataError(f"not a V2000 entry ({error})") from error
    if len(rows) != num_atoms or num_atoms == 0:
        raise DataError(f"it announces {num_atoms} atoms and has {len(rows)}: cut short")
    unknown = [row[3] for row in rows if row[3] not in ATOMIC_NUMBER]
    if unknown:
        raise DataError(f"unknown element {unknown[0]!r}")
    if not (np.abs(pos) < _LARGEST).all():
        raise DataError("it has coordinates that are not finite, or larger than its format has room for")
    if _is_atom(after := "".join(lines[4 + num_atoms : 5 + num_atoms])):
        raise DataError(f"it announces {num_atoms} atoms and more follow, the first: {after!r}")
    return Geometry(np.array([ATOMIC_NUMBER[row[3]] for row in rows]), pos, np.zeros((num_atoms, 0)), lines[0])


def _is_atom(line: str) -> bool:
    """Whether a line has coordinates with decimals in the three places where an atom has them."""
    return all("." in line[k : k + 10] for k in (0, 10, 20))
