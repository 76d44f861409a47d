"""The interface of tasks for clouds from files: the fields needed and the outputs, by name and with units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rapidash._names import unknown_name
from rapidash._plain import is_of
from rapidash.data import CloudBatch, Field
from rapidash.datasets import DataError, FileCloud, whole_numbers


@dataclass(frozen=True)
class NeededField:
    """A field that a cloud must have.

    Args:
        field: how it transforms, its unit in the file, and its level.
        width: columns of numbers (N, width); 0 for whole numbers (N,).
    """

    field: Field
    width: int


@dataclass(frozen=True)
class Output:
    """One predicted quantity, a row per point or per cloud.

    Args:
        values: (rows, ...) numbers in the unit of the field, or (rows,) whole numbers that ``labels`` names.
        field: how it transforms, its unit and level.
        labels: names of the whole numbers, or of the columns of ``values``.
    """

    values: Tensor
    field: Field
    labels: tuple[str, ...] = ()


@runtime_checkable
class FileTask(Protocol):
    """A `Task` whose trained models can be applied to clouds from files.

    ``reference`` is read from the training data once, when a model is saved, and goes with the model; predictions need
    no data of the task. A task may also have ``reference_kinds``, the entries of its reference and their types, such as
    ``{"elements": list[int]}``: those of a saved model are then checked, see `check_reference`. One whose network has
    ``energies(batch)``, of every atom (N, 1), may have ``atom_energies(energies, batch, reference)``: an `Output` (N,)
    in the units of the user, whose sum is the energy of the cloud, for `rapidash.predict.Potential`.
    """

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields of a cloud by name, pos among them; ``label`` is its category, of ``reference["class_names"]``."""
        ...

    def reference(self) -> dict[str, Any]:
        """Plain values of the training data that predictions need: what was taken off the targets, names of classes."""
        ...

    def read_cloud(self, found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
        """The fields of a cloud from a file, prepared as the task's own data are.

        Where its points are not those of the file, and each of these gets a prediction, also ``rows``: (M,) the point
        of the cloud whose prediction is that of each point of the file. Where its points stand elsewhere than in the
        file, also ``places``: (N, D) their positions in the file, which go into the files of predictions.

        Raises: DataError for a cloud that the task cannot take, without its name.
        """
        ...

    def outputs(self, prediction: Tensor, batch: CloudBatch, reference: Mapping[str, Any]) -> dict[str, Output]:
        """The predicted quantities by name, in the units of the user.

        Raises: ValueError for clouds that the reference does not cover.
        """
        ...


def total_energy(atoms: Output, batch: CloudBatch) -> Output:
    """The energy of every cloud, from those of its atoms."""
    total = atoms.values.new_zeros(batch.num_clouds).index_add(0, batch.batch, atoms.values)
    return Output(total, Field(atoms.field.representation, atoms.field.unit, "cloud"))


def check_reference(reference: Mapping[str, Any], task: object) -> list[str]:
    """The entries that are missing in the reference of a task, by its ``reference_kinds``, where it has them.

    Raises: ValueError for an entry of another type, or one that the task's own ``check_reference`` refuses.
    """
    kinds: Mapping[str, Any] = getattr(task, "reference_kinds", {})
    for name, kind in kinds.items():
        if name in reference and not is_of(reference[name], kind):
            named = kind.__name__ if isinstance(kind, type) and not get_args(kind) else kind
            raise ValueError(f"{name!r} in 'reference' must be of type {named}, got {reference[name]!r}")
    missing = [name for name in kinds if name not in reference]
    own_check = getattr(task, "check_reference", None)
    if own_check is not None and not missing:
        own_check(reference)
    return missing


def cloud_tensors(found: FileCloud, needs: Mapping[str, NeededField]) -> dict[str, Tensor]:
    """The fields of a cloud from a file, numbers in float64.

    Raises: DataError for a missing field, another shape, or values that are not finite or not whole.
    """
    size = len(found.arrays["pos"])
    tensors = {}
    for name, spec in needs.items():
        if name not in found.arrays:
            if name in found.left_out:
                raise DataError(found.left_out[name])
            needed = ", ".join(f"{key} ({entry.field.unit})" for key, entry in needs.items())
            raise DataError(f"it has no {name!r}: the task needs {needed}; the file has {', '.join(found.arrays)}")
        array = found.arrays[name]
        expected = (size, max(spec.width, 1))
        if array.dtype.kind not in "fiu" or (array.shape != expected and (*array.shape, 1) != expected):
            shape = expected if spec.width else (size,)
            raise DataError(f"{name!r} has shape {array.shape} of {array.dtype}, expected numbers {shape}")
        if spec.width:
            numbers = array.reshape(expected).astype(np.float64)
            if not np.isfinite(numbers).all():
                raise DataError(f"{name!r} has values that are not finite")
            tensors[name] = torch.from_numpy(numbers)
        else:
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise DataError(f"{name!r} has values that are not finite")
            tensors[name] = torch.from_numpy(_whole(name, array.reshape(size)))
    return tensors


def _whole(name: str, array: NDArray[Any]) -> NDArray[np.int64]:
    try:
        return whole_numbers("", name, array)
    except DataError:
        raise DataError(f"{name!r} has values that are not whole numbers") from None


def category_number(given: str | float | None, names: Sequence[str], *, why_none: str = "") -> int:
    """The number of a category that a file or a user gives by its name or number.

    Args:
        given: name or number.
        names: of the categories 0, 1, ...
        why_none: what is wrong with the categories of the file.
    Raises: DataError for none, and for one that is unknown, with the names.
    """
    if given is None:
        none = f"it has no category ({why_none})" if why_none else "it has no category"
        raise DataError(
            f"{none}: looked for one per cloud in the file, array 'label' or 'category' of npz, and for the option "
            f"category; it is one of {', '.join(names)}, or its number, 0 to {len(names) - 1}"
        )
    word = str(given)
    if word in names:
        return names.index(word)
    if word.isascii() and word.isdecimal() and len(word) < 10 and int(word) < len(names):
        return int(word)
    raise DataError(f"{unknown_name('category', word, names)} (numbers: 0 to {len(names) - 1})")
