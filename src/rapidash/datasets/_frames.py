"""The frames of an xyz file, plain or extended, one after the other, a bad one reported in its place."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rapidash.datasets._columns import Columns
from rapidash.datasets._reading import Array, DataError
from rapidash.datasets._stated import check_comment
from rapidash.datasets._text import text_lines
from rapidash.datasets._xyz import is_count, is_qm9_end, parse_atoms

_AT_ONCE = 10_000  # lines that are held as text
_MOST_NUMBERS = 1 << 27  # of a frame: 1 GiB


def read_xyz_frames(path: Path) -> Iterator[tuple[str, dict[str, Array] | DataError]]:
    """The frames of an xyz file by name, "frame 0" first; a ``DataError`` in the place of a bad one.

    Arrays: z (N,) int64, pos (N, 3) in the file's unit, and in extended xyz the other numeric columns by their name.
    Nothing but blank lines may stand between frames (or, in files of QM9, its three lines after the atoms). After a bad
    frame reading goes on at the next line that is a number of atoms. The file is read once, from its beginning to its
    end, and of its text one part of a frame is held at a time.
    Raises: DataError for a file that cannot be read or holds no frame.
    """
    lines = _Lines(path)
    first = lines.skip_blank()
    problem = f"its first line is {first!r}, expected a number of atoms" if first and not is_count(first) else ""
    lines.skip_to_count()
    if lines.next is None:
        raise DataError(f"{path} has no line with a number of atoms: it is not an xyz file, or empty")
    if problem:
        yield "frame 0", DataError(problem)
    for number in itertools.count(1 if problem else 0):
        if lines.next is None:
            return
        try:
            yield f"frame {number}", _read_frame(lines)
        except DataError as error:
            yield f"frame {number}", error
        lines.skip_to_count()


class _Lines:
    """The lines of a file with one to look ahead at: ``next``, None at the end."""

    def __init__(self, path: Path) -> None:
        self._rest = text_lines(path)
        self.next = next(self._rest, None)

    def take(self) -> str:
        """The next line, which must be there."""
        line = self.next
        assert line is not None
        self.next = next(self._rest, None)
        return line

    def at_count(self) -> bool:
        """Whether the next line is a number of atoms."""
        return self.next is not None and is_count(self.next)

    def skip_to_count(self) -> None:
        """Go on to the next number of atoms, or the end."""
        while self.next is not None and not is_count(self.next):
            self.take()

    def skip_blank(self) -> str | None:
        """Go on to the next line that is not blank, and return it without taking it."""
        while self.next is not None and not self.next.strip():
            self.take()
        return self.next


def _read_frame(lines: _Lines) -> dict[str, Array]:
    """The frame that begins with the next line, up to the next one."""
    announced = lines.take().strip()
    comment = lines.take() if lines.next is not None else None
    if int(announced) == 0:
        raise DataError("it has no atoms: it announces 0")
    if comment is None:
        raise DataError(f"it announces {announced} atoms and the file ends {int(announced) + 1} lines short")
    check_comment(comment)
    columns = Columns.of_comment(comment)
    arrays = _joined([_parsed(part, columns) for part in _parts(lines, int(announced), columns)])
    if (more := _more(lines)) is not None:
        raise DataError(
            f"it announces {announced} atoms and more lines follow, the first: {more!r}; "
            "expected the number of atoms of the next frame, or the end of the file"
        )
    return arrays


def _parts(lines: _Lines, announced: int, columns: Columns | None) -> Iterator[list[str]]:
    """The lines of the atoms, some at a time. Raises: DataError where there are fewer than announced, or too many."""
    width = columns.total if columns else 4
    part: list[str] = []
    for found in range(announced):
        if lines.at_count():
            raise DataError(f"it announces {announced} atoms, the next frame begins after {found}: cut short")
        if lines.next is None:
            raise DataError(f"it announces {announced} atoms and the file ends {announced - found} lines short")
        if found * width > _MOST_NUMBERS:
            raise DataError(f"it has more than {found} atoms with {width} columns: too many for one cloud")
        part.append(lines.take())
        if len(part) == _AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _parsed(lines: list[str], columns: Columns | None) -> dict[str, Array]:
    if columns is not None:
        return columns.read(lines)
    z, pos = parse_atoms(lines, with_columns=False)
    return {"z": z, "pos": pos}


def _joined(parts: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _more(lines: _Lines) -> str | None:
    """The first line before the next frame that does not belong there."""
    first, tail = lines.next, list[str]()
    while len(tail) < 3 and lines.next is not None and not lines.at_count():
        if not tail and not lines.next.strip():
            break
        tail.append(lines.take())
    after = lines.skip_blank()
    if tail and not is_qm9_end(tail):
        return first
    return None if after is None or is_count(after) else after
