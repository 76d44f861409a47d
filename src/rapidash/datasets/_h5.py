"""HDF5 files, read with h5py where it is installed."""

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np

from rapidash.datasets._npz import allowance
from rapidash.datasets._reading import Array, DataError, readable


def read_h5(path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Array]:
    """Some arrays of an HDF5 file by name. A name may offer alternatives: "pid|seg" is found as "pid".

    Raises: ModuleNotFoundError without h5py; DataError for a damaged file, a missing array, or one without numbers.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ModuleNotFoundError(f"{path} needs h5py: pip install 'rapidash[data]'")
    import h5py

    arrays: dict[str, Array] = {}
    with readable(path):
        left = allowance(path)
        try:
            with h5py.File(path, "r") as file:
                for name in (*required, *optional):
                    known = name.split("|")
                    found: Any = next((file[key] for key in known if key in file), None)
                    if found is not None:
                        left -= _checked_size(path, name, found, left)
                        arrays[known[0]] = np.asarray(found[()])
                    elif name in required:
                        raise DataError(f"{path} has no array {name!r}, it has {sorted(file)}")
        except (RuntimeError, TypeError, UnicodeDecodeError) as error:  # what h5py makes of damage inside
            raise OSError(str(error)) from error
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{path}: its arrays have different lengths {lengths}")
    return arrays


def _checked_size(path: Path, name: str, found: Any, left: int) -> int:
    """Bytes of an array, before it is read: a small file can announce any size.

    Raises: DataError for a group, for what is no array of numbers, and for more than are ``left``.
    """
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", None)
    if not shape or dtype is None or dtype.kind not in "biuf":
        raise DataError(f"{path}: {name!r} is {dtype} of shape {shape}, expected numbers by entry")
    size = math.prod(max(length, 1) for length in shape) * int(dtype.itemsize)
    if size > left:
        raise DataError(f"{path}: {name!r} of shape {shape} would take {size:,} bytes, the file has far fewer")
    return size


def labels_of(path: Path, arrays: dict[str, Array]) -> list[float]:
    """The array "label", a number for every entry; whether it is a class is for the reader to say.

    Raises: DataError for several numbers in an entry.
    """
    label = arrays["label"]
    if label.size != len(label):
        raise DataError(
            f"{path}: 'label' has the shape {label.shape}, expected one number for each of {len(label)} entries"
        )
    numbers: list[float] = label.reshape(-1).tolist()
    return numbers
