"""Clouds from tables with a row per point: csv by Python's reader, parquet by pyarrow, a cloud at a time."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from rapidash._names import unknown_name
from rapidash.datasets._cloud_files import Entries, FileCloud
from rapidash.datasets._elements import element_number
from rapidash.datasets._reading import Array, DataError
from rapidash.datasets._structure_files import split_unit
from rapidash.datasets._text import is_number, text_lines

CLOUD_COLUMNS = (
    "cloud",
    "cloud_id",
    "frame",
    "sample",
    "sample_id",
    "molecule",
    "molecule_id",
    "shape",
    "shape_id",
    "id",
)
_ELEMENTS = ("z_number", "atomic_number", "atomic_numbers", "element", "symbol", "species")
_AXES = ("x", "y", "z")
_DELIMITERS = "\t;, "
_WITH_DECIMAL_COMMAS = "\t;"
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?|[-+]?\d+,")
_MOST_POINTS = 20_000_000  # of one cloud
_AT_ONCE = 65_536  # rows of a parquet file in memory


def read_csv_clouds(path: Path, column: str | None = None) -> Entries:
    """The clouds of a csv file with a head, see `_clouds`.

    Cells are parted by tabs, semicolons, commas or spaces: by the first of these that gives columns x and y. Between
    semicolons and tabs a number may have a decimal comma.
    """
    lines = text_lines(path)
    head, delimiter = _head(next(lines, ""))
    if is_number(head[0]):
        raise DataError(f"{path}: its first line is {head}, expected the names of columns, x, y, z among them")
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    yield from _clouds(
        path, head, _checked_rows(path, rows, len(head)), column, has_commas=delimiter in _WITH_DECIMAL_COMMAS
    )


def _head(line: str) -> tuple[list[str], str]:
    """The names in the first line of a csv file, and what parts them."""
    found = [
        ([name.strip() for name in next(csv.reader([line], delimiter=one, skipinitialspace=True), [""])], one)
        for one in _DELIMITERS
    ]
    with_axes = [each for each in found if {"x", "y"} <= {split_unit(name)[0].lower() for name in each[0]}]
    return with_axes[0] if with_axes else max(found, key=lambda each: len(each[0]))


def read_parquet_clouds(path: Path, column: str | None = None) -> Entries:
    """The clouds of a parquet file, see `_clouds`. Raises: ImportError without pyarrow."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("parquet files need pyarrow: pip install 'rapidash[tables]'") from error
    file = parquet.ParquetFile(path)
    rows = (
        row
        for batch in file.iter_batches(batch_size=_AT_ONCE)
        for row in zip(*(part.to_pylist() for part in batch.columns))
    )
    yield from _clouds(path, list(file.schema_arrow.names), rows, column)


def read_plain_points(path: Path) -> Entries:
    """One cloud of lines with 2 or 3 numbers, and more columns that have no names."""
    rows = np.loadtxt(path, dtype=np.float64, ndmin=2, comments=("#", "//"), max_rows=_MOST_POINTS)
    if rows.shape[1] < 3:
        raise DataError(f"{path}: its lines have {rows.shape[1]} numbers, expected x, y and z")
    yield str(path), FileCloud(str(path), {"pos": rows[:, :3]})


def _clouds(
    path: Path, head: list[str], rows: Iterator[Sequence[object]], column: str | None, *, has_commas: bool = False
) -> Entries:
    """The clouds of rows of points.

    Positions are the columns x, y and z, or x and y. Rows with the same value in the cloud column stand together; a
    file without one is one cloud. Of the other columns NAME_x, NAME_y, NAME_z are a vector, and one that has the same
    value in all rows of a cloud is also a value of the cloud. A name may end in its unit, ``energy (eV)``. A column of
    elements (element, symbol, species, atomic_number) is ``z``.
    """
    named = [split_unit(name) for name in head]
    names, units = [name for name, _ in named], {name: unit for name, unit in named if unit}
    units |= {name[:-2]: unit for name, unit in units.items() if name.endswith("_x")}
    lower = [name.lower() for name in names]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two columns have the same name: {', '.join(names)}")
    axes = [lower.index(axis) for axis in _AXES if axis in lower]
    if len(axes) < 2 or axes != [lower.index(axis) for axis in _AXES[: len(axes)]]:
        raise DataError(f"{path}: expected the columns x, y and z (or x and y) of points, it has {', '.join(names)}")
    column = split_unit(column)[0] if column is not None and column not in names else column
    if column is not None and column not in names:
        raise DataError(f"{path}: {unknown_name('column', column, names)}")
    key = names.index(column) if column else next((lower.index(one) for one in CLOUD_COLUMNS if one in lower), None)
    seen: set[object] = set()
    for value, part in _runs(path, rows, key):
        name = str(path) if key is None else f"{path}, {names[key]} {value}"
        if value in seen:
            raise DataError(f"{name} has rows in two places: sort the table by {names[key or 0]!r}")
        seen.add(value)
        try:
            yield name, _cloud(name, names, axes, _with_points(part) if has_commas else part, units)
        except DataError as error:
            yield name, error


