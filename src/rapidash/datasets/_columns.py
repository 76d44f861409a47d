"""The columns of extended xyz, by their declaration: Properties=NAME:TYPE:WIDTH, repeated."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rapidash.datasets._elements import element_numbers
from rapidash.datasets._reading import Array, DataError

_PROPERTIES = re.compile(r"""\bproperties\s*=\s*(?:"([^"]*)"|'([^']*)'|(\S+))""", re.IGNORECASE)
_RENAMED = {"species": "z", "Z": "z", "numbers": "z", "velo": "vel", "velocities": "vel"}
_KINDS = {"R": np.float64, "I": np.int64}
_MOST = 1000  # columns


@dataclass(frozen=True)
class _Column:
    """Words ``first`` to ``first + width`` of each line."""

    name: str
    kind: str
    first: int
    width: int


class Columns:
    """The columns in the lines of atoms, as the file declares them.

    Args:
        properties: the declaration, without its key.
    Raises: DataError for another form, a width below 1, a name that comes twice, or no positions.
    """

    def __init__(self, properties: str) -> None:
        self.properties = properties
        parts = properties.split(":")
        triples = list(zip(parts[::3], parts[1::3], parts[2::3]))
        if len(parts) % 3 or not all(width.isascii() and width.isdecimal() for _, _, width in triples):
            raise DataError(f"Properties={properties} is not NAME:TYPE:WIDTH, repeated")
        self.total = 0
        self.columns: list[_Column] = []
        for name, kind, width in triples:
            size = int(width) if len(width) < 5 else _MOST + 1
            if not 1 <= size <= _MOST:
                raise DataError(f"Properties={properties}: {name!r} has the width {width}, expected 1 to {_MOST}")
            self.columns.append(_Column(name, kind, self.total, size))
            self.total += size
        names = [column.name for column in self.columns]
        if twice := [name for name in names if names.count(name) > 1]:
            raise DataError(f"Properties={properties} declares {twice[0]!r} more than once")
        if not any((column.name, column.kind, column.width) == ("pos", "R", 3) for column in self.columns):
            raise DataError(f"Properties={properties} declares no pos:R:3")

    @classmethod
    def of_comment(cls, comment: str) -> "Columns | None":
        """The declaration in a comment line, None where there is none. Raises: DataError."""
        found = _PROPERTIES.search(comment)
        return None if found is None else cls(next(part for part in found.groups() if part is not None))

    def read(self, lines: Sequence[str]) -> dict[str, Array]:
        """The numeric columns by name, elements as z (N,). Raises: DataError."""
        rows = [line.split() for line in lines]
        for row, line in zip(rows, lines):
            if len(row) != self.total:
                raise DataError(f"{line!r} has {len(row)} columns, Properties={self.properties} declares {self.total}")
        arrays: dict[str, Array] = {}
        for column in self.columns:
            words = [row[column.first : column.first + column.width] for row in rows]
            name = _RENAMED.get(column.name, column.name)
            if name == "z":
                values = self._elements(column, words)
                if "z" in arrays and (arrays["z"] != values).any():
                    raise DataError(f"Properties={self.properties}: its columns of elements do not agree")
            elif column.kind in _KINDS:
                values = _numbers(words, column)
                if name in arrays and (arrays[name] != values).any():
                    raise DataError(f"Properties={self.properties}: its columns of {name!r} do not agree")
            else:
                continue
            arrays[name] = values
        return arrays

    def _elements(self, column: _Column, words: list[list[str]]) -> Array:
        if column.width != 1:
            raise DataError(f"Properties={self.properties}: {column.name!r} has the width {column.width}, expected 1")
        return element_numbers([row[0] for row in words])


def _numbers(words: list[list[str]], column: _Column) -> Array:
    try:
        return np.array(words, dtype=_KINDS[column.kind])
    except (ValueError, OverflowError) as error:
        raise DataError(f"column {column.name!r} is not numeric: {error}") from error
