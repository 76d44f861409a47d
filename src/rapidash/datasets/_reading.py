"""Common parts of all readers: errors that name file and entry, checksums, damaged archives, and the data set read."""

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from rapidash._names import sentence
from rapidash.data import CloudDataset, Field

Array = NDArray[Any]
OnError = Literal["raise", "skip"]

SHARED_SHA256 = {  # of the npz files that circulate beside the design of this project
    "abide1_freesurfer.npz": "b941e905911876c4682453f93622a7b478eaff82d0c2548959b40b3ad9cdcd6e",
    "ala2_cg.npz": "084567898bfff1f96995e41071e2ed06ed9afff6941d8ae15793159f8903443a",
    "alkanes_md.npz": "9e4cdd49ffacedea570a6bb8ba60006d650843ecbae48030619aaa801f715510",
    "cifar10_subset.npz": "96e920cfdf14fffe955b96b5793c0c965f6df90975985d11ddea82b14ee002e8",
    "cmu_mocap_run.npz": "69f2b82dba5c925db6863fb1c8748c2f4af51fbfbf1969a60c812a5988cd8955",
    "cmu_mocap_walk.npz": "ee8b520317e7a23d754e02a79835813a0b58ef23de51d6b7bb0934ecc3b19bc5",
    "cmu_mocap_walk_subjects.npz": "230cace7bbd3c70f570f552d845690c7e8d59afbd592598ee6aac57a643108f6",
    "heart_disease_sites.npz": "f44259f80834b80bb36f7cf501845080a9cc1ee9d280f48342988dbf6552251c",
    "md_small_molecules.npz": "8126c58e4bc04c09b06133a4b38c9849594b6c71f0262c6e09e7ae755ad74fcc",
    "mlearn_pbc.npz": "4028d72450d70e59187b558309bc5732e1febc92401f1464ae93e565b0716236",
    "modelnet10.npz": "ba7177d4fd0bb7998e42897a442802411b3eaad68377ac4798ab47ce1af8a8f9",
    "princeton_meshseg.npz": "209ca0c1ec01837a639b088a0b0b94789efc6fba2586ffb14699ed33be88f492",
    "qm7.npz": "4c0e0a70152dc57d95c9630abc613e3f9f036664c7b25f001896e45517d6d390",
    "qm9_b3lyp_targets.npz": "a1e10dfd1c8f1d102088cf5dd0baa0a8142d9623e3ae96a7cf821c994358de96",
    "qm9_geometry.npz": "c3183a16310b83ec8b16957ef9287296f9aaa21c929e1a14559f428d65a965b4",
    "qm9_mp2_10k.npz": "7eaba1cc214913c560ce3302c82a875a17a006e331309777a567132aa47e7818",
    "rmd17_split01.npz": "51b5bc15ef6e3a17403d966bd6dfc343f7966d21d83ecb17338e9d852c20f653",
    "shapes69.npz": "686804403ab74e326ffd4816ea5a783525628ea8642a22a7b68aa73723739538",
    "tabular_multiclass.npz": "3f4cb551b780d564192eca9698b4204e57b913b6cce746def67a2d805b0e32de",
}


class DataError(ValueError):
    """A file that does not hold what it should; the message names the file and, where there is one, the entry."""


class SampleErrors:
    """Bad samples of a file: raise at the first, or count them and go on.

    Args:
        source: the file or folder, for the messages.
        on_error: "raise" or "skip".
    Raises: ValueError for another ``on_error``.
    """

    def __init__(self, source: str | Path, on_error: OnError) -> None:
        if on_error not in get_args(OnError):
            raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        self.source, self.on_error = str(source), on_error
        self.skipped: list[str] = []

    def add(self, entry: object, problem: str) -> None:
        """Report one bad sample. Raises: DataError with on_error="raise"."""
        message = f"{self.source}, {entry}: {problem}"
        if self.on_error == "raise":
            raise DataError(
                f"{sentence(message)} Mend or remove it, or pass on_error='skip' to leave such samples out."
            )
        self.skipped.append(message)

    def report(self, total: int) -> None:
        """Warn once about what was skipped. Raises: DataError if nothing is left of ``total`` samples."""
        if total == 0 or len(self.skipped) >= total:
            raise none_usable(self.source, self.skipped, total)
        if self.skipped:
            warnings.warn(
                f"skipped {len(self.skipped)} of {total} samples; the first: {self.skipped[0]}",
                RuntimeWarning,
                stacklevel=4,
            )