def _runs(
    path: Path, rows: Iterator[Sequence[object]], key: int | None
) -> Iterator[tuple[object, list[Sequence[object]]]]:
    """Rows that follow each other with the same value in the key column."""
    part: list[Sequence[object]] = []
    now: object = None
    for row in rows:
        value = None if key is None else row[key]
        if part and value != now:
            yield now, part
            part = []
        now = value
        part.append(row)
        if len(part) > _MOST_POINTS:
            raise DataError(
                f"{path}: a cloud has more than {_MOST_POINTS} points: name the column of clouds by --cloud"
            )
    if part:
        yield now, part


def _cloud(
    name: str, names: list[str], axes: list[int], rows: list[Sequence[object]], units: Mapping[str, str]
) -> FileCloud:
    columns = {key: _array(values) for key, values in zip(names, zip(*rows))}
    parts = [columns[names[axis]] for axis in axes]
    if any(part.dtype.kind not in "fi" for part in parts):
        raise DataError(f"the columns {', '.join(names[axis] for axis in axes)} must hold numbers in every row")
    arrays: dict[str, Array] = {"pos": np.stack(parts, axis=1).astype(np.float64)}
    arrays |= {key: values for key, values in columns.items() if key not in [names[axis] for axis in axes]}
    arrays = _with_vectors(arrays, _AXES[: len(axes)])
    if element := next((key for key in arrays if key.lower() in _ELEMENTS), None):
        arrays["z"] = _elements(element, arrays.pop(element))
    values = {key: array[0] for key, array in arrays.items() if key not in ("pos", "z") and (array == array[:1]).all()}
    return FileCloud(name, arrays, values=values, units=units)


def _with_vectors(arrays: dict[str, Array], axes: Sequence[str]) -> dict[str, Array]:
    """The columns NAME_x, NAME_y, ... joined."""
    first = [name[:-2] for name in arrays if name.endswith("_x")]
    for name in first:
        parts = [f"{name}_{axis}" for axis in axes]
        if (
            set(parts) <= arrays.keys()
            and name not in arrays
            and all(arrays[part].dtype.kind in "fi" for part in parts)
        ):
            arrays[name] = np.stack([arrays.pop(part) for part in parts], axis=1)
    return arrays


def _array(values: Sequence[object]) -> Array:
    """Numbers where all are, whole ones where all are; else text. An empty cell is not a number."""
    try:
        numbers = [int(value) if isinstance(value, str | int) else _not_whole(value) for value in values]
        return np.array(numbers, dtype=np.int64)
    except (ValueError, TypeError, OverflowError):
        pass
    try:
        return np.array([np.nan if value in ("", None) else float(value) for value in values])  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return np.array([str(value) for value in values])


def _with_points(rows: list[Sequence[object]]) -> list[Sequence[object]]:
    """Rows of text with decimal points in those columns whose cells are numbers with and without decimal commas."""
    columns = []
    for cells in zip(*rows):
        words = [str(cell) for cell in cells]
        has_comma = [bool(_DECIMAL_COMMA.fullmatch(word)) for word in words]
        is_number_column = any(has_comma) and all(
            is_decimal or not word or is_number(word) for word, is_decimal in zip(words, has_comma)
        )
        columns.append([word.replace(",", ".") for word in words] if is_number_column else cells)
    return list(zip(*columns))


def _not_whole(value: object) -> int:
    raise TypeError(value)


def _elements(name: str, values: Array) -> Array:
    numbers = values if values.dtype.kind == "i" else np.array([element_number(str(one)) for one in values.tolist()])
    if (numbers < 1).any():
        row = int(np.argmax(numbers < 1))
        raise DataError(f"point {row} has no element: {name!r} is {values[row].item()!r}")
    return numbers.astype(np.int64)


def _checked_rows(path: Path, rows: Iterator[list[str]], width: int) -> Iterator[list[str]]:
    for number, row in enumerate(rows, start=2):
        if not any(row):  # also the rows of empty cells at the end of what a spreadsheet writes
            continue
        if len(row) != width:
            raise DataError(f"{path}, line {number}: it has {len(row)} cells, the head has {width}")
        yield [cell.strip() for cell in row]
