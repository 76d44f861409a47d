"""Labeled 3D shapes as clouds: one collector for all readers, with the checks and the usual normalization."""

import os
import re
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash.data import Field
from rapidash.datasets._reading import Array, DataError, ReadDataset, SampleErrors, readable
from rapidash.datasets._text import text_lines
from rapidash.groups import Position, Scalar, Vector

_POINT_FIELDS = {
    "normal": Field(Vector(), "1"),
    "part": Field(Scalar(), "1"),
    "segment": Field(Scalar(), "1"),
    "segments": Field(Scalar(), "1"),
    "object": Field(Scalar(), "1"),
}


_SMALL = 1e-100
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_ONLY_SPACE = re.compile(r"[^,\s]\s+[^,\s]")  # between two numbers


class ShapeCollector:
    """Shapes of one data set: checks every one, keeps the sound ones, and makes the data set.

    Args:
        source: file or folder, for the messages.
        errors: where bad shapes are reported.
        class_names: labels are indices into it.
        num_points: points to keep of each shape, the first of its file; None keeps all.
        normalize: center at the mean, largest radius 1.
    """

    def __init__(
        self,
        source: Path,
        errors: SampleErrors,
        class_names: Sequence[str],
        *,
        num_points: int | None,
        normalize: bool,
    ) -> None:
        if num_points is not None and num_points < 1:
            raise ValueError(f"num_points must be at least 1 (None for all), got {num_points}")
        self.source, self.errors, self.class_names = source, errors, tuple(class_names)
        self.num_points, self.normalize = num_points, normalize
        self.total = 0
        self._pos: list[Array] = []
        self._labels: list[int] = []
        self._points: dict[str, list[Array]] = {}

    def add(self, entry: str, pos: Array, label: float, **points: Array | None) -> None:
        """One shape: positions (P, 3), its label, and arrays with a row per point; reported if it is bad."""
        self.total += 1
        problem = self._problem(pos, label, points)
        if problem:
            self.errors.add(entry, problem)
            return
        kept = slice(self.num_points)
        pos = np.array(pos[kept], dtype=np.float64)
        self._pos.append((unit_ball(pos) if self.normalize else pos).astype(np.float32))
        self._labels.append(int(label))
        for name, array in points.items():
            if array is not None:
                rows = np.asarray(array[kept])
                self._points.setdefault(name, []).append(_unit(rows) if name == "normal" else rows)

    def reject(self, entry: str, problem: str) -> None:
        """One shape that could not be read."""
        self.total += 1
        self.errors.add(entry, problem)

    def dataset(self, dtype: torch.dtype, info: Mapping[str, Any] | None = None) -> ReadDataset:
        """The data set. Raises: DataError where nothing is left, or shapes do not have the same arrays."""
        self.errors.report(self.total)
        counts = torch.tensor([len(pos) for pos in self._pos])
        unit = "largest radius" if self.normalize else "unit of the file"
        fields = {"pos": Field(Position(), unit), "label": Field(Scalar(), "1", "cloud")}
        tensors = {
            "pos": torch.from_numpy(np.concatenate(self._pos)).to(dtype),
            "label": torch.tensor(self._labels, dtype=torch.int64),
        }
        for name, arrays in self._points.items():
            if len(arrays) != len(self._pos):
                raise DataError(
                    f"{self.source}: {len(arrays)} of {len(self._pos)} shapes have {name!r}: all or none must"
                )
            array = np.concatenate(arrays)
            fields[name] = _POINT_FIELDS[name]
            tensors[name] = torch.from_numpy(array).to(dtype if array.dtype.kind == "f" else torch.int64)
        return ReadDataset(
            tensors,
            fields,
            counts,
            source=self.source,
            info={"class_names": self.class_names, **(info or {})},
            skipped=tuple(self.errors.skipped),
        )

    def _problem(self, pos: Array, label: float, points: Mapping[str, Array | None]) -> str | None:
        if pos.ndim != 2 or pos.shape[-1] != 3 or len(pos) == 0:
            return f"its points have the shape {pos.shape}, expected (P, 3)"
        if self.num_points is not None and len(pos) < self.num_points:
            return f"it has {len(pos)} points, {self.num_points} are asked for: ask for fewer"
        if not np.isfinite(pos).all():
            return "its points are not finite"
        if label not in range(len(self.class_names)):
            return f"its label {label:g} is out of range, expected 0 to {len(self.class_names) - 1}"
        if self.normalize and not (pos != pos[:1]).any():
            return "all its points coincide"
        for name, array in points.items():
            if array is None:
                continue
            if np.ndim(array) and len(array) != len(pos):
                return f"it has {len(array)} rows of {name!r} for {len(pos)} points"
            if np.ndim(array) == 0 or (name == "normal" and array.shape != pos.shape):
                return f"its {name!r} has the shape {np.shape(array)}, its points have {pos.shape}"
            if not np.isfinite(array).all():
                return f"its {name!r} is not finite"
        return None


def read_table(path: Path, *, columns: int | tuple[int, ...], max_rows: int | None = None) -> NDArray[np.float64]:
    """The first rows of a text file of numbers, separated by commas or spaces; the decimal mark is a point.

    Args:
        path: the file; blank lines and comments after # are passed over.
        columns: how many numbers a row has, by its format; one of several.
        max_rows: rows to read; None for all.
    Raises: DataError for a missing or damaged file, or another number of columns.
    """
    if not os.path.exists(path):  # also of a name that no file can have
        raise DataError(f"{str(path)[-200:]} is missing")
    expected = (columns,) if isinstance(columns, int) else columns
    lines = (line for line in text_lines(path) if line and not line.isspace() and not line.lstrip().startswith("#"))
    rows = (_spaced(path, line) for line in islice(lines, max_rows))
    first = next(rows, "")
    with readable(path):
        table = np.loadtxt(chain([first], rows), ndmin=2) if first else np.zeros((0, 0))
    if table.shape[1] not in expected:
        raise DataError(f"{path} has {table.shape[1]} columns, expected {' or '.join(map(str, expected))}")
    return table


def _spaced(path: Path, row: str) -> str:
    """A row with spaces for its commas. Raises: DataError where a comma may be a decimal mark."""
    if len(row.split(maxsplit=1)) > 1 and _COMMA_IN_NUMBER.search(row) and _ONLY_SPACE.search(row):
        raise DataError(f"{path}: in {row[:80]!r} commas may be decimal marks: write 0.5, not 0,5")
    return row.replace(",", " ")


def unit_ball(pos: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points moved to their mean and scaled to the largest radius 1."""
    size = float(np.abs(pos).max(initial=0.0))
    if size > 0 and not _SMALL < size < 1 / _SMALL:  # squares of such lengths are no numbers
        pos = pos / size
    centered = pos - pos.mean(axis=0)
    return centered / np.sqrt(np.square(centered).sum(axis=1).max())


def held_out(num: int, fraction: float, seed: int = 42) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices kept for training and held out for validation, each sorted, where a source has no validation split."""
    if not 0 <= fraction < 1:
        raise ValueError(f"val_fraction must be at least 0 and below 1, got {fraction}")
    order = np.random.RandomState(seed).permutation(num)
    num_val = round(num * fraction)
    return np.sort(order[num_val:]), np.sort(order[:num_val])


def _unit(vectors: Array) -> NDArray[np.float32]:
    """Unit vectors as float32; a zero vector stays zero."""
    vectors = vectors.astype(np.float64)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)
