"""PLY files, text or binary: every element with its numbers and its lists, whatever they are called."""

import io
import math
import os
import re
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, islice, zip_longest
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._reading import Array, DataError, readable
from rapidash.datasets._text import lines_of

_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
    "double": "f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "float32": "f4",
    "float64": "f8",
}
_COUNTS = {name for name, kind in _TYPES.items() if kind[0] != "f"}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_END = re.compile(rb"(?:^|[\r\n])end_header[ \t]*(\r?\n|\r|\Z)")
_LONGEST_HEADER = 1 << 20  # bytes
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Lists:
    """A list in every row: how long each is (rows,), and the numbers of all, one after the other."""

    sizes: NDArray[np.int64]
    values: Array


Column = Array | Lists  # of a property
Elements = dict[str, dict[str, Column]]


@dataclass(frozen=True)
class _Property:
    """A number in every row; or a list of numbers, where ``count`` is the type of its length."""

    name: str
    kind: str
    count: str = ""


@dataclass(frozen=True)
class _Element:
    name: str
    size: int
    properties: list[_Property] = field(default_factory=list)


def read_ply_elements(path: Path) -> Elements:
    """By element and property, the numbers (rows,) or, for a list property, ``Lists``.

    No more of the file is read than its header announces.

    Raises: DataError for a file that is no ply, has an unknown format or type, is cut short, or holds more than its
        header announces.
    """
    with readable(path), path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
        if not start.startswith(b"ply"):
            raise DataError(f"{path} does not begin with 'ply'")
        end = _END.search(start)
        if end is None:
            raise DataError(f"{path} has no 'end_header': it is cut short")
        order, elements = _header(path, lines_of(io.BytesIO(start[: end.start()]), path))
        file.seek(end.end())
        numbers = _Bytes(file, order) if order else _Words(lines_of(file, path))
        read: Elements = {}
        for element in elements:
            try:
                read[element.name] = _rows(element, numbers)
            except _EndError:
                raise DataError(
                    f"{path} announces {element.size} of {element.name!r} and has fewer: cut short"
                ) from None
            except DataError:
                raise
            except (ValueError, OverflowError) as error:
                raise DataError(f"{path}, {element.name!r}: {error}: it is damaged") from error
        if numbers.left():
            raise DataError(f"{path} goes on after all that its header announces: it is damaged")
    return read


