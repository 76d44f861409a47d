"""Clouds with a target from a user's own files: a number of each cloud, or the folder that it lies in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rapidash._names import unknown_name
from rapidash._seed import seeded
from rapidash.datasets import (
    CLOUD_FORMATS,
    VALUED_FORMATS,
    DataError,
    FileCloud,
    Mesh,
    read_clouds,
    read_valued_clouds,
    sample_surface,
)
from rapidash.tasks._own_reading import is_valued

FEWEST = 20  # clouds: fewer cannot be split


@dataclass(frozen=True)
class OwnClouds:
    """Clouds as files have them.

    Args:
        pos: of each cloud (N, D), float64, in the unit of the files.
        elements: of each cloud (N,) atomic numbers; None where the files have none.
        target: (B,) numbers, or whole numbers that ``class_names`` names.
        class_names: of folders; empty for numbers.
    """

    pos: tuple[Tensor, ...]
    elements: tuple[Tensor, ...] | None
    target: Tensor
    class_names: tuple[str, ...]


@lru_cache(maxsize=4)
def read_own_clouds(files: tuple[str, ...], target: str | None, num_points: int) -> OwnClouds:
    """All clouds of some files with their targets.

    Args:
        files: xyz and npz files with a target, or one folder with a folder of cloud files for each class.
        target: key=value in the comments of extended xyz frames, or an array (B,) of npz files; None: the class of a
            cloud is its folder.
        num_points: at most so many points of each cloud, a random part; of a mesh as many on its surface.
    Raises: FileNotFoundError; DataError for a damaged or another file, a target that is missing or no number, fewer
        than 20 clouds, a single class, or clouds of different dimensions.
    """
    if target is None:
        clouds, labels, names = _of_folders(files)
        values: list[float] = [float(label) for label in labels]
    else:
        clouds, values, names = [], [], ()
        for file in files:
            found, numbers = _with_targets(Path(file), target)
            clouds += found
            values += numbers
    if len(clouds) < FEWEST:
        raise DataError(f"files: expected at least {FEWEST} clouds, to learn and to test, got {len(clouds)}")
    dims = {cloud.arrays["pos"].shape[1] for cloud in clouds}
    if len(dims) > 1 or not dims <= {2, 3}:
        raise DataError(f"files: expected clouds of the plane or of space, all alike, got dimensions {sorted(dims)}")
    pos, kept = zip(*(_points(cloud, index, num_points) for index, cloud in enumerate(clouds)))
    elements = None
    if all("z" in cloud.arrays and cloud.triangles is None for cloud in clouds):
        elements = tuple(torch.as_tensor(cloud.arrays["z"])[rows].long() for cloud, rows in zip(clouds, kept))
    tensor = torch.tensor(values, dtype=torch.float64)
    return OwnClouds(pos, elements, tensor.long() if target is None else tensor, names)


def _points(cloud: FileCloud, index: int, num_points: int) -> tuple[Tensor, Tensor]:
    """Points of a cloud, and their rows in the file."""
    draws, array = seeded("own clouds", index), np.asarray(cloud.arrays["pos"], dtype=np.float64)
    if not np.isfinite(array).all():
        raise DataError(f"{cloud.name}: 'pos' has values that are not finite")
    if cloud.triangles is not None:
        sample, _ = sample_surface(Mesh(array, cloud.triangles), num_points, draws)
        return torch.from_numpy(sample), torch.arange(0)
    rows = torch.randperm(len(array), generator=draws)[:num_points].sort().values
    return torch.from_numpy(array)[rows], rows


def _of_folders(files: tuple[str, ...]) -> tuple[list[FileCloud], list[int], tuple[str, ...]]:
    if len(files) != 1 or not Path(files[0]).is_dir():
        raise DataError(
            "without a target, files: expected one folder with a folder of clouds for each class, got "
            f"{', '.join(files) or 'none'}; for a number of each cloud name it by --target"
        )
    folders = sorted(path for path in Path(files[0]).iterdir() if path.is_dir())
    if len(folders) < 2:
        raise DataError(f"{files[0]}: expected a folder for each of at least 2 classes, got {len(folders)}")
    clouds: list[FileCloud] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        paths = sorted(path for path in folder.iterdir() if is_valued(path))
        if not paths:
            raise DataError(f"{folder}: expected files of the formats {', '.join(VALUED_FORMATS)}, got none")
        found = [cloud for path in paths for cloud in _good(path)]
        clouds += found
        labels += [label] * len(found)
    return clouds, labels, tuple(folder.name for folder in folders)


def _with_targets(path: Path, target: str) -> tuple[list[FileCloud], list[float]]:
    clouds = list(_good(path))
    if path.suffix.lower() in (".xyz", ".extxyz"):
        numbers = list(_of_comments(path, target))
    elif path.suffix.lower() == ".npz":
        numbers = _of_array(path, target, len(clouds))
    else:
        raise DataError(f"{path}: a target is read from xyz and npz files, got a {path.suffix} file")
    if len(numbers) != len(clouds):
        raise DataError(f"{path}: expected a target {target!r} for each of {len(clouds)} clouds, got {len(numbers)}")
    return clouds, numbers


def _good(path: Path) -> Iterator[FileCloud]:
    read = read_clouds if path.suffix.lower() in CLOUD_FORMATS else read_valued_clouds
    for name, found in read(path):
        if isinstance(found, DataError):
            raise DataError(f"{name}: {found}")
        yield found


def _of_comments(path: Path, target: str) -> Iterator[float]:
    """The number of each frame of an xyz file that `read_clouds` has read without complaint."""
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    wanted = re.compile(rf"(?:^|\s){re.escape(target)}\s*=\s*[\"']?([^\s\"']+)")
    frame = 0
    for line in lines:
        if not line.strip().isdigit():
            continue
        comment = next(lines, "")
        found = wanted.search(comment)
        if found is None:
            keys = re.findall(r"(?:^|\s)(\w+)\s*=", comment)
            raise DataError(f"{path}, frame {frame}: its comment has no target {target!r}, it has {keys or 'no keys'}")
        yield _number(found[1], f"{path}, frame {frame}: target {target!r}")
        for _ in range(int(line)):
            next(lines, "")
        frame += 1


def _of_array(path: Path, target: str, num: int) -> list[float]:
    with np.load(path, allow_pickle=False) as arrays:
        if target not in arrays:
            raise DataError(f"{path}: {unknown_name('target', target, list(arrays))}")
        array = arrays[target]
    if array.dtype.kind not in "fiu" or array.size != num:
        raise DataError(f"{path}: target {target!r}: expected {num} numbers, got {array.shape} of {array.dtype}")
    return [_number(value, f"{path}, cloud {index}: target {target!r}") for index, value in enumerate(array.ravel())]


def _number(given: object, where: str) -> float:
    try:
        value = float(given)  # type: ignore[arg-type]
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise DataError(f"{where}: expected a finite number, got {given!r}")
    return value
