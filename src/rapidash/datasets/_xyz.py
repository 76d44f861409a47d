"""Single molecules from the text formats of chemistry: xyz (with QM9's second line) and SDF (V2000)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._columns import Columns
from rapidash.datasets._elements import ATOMIC_NUMBER, element_number
from rapidash.datasets._reading import DataError
from rapidash.datasets._stated import check_comment
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


def parse_xyz(text: str) -> Geometry:
    """The molecule of an xyz text, with the numbers after its coordinates, as many for each atom.

    Numbers may be written as 1.2*^-6, elements as CL, cl or 17. What the comment line states of a cell, another unit or
    the columns (extended xyz) counts.
    Raises: DataError for an unknown element, a line that is no atom, fewer or more atoms than announced, a cell, or
        another unit than angstrom.
    """
    lines = split_lines(text)
    words = lines[0].split() if lines else []
    if not words or not is_count(words[0]):
        raise DataError("its first line is not a number of atoms: it is not an xyz file, or empty")
    num_atoms = int(words[0])
    if num_atoms < 1:
        raise DataError(f"it has no atoms: its first line is {lines[0]!r}")
    if len(lines) < num_atoms + 2:
        raise DataError(f"it announces {num_atoms} atoms and has {max(len(lines) - 2, 0)} lines for them: cut short")
    after = lines[num_atoms + 2] if len(lines) > num_atoms + 2 else ""
    if (
        element_number((after.split() or [""])[0])
        and len(after.split()) > 3
        and not is_qm9_end(lines[num_atoms + 2 :][:3])
    ):
        raise DataError(f"it announces {num_atoms} atoms and more follow, the first: {after!r}")
    check_comment(lines[1])
    if (declared := Columns.of_comment(lines[1])) is not None:
        arrays = declared.read(lines[2 : num_atoms + 2])
        if "z" not in arrays:
            raise DataError(f"Properties={declared.properties} declares no elements")
        return Geometry(arrays["z"], arrays["pos"], np.zeros((num_atoms, 0)), lines[1])
    z, table = parse_atoms(lines[2 : num_atoms + 2])
    return Geometry(z, table[:, :3], table[:, 3:], lines[1])


def is_count(line: str) -> bool:
    """Whether a line is a single whole number, the number of atoms of a frame."""
    word = line.strip()
    return word.isascii() and word.isdecimal() and len(word) < 20


def is_qm9_end(lines: Sequence[str]) -> bool:
    """Whether lines after the atoms are the frequencies, SMILES and InChI of QM9's files."""
    return len(lines) == 3 and lines[2].startswith("InChI=")


def parse_atoms(lines: Sequence[str], *, with_columns: bool = True) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Elements (N,) and numbers (N, 3 or more) of lines of atoms.

    Args:
        lines: an element and its coordinates each.
        with_columns: take the numbers after the coordinates, as many for each atom; False: whatever stands there.
    Raises: DataError for a line that is no atom.
    """
    numbers: list[int] = []
    rows: list[list[float]] = []
    for line in lines:
        words = line.replace("*^", "e").split()
        numbers.append(element_number(words[0]) if words else 0)
        if not numbers[-1]:
            raise DataError(f"unknown element in {line!r}")
        try:
            row = [float(word) for word in words[1 : None if with_columns else 4]]
        except ValueError:
            row = []
        if len(row) < 3:
            raise DataError(f"{line!r} is not an element with three coordinates")
        if rows and len(row) != len(rows[0]):
            raise DataError(f"{line!r} has {len(row)} numbers, the atoms before it have {len(rows[0])}")
        rows.append(row)
    return np.array(numbers), np.array(rows)


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
