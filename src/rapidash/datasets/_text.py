"""Lines of a text file, one at a time: the one way in which every reader of text gets them; lists of files."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rapidash.datasets._reading import DataError, readable

LONGEST_LINE = 1 << 22  # characters: of a file of text; a longer one is of another kind
_BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf"  # of UTF-8, as Latin-1 reads it
_BLOCK = 1 << 16  # characters read at once
_LINE_END = re.compile(r"\r\n|\r|\n")
_UTF16 = ("\u00ff\u00fe", "\u00fe\u00ff")


def text_lines(path: Path, *, longest: int = LONGEST_LINE) -> Iterator[str]:
    r"""The lines of a text file without their ends, read as they are asked for.

    A line ends with \n, \r\n or \r, and with nothing else: ``str.splitlines`` also cuts at bytes that are a part of
    UTF-8 letters. A line that is no UTF-8 is taken for Latin-1, a byte order mark is left out.

    Raises: FileNotFoundError; DataError for a file that cannot be read, UTF-16, or a line of more than ``longest``
        bytes.
    """
    with readable(path), path.open("rb") as file:
        yield from lines_of(file, path, longest=longest)


def lines_of(file: IO[bytes], source: object, *, longest: int = LONGEST_LINE) -> Iterator[str]:
    """As ``text_lines``, of an open file (``io.BytesIO(content)`` of bytes); ``source`` names it in errors."""
    reader = io.TextIOWrapper(file, encoding="latin1", newline=None)
    number, rest = 1, ""
    try:
        while block := reader.read(_BLOCK):
            if number == 1 and not rest:
                if block.startswith(_UTF16):
                    raise DataError(f"{source} is text in UTF-16: save it as UTF-8")
                block = block.removeprefix(_BYTE_ORDER_MARK)
            text = rest + block
            *lines, rest = text.split("\n")
            for place, line in enumerate([*lines, rest] if len(text) > longest else ()):
                if len(line) > longest:
                    yield from map(_decoded, lines[:place])
                    number += place
                    raise DataError(f"{source}, line {number} has more than {longest} characters: it is no text file")
            yield from lines if text.isascii() else map(_decoded, lines)
            number += len(lines)
        if rest:
            yield _decoded(rest)
    finally:
        if not file.closed:  # which is for whoever opened it
            reader.detach()


def split_lines(text: str) -> list[str]:
    """The lines of a text that is there already, by the same rule."""
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def read_listing(path: Path) -> list[str]:
    """The names in a text file that lists others, separated by white space.

    Raises: FileNotFoundError; DataError for a file that cannot be read or lists nothing.
    """
    names = [name for line in text_lines(path) for name in line.split()]
    if not names:
        raise DataError(f"{path} lists no file: it is empty, or only partly downloaded. Get it again.")
    return names


def listed_files(path: Path) -> list[Path]:
    """The files beside a listing that it names, whatever folder it says. Raises: as ``read_listing``, and DataError."""
    files = [path.parent / Path(name).name for name in read_listing(path)]
    if missing := [file for file in files if not os.path.isfile(file)]:
        raise DataError(f"{path} lists {missing[0].name}, which is not beside it: one of them is incomplete")
    return files


def _decoded(line: str) -> str:
    """The text of bytes that were read as Latin-1, which they stay where they are no UTF-8."""
    if line.isascii():
        return line
    try:
        return line.encode("latin1").decode("utf-8")
    except UnicodeDecodeError:
        return line


def is_number(word: str) -> bool:
    """Whether a word is a number as Python reads it."""
    try:
        float(word)
    except ValueError:
        return False
    return True