def _header(path: Path, lines: Iterable[str]) -> tuple[str, list[_Element]]:
    """The byte order ("" for text) and the elements that a header announces."""
    order: str | None = None
    elements: list[_Element] = []
    for line in lines:
        match line.split():
            case ["format", form, *version] if form in _ORDERS and order is None and version in ([], ["1.0"]):
                order = _ORDERS[form]
            case ["element", name, size] if size.isascii() and size.isdecimal() and len(size) < 19:
                elements.append(_Element(name, int(size)))
            case ["property", "list", count, kind, name] if elements and count in _COUNTS and kind in _TYPES:
                elements[-1].properties.append(_Property(name, _TYPES[kind], _TYPES[count]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1].properties.append(_Property(name, _TYPES[kind]))
            case ["format" | "element" | "property", *_]:
                raise DataError(f"{path}: its header is damaged, or of another version of ply, in {line!r}")
    for names in ([e.name for e in elements], *([p.name for p in e.properties] for e in elements)):
        if twice := [name for name, number in Counter(names).items() if number > 1]:
            raise DataError(f"{path}: its header declares {twice[0]!r} twice")
    if order is None:
        raise DataError(f"{path} says no format, expected one of {', '.join(_ORDERS)}")
    return order, elements


class _EndError(Exception):
    """There are fewer numbers than announced."""


class _Words:
    """The numbers of a text, read as they are asked for."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.words = (word for line in lines for word in line.split())
        self.numbers, self.at = array("d"), 0

    def take(self, kind: str, size: int) -> Array:
        """The next numbers."""
        missing = self.at + size - len(self.numbers)
        if missing > 0:
            self.numbers.extend(map(_number, islice(self.words, min(missing, sys.maxsize))))
        if size < 0 or self.at + size > len(self.numbers):
            raise _EndError
        self.at += size
        return np.array(self.numbers[self.at - size : self.at])

    def rows(self, fields: Sequence[tuple[str, str, int]], size: int) -> dict[str, Array]:
        """Rows of fields of the same width, by name (rows, width)."""
        starts = list(accumulate((width for _, _, width in fields), initial=0))
        table = self.take("", size * starts[-1]).reshape(size, starts[-1])
        return {name: table[:, at : at + width] for (name, _, width), at in zip(fields, starts)}

    def left(self) -> bool:
        """Whether something follows."""
        return self.at < len(self.numbers) or next(self.words, None) is not None


class _Bytes:
    """The numbers of a binary file from where it stands, read as they are asked for."""

    def __init__(self, file: BinaryIO, order: str) -> None:
        self.file, self.order, self.start, self.at = file, order, file.tell(), 0
        self.size = file.seek(0, os.SEEK_END) - self.start

    def take(self, kind: str, size: int) -> Array:
        """The next numbers."""
        return self._read(np.dtype(self.order + kind), size)

    def rows(self, fields: Sequence[tuple[str, str, int]], size: int) -> dict[str, Array]:
        """Rows of fields of the same width, by name (rows, width)."""
        table = self._read(np.dtype([(name, self.order + kind, (width,)) for name, kind, width in fields]), size)
        return {name: table[name] for name, _, _ in fields}

    def left(self) -> bool:
        """Whether something follows but white space."""
        self.file.seek(self.start + self.at)
        return any(block.strip() for block in iter(partial(self.file.read, _BLOCK), b""))

    def _read(self, dtype: np.dtype[Any], size: int) -> Array:
        length = size * dtype.itemsize
        if size < 0 or self.at + length > self.size:
            raise _EndError
        self.file.seek(self.start + self.at)
        self.at += length
        return np.frombuffer(self.file.read(length), dtype, size) if length else np.zeros(size, dtype)


def _rows(element: _Element, numbers: _Words | _Bytes) -> dict[str, Column]:
    """The rows of an element, at once where all lists are as long as those of the first row, else one by one."""
    if not element.properties:
        return {}
    start, lists = numbers.at, [entry.name for entry in element.properties if entry.count]
    first = _row(element, numbers) if lists and element.size else []
    numbers.at = start
    fields: list[tuple[str, str, int]] = []
    for entry, values in zip_longest(element.properties, first):
        fields += [(f"length of {entry.name}", entry.count, 1)] if entry.count else []
        fields.append((entry.name, entry.kind, 1 if values is None else len(values)))
    try:
        found = numbers.rows(fields, element.size)
        if all((found[f"length of {name}"] == found[name].shape[1]).all() for name in lists):
            return {
                entry.name: _uniform(found[entry.name]) if entry.count else found[entry.name][:, 0]
                for entry in element.properties
            }
    except _EndError:
        if not lists:
            raise
    numbers.at = start
    blocks = []
    for done in range(0, element.size, _BLOCK):
        rows = (_row(element, numbers) for _ in range(min(_BLOCK, element.size - done)))
        blocks.append([Lists(np.array([len(row) for row in lists]), np.concatenate(lists)) for lists in zip(*rows)])
    merged = [Lists(*map(np.concatenate, zip(*((p.sizes, p.values) for p in parts)))) for parts in zip(*blocks)]
    return {entry.name: found if entry.count else found.values for entry, found in zip(element.properties, merged)}


def _uniform(table: Array) -> Lists:
    """The lists that are the rows of a table."""
    return Lists(np.full(len(table), table.shape[1]), table.reshape(-1))


def _row(element: _Element, numbers: _Words | _Bytes) -> list[Array]:
    return [numbers.take(entry.kind, _length(entry, numbers) if entry.count else 1) for entry in element.properties]


def _length(entry: _Property, numbers: _Words | _Bytes) -> int:
    """The next length of a list. Raises: ValueError for one that is no whole number."""
    (length,) = numbers.take(entry.count, 1).tolist()
    if not math.isfinite(length) or length != int(length):
        raise ValueError(f"a list {entry.name!r} of {length:g} numbers")
    return int(length)


def _number(word: str) -> float:
    """Raises: ValueError for a word that is no number."""
    if "_" in word or not word.isascii():  # what only Python takes for a part of a number
        raise ValueError(f"could not convert {word[:80]!r} to a number")
    return float(word)
