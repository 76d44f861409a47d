"""OFF files: the numbers of their vertices and faces, on lines of their own or freely after each other."""

import re
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._reading import DataError
from rapidash.datasets._text import text_lines

_HEADER = re.compile(r"(ST)?(C)?(N)?(4)?OFF(?![A-Za-z])", re.IGNORECASE)
_FURTHER = (2, 4, 3)  # numbers of a vertex beside its position: texture, color, normal
_LARGEST_COLOR = 4  # numbers that may stand between a face and the end of its line
Numbers = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class _Head:
    """The head of an OFF file: its counts, how many numbers each vertex has, and the rest of the line of counts.

    Numbers that follow each other freely begin with the count of edges where ``lacks_edges``.
    """

    num_vertices: int
    num_faces: int
    width: int
    rest: str
    lacks_edges: bool


def read_off_numbers(path: Path, *, needs_faces: bool = True) -> Numbers:
    """Positions (V, 3), the number of corners of every face (F,), and the corners of all faces after each other.

    A file with as many lines as vertices and faces has one of them on each, and further columns are passed over.
    Otherwise the numbers follow each other freely; up to four between a face and the end of its line are its color,
    unless the file is whole only where they are of the next face.

    Raises: DataError for a file that is no OFF, or holds less or more than it announces.
    """
    head, lines = _open(path)
    for what, announced in (("vertices", head.num_vertices), ("faces", head.num_faces)):
        if announced == 0 and (what == "vertices" or needs_faces):
            raise DataError(f"{path} has no {what}: points cannot be sampled from its surface")
    if not head.rest and sum(1 for _ in lines) == head.num_vertices + head.num_faces:
        return _read(path, by_line=True, has_colors=True)
    try:
        return _read(path, by_line=False, has_colors=True)
    except DataError as error:
        try:
            return _read(path, by_line=False, has_colors=False)
        except DataError:
            raise error from None


def _read(path: Path, *, by_line: bool, has_colors: bool) -> Numbers:
    """The numbers; without colors whatever follows a face on its line is the next one."""
    head, lines = _open(path)
    words: deque[str] = deque()
    try:
        if by_line:
            rows = islice(lines, head.num_vertices)
            vertices = np.loadtxt(rows, usecols=(0, 1, 2), comments=None, ndmin=2)
        else:
            begin = head.rest if not head.lacks_edges else "".join(next(lines, "").split(maxsplit=1)[1:])
            lines = chain([begin] if begin else [], lines)
            vertices = _free_vertices(path, head, lines, words)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path} has a vertex that is not three numbers: {error}") from error
    sizes, corners = array("q"), array("q")
    for number in range(head.num_faces):
        if not _read_face(path, number, lines, words, sizes, corners, by_line):
            raise DataError(f"{path} announces {head.num_faces} faces and has {number}: it is cut short")
        if by_line or (has_colors and len(words) <= _LARGEST_COLOR):
            words.clear()
    if words or any(lines):
        raise DataError(f"{path} goes on after the {head.num_faces} faces that it announces: it is damaged")
    return vertices, np.array(sizes, dtype=np.int64), np.array(corners, dtype=np.int64)


def _open(path: Path) -> tuple[_Head, Iterator[str]]:
    """The head of a file, and the lines after it, without comments and blank ones."""
    lines = (line for line in (line.split("#", 1)[0].strip() for line in text_lines(path)) if line)
    first = next(lines, "")
    header = _HEADER.match(first)
    if header is None:
        raise DataError(f"{path} does not begin with 'OFF'")
    if header[4] or first.startswith("nOFF"):
        raise DataError(f"{path} has vertices of other than 3 dimensions ({header[0]}), which are not read")
    counts = first[header.end() :].strip() or next(lines, "")
    if counts.upper().startswith("BINARY"):
        raise DataError(f"{path} is a binary OFF file, which is not read: save it as text")
    while 0 < len(counts.split()) < 2 and (line := next(lines, "")):
        counts += f" {line}"
    try:
        num_vertices, num_faces = (_count(word) for word in counts.split()[:2])
    except ValueError as error:
        raise DataError(f"{path} has no numbers of vertices and faces after 'OFF', but {counts[:80]!r}") from error
    width = 3 + sum(number for number, has in zip(_FURTHER, header.groups()) if has)
    words = counts.split(maxsplit=3)
    return _Head(num_vertices, num_faces, width, "".join(words[3:]), len(words) == 2), lines


def _free_vertices(path: Path, head: _Head, lines: Iterator[str], words: deque[str]) -> NDArray[np.float64]:
    """The positions, from as many lines as they need; ``words`` takes up what else stands on the last of these."""
    values, expected = array("d"), head.num_vertices * head.width
    while len(values) < expected and (line := next(lines, "")):
        words.extend(_words(line))
        values.extend(float(words.popleft()) for _ in range(min(len(words), expected - len(values))))
    if len(values) < expected:
        found = len(values) // head.width
        raise DataError(f"{path} announces {head.num_vertices} vertices and has {found}: it is cut short")
    return np.array(values).reshape(-1, head.width)[:, :3].copy()


def _read_face(
    path: Path,
    number: int,
    lines: Iterator[str],
    words: deque[str],
    sizes: "array[int]",  # not subscriptable before Python 3.12
    corners: "array[int]",
    by_line: bool,
) -> bool:
    """Read a face "n i1 ... in" from the words, and the lines after these; False at the end of the file."""
    line = " ".join(islice(words, 20))
    try:
        if not words:
            line = next(lines, "")
            words.extend(_words(line))
        if not words:
            return False
        size, found = int(words.popleft()), 0
        while True:
            taken = max(min(len(words), size - found), 0)
            corners.extend(int(words.popleft()) for _ in range(taken))
            found += taken
            if found >= size or by_line or not (line := next(lines, "")):
                break
            words.extend(_words(line))
        sizes.append(size)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}, face {number} is not a list of whole numbers: {line[:80]!r}") from error
    if found < max(size, 3):
        raise DataError(f"{path}, face {number}: {size} vertices announced, {found} found, at least 3 needed")
    return True


def _words(line: str) -> list[str]:
    """The words of a line of numbers. Raises: ValueError for what only Python takes for a part of a number."""
    if "_" in line or not line.isascii():
        raise ValueError(f"{line[:80]!r} holds more than numbers")
    return line.split()


def _count(word: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) < 19):
        raise ValueError(f"{word!r} is no count")
    return int(word)
