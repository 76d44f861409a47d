"""Arrays of npz files: the directory and the headers are read first, and an array only when it is asked for."""

import io
import math
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rapidash.datasets._reading import SHARED_SHA256, Array, DataError, readable, verify_checksum

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000  # bytes, as for np.load
_ALWAYS = 1 << 28  # bytes that a file may unpack to, however small it is
_GROWTH = 30  # beyond them, times its own size: data shrink so far only where they hold next to nothing


def read_npz(path: Path, required: tuple[str, ...] = (), *, verify: bool = True) -> "NpzArrays":
    """The arrays of an npz file, none of them a pickled object.

    Args:
        path: the file.
        required: names that must be there, which are read at once.
        verify: compare the checksum where one is published for the name of the file.
    Raises: DataError for a wrong checksum, a damaged file or a missing array.
    """
    if verify:
        verify_checksum(path, SHARED_SHA256.get(path.name.lower()))
    arrays = NpzArrays(path)
    for name in required:
        if name in arrays.objects:
            raise DataError(f"{path}: {name!r} holds Python objects, which are not read: save numbers")
        if name not in arrays:
            raise DataError(
                f"{path} has no array {name!r}, it has {sorted(arrays)}: is it another version or data set?"
            )
        arrays[name]
    return arrays


class NpzArrays(Mapping[str, Array]):
    """The arrays of an npz file by name; what nobody asks for is never unpacked.

    Members that are no arrays (a text beside them) are passed over, and so are arrays of Python objects, whose names
    are in ``objects``. Asking for an array raises DataError where it is damaged, where its header does not fit the size
    that the archive has for it, and where the file would unpack to more than 256 MiB and 30 times its own size.

    Raises: FileNotFoundError; DataError for a file that is no npz.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.objects: set[str] = set()
        self._found: dict[str, _Member] = {}
        self._read: dict[str, Array] = {}
        self._left = allowance(path)
        with _archive(path) as file:
            for info in file.infolist():
                name = info.filename.removesuffix(".npy")
                with readable(path):
                    member = _member(file, info)
                if member is None:
                    continue
                if member.header is not None and member.header.dtype.hasobject:
                    self.objects.add(name)
                else:
                    self._found[name] = member

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def __getitem__(self, name: str) -> Array:
        if name not in self._read:
            header = self.header(name)
            if problem := self.too_large(name):
                raise DataError(f"{self.path}: {problem}")
            with _archive(self.path) as file, readable(self.path):
                self._read[name] = _array(file, self._found[name].info)
            self._left -= header.num_bytes
        return self._read[name]

    def header(self, name: str) -> "Header":
        """Shape and dtype of an array, without reading it. Raises: DataError for a damaged one."""
        member = self._found[name]
        if member.header is None:
            raise DataError(f"{self.path}: the array {name!r} cannot be read: {member.problem}")
        return member.header

    def too_large(self, name: str) -> str:
        """Why an array is not unpacked, or nothing."""
        header = self.header(name)
        if name in self._read or header.num_bytes <= self._left:
            return ""
        return (
            f"{name!r} would unpack to {header.num_bytes:,} bytes of a file of {self.path.stat().st_size:,}: "
            "leave it out, or save the file again with np.savez, which does not compress"
        )


@dataclass(frozen=True)
class Header:
    """The shape and the type in the header of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def num_bytes(self) -> int:
        """Bytes of the array; of an empty one those that it would have with one entry along its empty axes."""
        return math.prod(max(size, 1) for size in self.shape) * max(self.dtype.itemsize, 1)


@dataclass(frozen=True)
class _Member:
    """A member of an archive that is an array, or what is wrong with its header."""

    info: zipfile.ZipInfo
    header: Header | None
    problem: str = ""


def allowance(path: Path) -> int:
    """Bytes that the numbers in a file may take in memory: no more than this machine has.

    A small file can announce, or unpack to, any size. Raises: FileNotFoundError.
    """
    packed = path.stat().st_size
    has = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else math.inf
    return int(min(max(_ALWAYS, _GROWTH * packed), has))


def _archive(path: Path) -> zipfile.ZipFile:
    with readable(path):
        if not zipfile.is_zipfile(path):
            path.open("rb").close()  # says what is wrong with the place
            raise zipfile.BadZipFile("not a zip file")
        return zipfile.ZipFile(path)


def _member(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member | None:
    """An array with its header; None for a member that is none."""
    is_named = info.filename.endswith(".npy")
    try:
        with file.open(info) as stream:
            first = stream.read(len(_MAGIC) + 2)
            if not first.startswith(_MAGIC):
                return _Member(info, None, "it does not begin as arrays do") if is_named else None
            return _Member(info, _header(first, stream, info.file_size))
    except Exception as error:  # a damaged header can raise nearly everything
        return _Member(info, None, f"{type(error).__name__}: {error}") if is_named else None


def _header(first: bytes, stream: Any, file_size: int) -> Header:
    """Raises: ValueError for a header that does not fit the member."""
    version = first[-2]
    if version not in (1, 2):
        raise ValueError(f"its format has the version {version}, expected 1 or 2")
    length = stream.read(2 * version)
    size = int.from_bytes(length, "little")
    if size > _LONGEST_HEADER:
        raise ValueError(f"its header has {size} bytes, expected at most {_LONGEST_HEADER}")
    text = io.BytesIO(length + stream.read(size))
    parse = np.lib.format.read_array_header_1_0 if version == 1 else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python 2; it is given where the array is read
        shape, _, dtype = parse(text)
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"its shape is {shape}, expected whole numbers from 0 on")
    header, here = Header(shape, dtype), len(first) + len(length) + size
    declared = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and here + declared != file_size:
        raise ValueError(f"{dtype} of shape {shape} take {declared:,} bytes, the archive has {file_size - here:,}")
    return header


def _array(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with file.open(info) as stream:
        array: Array = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read(1)  # the end, where the checksum is compared
    return array
