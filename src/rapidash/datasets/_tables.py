"""Tables without geometry: many classes, and patients of several hospitals pooled."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from rapidash.data import Field
from rapidash.datasets._locate import locate
from rapidash.datasets._npz import read_npz
from rapidash.datasets._reading import Array, DataError, OnError, SampleErrors, check_split, words
from rapidash.groups import Scalar

TableSplit = Literal["train", "val", "test", "all"]

_NUM_FOLDS = 5
_MOST_CATEGORIES = 1_000_000
_WHOLE = ("fold", "subject")
_YES_OR_NO = ("observed", "is_test", "female", "fiq_observed")
_OBTAIN_TABULAR = "It is an npz file of 21 classification tables of the UCI Machine Learning Repository."
_OBTAIN_HEART = "It is an npz file of the UCI Heart Disease data of four hospitals, pooled."
_OBTAIN_ABIDE = "It is an npz file of FreeSurfer measures of ABIDE I, for non-commercial use."


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, its unit, and the values of a categorical one (empty for a number)."""

    name: str
    unit: str = "1"
    categories: tuple[float, ...] = ()


_HEART_COLUMNS = (
    Column("age", "year"),
    Column("sex", categories=(0, 1)),
    Column("cp", categories=(1, 2, 3, 4)),
    Column("trestbps", "mmHg"),
    Column("chol", "mg/dl"),
    Column("fbs", categories=(0, 1)),
    Column("restecg", categories=(0, 1, 2)),
    Column("thalach", "1/min"),
    Column("exang", categories=(0, 1)),
    Column("oldpeak", "mm"),
    Column("slope", categories=(1, 2, 3)),
    Column("ca"),
    Column("thal", categories=(3, 6, 7)),
)


@dataclass(frozen=True)
class Table:
    """Samples that are rows of numbers, without positions: no group of motions acts on them, every field is a scalar.

    Args:
        tensors: by name, each with a row per sample; "x" (B, d) and "label" (B,) among them.
        fields: the declaration of every tensor, all at the level of a cloud.
        columns: of x.
        names: for fields of integers that count something named, e.g. "label": the names of 0, 1, ...
        source: the file.
        skipped: a message for every bad row that was left out.
    """

    tensors: Mapping[str, Tensor]
    fields: Mapping[str, Field]
    columns: tuple[Column, ...]
    names: Mapping[str, tuple[str, ...]]
    source: Path
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tensors["label"])

    def rows(self, indices: Int[Tensor, " B"]) -> dict[str, Tensor]:
        """The samples with the given indices, in this order, by field."""
        return {name: tensor[indices] for name, tensor in self.tensors.items()}


