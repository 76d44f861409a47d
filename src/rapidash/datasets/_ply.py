"""PLY files, text or binary: every element with its numbers and its lists, whatever they are called."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, zip_longest
from pathlib import Path

import numpy as np

from rapidash.datasets._reading import Array, DataError, readable

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
_END = re.compile(rb"^end_header[ \t]*(\r?\n|\r|\Z)", re.MULTILINE)
Column = Array | list[Array]  # the numbers of a property, or the list of every row
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
    """By element and property, the numbers (rows,) or, for a list property, an array per row.

    Raises: DataError for a file that is no ply, has an unknown format or type, is cut short, or holds more than its
        header announces.
    """
    with readable(path):
        content = path.read_bytes()
    if not content.startswith(b"ply"):
        raise DataError(f"{path} does not begin with 'ply'")
    end = _END.search(content)
    if end is None:
        raise DataError(f"{path} has no 'end_header': it is cut short")
    order, elements = _header(path, content[: end.start()].decode("latin1"))
    body = content[end.end() :]
    numbers = _Bytes(body, order) if order else _Words(body)
    read: Elements = {}
    for element in elements:
        try:
            read[element.name] = _rows(element, numbers)
        except _EndError:
            raise DataError(f"{path} announces {element.size} of {element.name!r} and has fewer: cut short") from None
        except ValueError as error:
            raise DataError(f"{path}, {element.name!r}: {error}: it is damaged") from error
    if numbers.left():
        raise DataError(f"{path} goes on after all that its header announces: it is damaged")
    return read


def _header(path: Path, text: str) -> tuple[str, list[_Element]]:
    """The byte order ("" for text) and the elements that a header announces."""
    order: str | None = None
    elements: list[_Element] = []
    for line in text.splitlines():
        match line.split():
            case ["format", form, *_] if form in _ORDERS:
                order = _ORDERS[form]
            case ["element", name, size] if size.isdecimal():
                elements.append(_Element(name, int(size)))
            case ["property", "list", count, kind, name] if elements and count in _COUNTS and kind in _TYPES:
                elements[-1].properties.append(_Property(name, _TYPES[kind], _TYPES[count]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1].properties.append(_Property(name, _TYPES[kind]))
            case ["format" | "element" | "property", *_]:
                raise DataError(f"{path}: its header is damaged, or of another version of ply, in {line!r}")
    if order is None:
        raise DataError(f"{path} says no format, expected one of {', '.join(_ORDERS)}")
    return order, elements


class _EndError(Exception):
    """There are fewer numbers than announced."""


class _Words:
    """The numbers of a text, one after the other."""

    def __init__(self, body: bytes) -> None:
        self.words, self.at = body.split(), 0

    def take(self, kind: str, size: int) -> Array:
        """The next numbers."""
        if size < 0 or self.at + size > len(self.words):
            raise _EndError
        self.at += size
        return np.array(self.words[self.at - size : self.at], dtype=np.float64)

    def rows(self, fields: Sequence[tuple[str, str, int]], size: int) -> dict[str, Array]:
        """Rows of fields of the same width, by name (rows, width)."""
        starts = list(accumulate((width for _, _, width in fields), initial=0))
        table = self.take("", size * starts[-1]).reshape(size, starts[-1])
        return {name: table[:, at : at + width] for (name, _, width), at in zip(fields, starts)}

    def left(self) -> bool:
        """Whether something follows."""
        return self.at < len(self.words)


class _Bytes:
    """The numbers of a binary file, one after the other."""

    def __init__(self, body: bytes, order: str) -> None:
        self.body, self.at, self.order = body, 0, order

    def take(self, kind: str, size: int) -> Array:
        """The next numbers."""
        dtype = np.dtype(self.order + kind)
        if size < 0 or self.at + size * dtype.itemsize > len(self.body):
            raise _EndError
        self.at += size * dtype.itemsize
        return np.frombuffer(self.body, dtype, size, self.at - size * dtype.itemsize)

    def rows(self, fields: Sequence[tuple[str, str, int]], size: int) -> dict[str, Array]:
        """Rows of fields of the same width, by name (rows, width)."""
        dtype = np.dtype([(name, self.order + kind, (width,)) for name, kind, width in fields])
        if self.at + size * dtype.itemsize > len(self.body):
            raise _EndError
        table = np.frombuffer(self.body, dtype, size, self.at) if size * dtype.itemsize else np.zeros(size, dtype)
        self.at += size * dtype.itemsize
        return {name: table[name] for name, _, _ in fields}

    def left(self) -> bool:
        """Whether something follows but white space."""
        return bool(self.body[self.at :].strip())


def _rows(element: _Element, numbers: _Words | _Bytes) -> dict[str, Column]:
    """The rows of an element, at once where all lists are as long as those of the first row, else one by one."""
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
                entry.name: list(found[entry.name]) if entry.count else found[entry.name][:, 0]
                for entry in element.properties
            }
    except _EndError:
        if not lists:
            raise
    numbers.at = start
    table = list(zip(*(_row(element, numbers) for _ in range(element.size))))
    return {
        entry.name: list(column) if entry.count else np.concatenate(column)
        for entry, column in zip(element.properties, table)
    }


def _row(element: _Element, numbers: _Words | _Bytes) -> list[Array]:
    return [numbers.take(entry.kind, _length(entry, numbers) if entry.count else 1) for entry in element.properties]


def _length(entry: _Property, numbers: _Words | _Bytes) -> int:
    """The next length of a list. Raises: ValueError for one that is no whole number."""
    (length,) = numbers.take(entry.count, 1).tolist()
    if not math.isfinite(length) or length != int(length):
        raise ValueError(f"a list {entry.name!r} of {length:g} numbers")
    return int(length)