def none_usable(source: object, bad: Sequence[str], total: int) -> DataError:
    """The error for a source whose ``total`` samples are all bad, with what is wrong with them."""
    first = f"; the first: {bad[0]}" if bad else ""
    return DataError(f"{source} has no usable sample: {len(bad)} of {total} are bad{first}")


class ReadDataset(CloudDataset):
    """Clouds read from files, with what is the same for all of them and what was left out.

    Args:
        tensors, fields, num_points: as for ``CloudDataset``.
        source: the file or folder they were read from.
        info: what is not a field: class names, joints, edges of the skeleton, ...
        skipped: a message for every bad sample that was left out.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        fields: Mapping[str, Field],
        num_points: Int[Tensor, " size"],
        *,
        source: Path,
        info: Mapping[str, Any] | None = None,
        skipped: tuple[str, ...] = (),
    ) -> None:
        super().__init__(tensors, fields, num_points)
        self.source, self.info, self.skipped = source, dict(info or {}), skipped


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged or half-downloaded file into one that names it. Raises: DataError."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error.filename or path} is missing: {path.parent} is incomplete") from error
    except PermissionError as error:
        raise DataError(f"{error.filename or path} may not be read: {error.strerror}") from error
    except ImportError:
        raise
    except MemoryError as error:
        raise DataError(f"{path} cannot be read: it does not fit into memory") from error
    except Exception as error:  # damage can raise nearly everything
        kind = type(error).__name__
        raise DataError(
            f"{path} cannot be read ({kind}: {error}): it is damaged, only partly downloaded, or not of this format. "
            "Get it again."
        ) from error


def whole_numbers(source: object, name: str, array: Array) -> NDArray[np.int64]:
    """An array of whole numbers as int64. Raises: DataError for other numbers, or what is no number."""
    if array.dtype.kind in "iub" and (array.dtype != np.uint64 or int(array.max(initial=0)) < 1 << 63):
        return array.astype(np.int64)
    if array.dtype.kind == "f" and (np.abs(array) < 1 << 53).all() and (array == np.rint(array)).all():
        return array.astype(np.int64)
    raise DataError(f"{source}: {name!r} of {array.dtype} and shape {array.shape} must hold whole numbers")


def real_numbers(source: object, name: str, array: Array) -> NDArray[np.float64]:
    """An array of numbers as float64. Raises: DataError for what is no number."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"{source}: {name!r} of {array.dtype} and shape {array.shape} must hold numbers")
    return array.astype(np.float64)


def verify_checksum(path: Path, expected: str | tuple[str, ...] | None) -> None:
    """Compare a file with its published digests (SHA-256 or, with 32 digits, MD5). Raises: DataError naming both."""
    if expected is None:
        return
    accepted = (expected,) if isinstance(expected, str) else expected
    algorithm = "md5" if len(accepted[0]) == 32 else "sha256"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    if found not in accepted:
        raise DataError(
            f"{path} has the {algorithm} checksum {found}, published is {' or '.join(accepted)}: it is damaged, partly "
            "downloaded or another version. Get it again, or pass verify=False (--task_options.verify false) to read "
            "it as it is."
        )


def check_split(split: str, known: tuple[str, ...] = ("train", "val", "test")) -> None:
    """Raises: ValueError for an unknown split."""
    if split not in known:
        raise ValueError(f"unknown split {split!r}, expected one of {known}")


def words(array: Array) -> tuple[str, ...]:
    """The names in an array of text, also where they are bytes."""
    return tuple(word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in array.tolist())


def as_points(array: Array, dtype: torch.dtype) -> Tensor:
    """A tensor of its own memory in the given dtype."""
    return torch.from_numpy(np.array(array)).to(dtype)