def tabular_dataset(
    table: str,
    split: TableSplit = "all",
    *,
    test_fold: int = 0,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Table:
    """One of the 21 tables of 3 to 48 classes in ``tabular_multiclass.npz``, e.g. "letter", "zoo" or "wine".

    The file has five stratified folds: ``test_fold`` is the test, the next one the validation, the others train. They
    are no official ones; ``vowel`` also has its official ``is_test``, which parts the speakers as the folds do not.

    Fields: all scalars; x ((B, d), units of the file; categorical columns hold the index of the category, missing
        values are 0), observed ((B, d), bool), label ((B,), int64), fold ((B,), int64); of vowel also is_test ((B,),
        bool) and speaker ((B,), int64).
    Args:
        table: its name; an unknown one is answered with those there are.
        split: "train", "val", "test" or "all".
        test_fold: 0 to 4.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad rows out, counted and reported.
        verify: compare the published checksum.
        dtype: of x.
    Raises: FileNotFoundError; DataError for a damaged file, labels, folds or categories out of range, or numbers that
        are not finite; ValueError.
    Source: Dua and Graff, UCI Machine Learning Repository; lymph and primary_tumor: Zwitter and Soklic, University
        Medical Centre, Ljubljana.
    """
    _check_split(split, test_fold)
    _, path = locate(("tabular_multiclass.npz",), dataset="tables", obtain=_OBTAIN_TABULAR, data_dir=data_dir)
    arrays = read_npz(path, verify=verify)
    known = sorted(name.removesuffix("/x") for name in arrays if name.endswith("/x"))
    if table not in known:
        raise ValueError(f"unknown table {table!r}, {path} has {known}")
    own = {name.removeprefix(f"{table}/"): array for name, array in arrays.items() if name.startswith(f"{table}/")}
    required = ("x", "observed", "n_categories", "feature", "y", "class_name", "fold")
    if missing := [name for name in required if name not in own]:
        raise DataError(f"{path} has no array '{table}/{missing[0]}': is it another version?")
    names = {"label": words(own["class_name"])}
    tensors = {"x": own["x"], "observed": own["observed"], "label": own["y"], "fold": own["fold"]}
    if "is_test" in own:
        tensors["is_test"] = own["is_test"]
    if "speaker" in own:
        speakers, tensors["speaker"] = np.unique(own["speaker"], return_inverse=True)
        names["speaker"] = words(speakers)
    titles, counts = words(own["feature"]), own["n_categories"]
    is_count = counts.shape == (len(titles),) and counts.dtype.kind in "iu"
    if not is_count or (counts < 0).any() or (counts > _MOST_CATEGORIES).any():
        raise DataError(
            f"{path}, {table!r}: n_categories is {counts.dtype} {counts.shape}, expected {len(titles)} counts of at "
            f"most {_MOST_CATEGORIES}"
        )
    columns = tuple(
        Column(title, "1" if count else "unit of the file", tuple(range(count)))
        for title, count in zip(titles, counts.tolist())
    )
    reader = _Reader(path, columns, names, on_error, dtype)
    return reader.table(tensors, {"x": "unit of the file"}, split, test_fold)


def heart_disease_dataset(
    split: TableSplit = "all",
    *,
    test_fold: int = 0,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Table:
    """920 patients of four hospitals with 13 measures and whether they have heart disease, the sites pooled.

    The sites differ in the share of the ill and in what was measured: hold out ``site`` to see it. The five folds are
    stratified by site and label: ``test_fold`` is the test, the next one the validation.

    Fields: all scalars; x ((B, 13), units in ``columns``; categories are the codes of the source, missing values are
        0; one row has the source's 9 vessels in "ca"), observed ((B, 13), bool), label ((B,), int64, 1 for disease),
        site ((B,), int64), fold ((B,), int64).
    Args, Raises: as for `tabular_dataset`; the file is ``heart_disease_sites.npz``.
    Source: Detrano et al., Am. J. Cardiology 64, 304 (1989); UCI Heart Disease, CC BY 4.0 (Janosi, Steinbrunn,
        Pfisterer, Detrano).
    """
    _check_split(split, test_fold)
    _, path = locate(("heart_disease_sites.npz",), dataset="heart disease", obtain=_OBTAIN_HEART, data_dir=data_dir)
    arrays = read_npz(path, ("x", "observed", "feature", "y", "site", "site_name", "fold"), verify=verify)
    expected = tuple(column.name for column in _HEART_COLUMNS)
    if words(arrays["feature"]) != expected:
        raise DataError(f"{path} has the features {words(arrays['feature'])}, expected {expected}")
    names = {"label": ("healthy", "disease"), "site": words(arrays["site_name"])}
    tensors = {name: arrays[name] for name in ("x", "observed", "site", "fold")} | {"label": arrays["y"]}
    reader = _Reader(path, _HEART_COLUMNS, names, on_error, dtype)
    return reader.table(tensors, {"x": "unit of each column"}, split, test_fold)


def abide_dataset(
    split: TableSplit = "all",
    *,
    test_fold: int = 0,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Table:
    """1,035 subjects of 20 sites with 259 measures of the brain, age, sex and IQ: the autism group or not.

    ABIDE I, FreeSurfer 6. **Non-commercial use only** (CC BY-NC-SA; what is derived is under the same terms). Sites
    differ in scanner and in age: hold out ``site``, or pool them with age as a covariate. The five folds are
    stratified by site and group: ``test_fold`` is the test, the next one the validation.

    Fields: all scalars; x ((B, 259), units in ``columns``: cortical thickness in mm, area in mm^2, volumes in mm^3),
        label ((B,), int64, 1 for the autism group), site ((B,), int64), age ((B,), year), female ((B,), bool), fiq
        ((B,), full-scale IQ, 0 where it is missing), fiq_observed ((B,), bool), subject ((B,), int64: its number in
        ABIDE), fold ((B,), int64).
    Args, Raises: as for `tabular_dataset`; the file is ``abide1_freesurfer.npz``.
    Source: Di Martino et al., Molecular Psychiatry 19, 659 (2014).
    """
    _check_split(split, test_fold)
    _, path = locate(("abide1_freesurfer.npz",), dataset="ABIDE I", obtain=_OBTAIN_ABIDE, data_dir=data_dir)
    same = ("x", "site", "female", "fiq", "fiq_observed", "fold")
    arrays = read_npz(path, (*same, "feature", "site_name", "asd", "age_years", "abide_sub_id"), verify=verify)
    renamed = {"label": arrays["asd"], "age": arrays["age_years"], "subject": arrays["abide_sub_id"]}
    columns = tuple(Column(name, _brain_unit(name)) for name in words(arrays["feature"]))
    names = {"label": ("control", "autism"), "site": words(arrays["site_name"])}
    reader = _Reader(path, columns, names, on_error, dtype)
    units = {"x": "unit of each column", "age": "year"}
    return reader.table({name: arrays[name] for name in same} | renamed, units, split, test_fold)


def _brain_unit(name: str) -> str:
    return "mm" if name.endswith("_thickness") else "mm^2" if name.endswith("_area") else "mm^3"


@dataclass(frozen=True)
class _Reader:
    """Checks the rows of a table, and makes it: the same for every file."""

    path: Path
    columns: tuple[Column, ...]
    names: Mapping[str, tuple[str, ...]]
    on_error: OnError
    dtype: torch.dtype

    def table(self, arrays: Mapping[str, Array], units: Mapping[str, str], split: TableSplit, test_fold: int) -> Table:
        """The rows of a split; a row whose fold is out of range is reported with every split. Raises: DataError."""
        self._check_shapes(arrays)
        val_fold = (test_fold + 1) % _NUM_FOLDS
        folds = {"all": set(range(_NUM_FOLDS)), "test": {test_fold}, "val": {val_fold}}
        folds["train"] = folds["all"] - folds["test"] - folds["val"]
        outside = set(range(_NUM_FOLDS)) - folds[split]
        kept = ~np.isin(arrays["fold"], list(outside))
        errors, problems = SampleErrors(self.path, self.on_error), self._problems(arrays)
        total = int(kept.sum())
        for row in sorted(problems):
            if kept[row]:
                errors.add(f"row {row}", problems[row])
                kept[row] = False
        errors.report(total)
        tensors = {name: self._tensor(name, array[kept]) for name, array in arrays.items()}
        fields = {name: Field(Scalar(), units.get(name, "1"), "cloud") for name in arrays}
        return Table(tensors, fields, self.columns, self.names, self.path, tuple(errors.skipped))

    def _check_shapes(self, arrays: Mapping[str, Array]) -> None:
        size, width = arrays["label"].size, len(self.columns)
        for name, array in arrays.items():
            expected = (size, width) if name in ("x", "observed") else (size,)
            if array.shape != expected or array.dtype.kind not in "biuf":
                raise DataError(f"{self.path}: {name!r} is {array.dtype} {array.shape}, expected numbers {expected}")

    def _problems(self, arrays: Mapping[str, Array]) -> dict[int, str]:
        """The first thing wrong with each bad row."""
        problems: dict[int, str] = {}
        for name, values, expected, is_sound in self._checks(arrays):
            for row in np.flatnonzero(~is_sound).tolist():
                problems.setdefault(row, f"its {name} is {values[row]}, expected {expected}")
        return problems

    def _checks(self, arrays: Mapping[str, Array]) -> Iterator[tuple[str, Array, str, NDArray[np.bool_]]]:
        """For every column of numbers: name, values, what is expected, and which of them are so."""
        observed = arrays["observed"].astype(bool) if "observed" in arrays else np.ones(arrays["x"].shape, dtype=bool)
        for column, values, is_there in zip(self.columns, arrays["x"].T, observed.T):
            if column.categories:
                known = column.categories
                expected = f"one of its {len(known)} categories, {known[0]} to {known[-1]}"
                is_sound = np.isfinite(values) & (np.isin(values, known) | ~is_there)
                yield column.name, values, expected, is_sound
            else:
                yield column.name, values, "a finite number", np.isfinite(values)
        ranges = {"fold": _NUM_FOLDS} | {name: len(known) for name, known in self.names.items()}
        for name, values in arrays.items():
            if name in ranges:
                yield name, values, f"0 to {ranges[name] - 1}", np.isin(values, range(ranges[name]))
            elif name in _YES_OR_NO:
                is_sound = np.isin(values, (0, 1)).reshape(len(values), -1)
                yield name, values, "0 or 1", np.asarray(is_sound.all(axis=1))
            elif name in _WHOLE:
                yield name, values, "a whole number", (values == np.rint(values)) & (np.abs(values) < 2**53)
            elif values.ndim == 1:
                yield name, values, "a finite number", np.isfinite(values)

    def _tensor(self, name: str, array: Array) -> Tensor:
        """Counts and numbers of classes as int64, yes and no as bool, all else in the dtype of x."""
        if name in self.names or name in _WHOLE:
            return torch.from_numpy(array.astype(np.int64))
        if name in _YES_OR_NO:
            return torch.from_numpy(array.astype(bool))
        return torch.from_numpy(array.astype(np.float64)).to(self.dtype)


def _check_split(split: str, test_fold: int) -> None:
    check_split(split, ("train", "val", "test", "all"))
    if test_fold not in range(_NUM_FOLDS):
        raise ValueError(f"test_fold must be 0 to {_NUM_FOLDS - 1}, got {test_fold}")
