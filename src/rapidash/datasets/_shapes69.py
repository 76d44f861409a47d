"""Two collections of shapes as npz: 69 classes of surfaces, and human segmentations of 19 categories."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash.datasets._locate import locate
from rapidash.datasets._nbody import Split
from rapidash.datasets._npz import read_npz
from rapidash.datasets._reading import (
    Array,
    DataError,
    OnError,
    ReadDataset,
    SampleErrors,
    check_split,
    words,
)
from rapidash.datasets._shapes import ShapeCollector

_OBTAIN_SHAPES = "It is an npz file with surface points of the Utrecht shape database (MaxRee94/ShapeDatabase_INFOMR)."
_OBTAIN_MESHSEG = "It is an npz file with surface points of the Princeton mesh segmentation benchmark."
_FOLD_OF = {"test": (0,), "val": (1,), "train": (2, 3, 4)}
_VAL_PER_CATEGORY = 2


def shapes69_dataset(
    split: Split,
    *,
    num_points: int | None = 1024,
    normalize: bool = True,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """2,470 shapes of 69 classes from ``shapes69.npz``: 1,024 surface points each, in random order.

    Folds 2 to 4 are the training part, 1 the validation, 0 the test; there is no official split. The sign of a normal
    can be wrong, and the orientation is not canonical for all classes.

    Fields: pos (position), normal (vector), label (scalar, (B,), int64).
    Info: "class_names".
    Args:
        split: "train", "val" or "test".
        num_points: points of each cloud, the first of its row, at most 1024; None for all.
        normalize: center at the mean of the points kept, largest radius 1.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad shapes out, counted and reported.
        verify: compare the published checksum.
        dtype: of the floating-point fields.
    Raises: FileNotFoundError; DataError for a damaged file, labels out of range, too few points; ValueError.
    Source: Shilane et al., "The Princeton Shape Benchmark", SMI 2004.
    """
    check_split(split)
    _, path = locate(("shapes69.npz",), dataset="shapes69", obtain=_OBTAIN_SHAPES, data_dir=data_dir)
    arrays = read_npz(path, ("points", "normals", "label", "class_name", "shape_id", "fold"), verify=verify)
    _check_shapes(path, arrays, {"points": 3, "normals": 3, "label": 1, "shape_id": 1, "fold": 1})
    errors = SampleErrors(path, on_error)
    names = words(arrays["class_name"])
    shapes = ShapeCollector(path, errors, names, num_points=num_points, normalize=normalize)
    for index in np.flatnonzero(np.isin(arrays["fold"], _FOLD_OF[split])).tolist():
        shapes.add(
            f"shape {arrays['shape_id'][index]}",
            arrays["points"][index],
            float(arrays["label"][index]),
            normal=arrays["normals"][index],
        )
    return shapes.dataset(dtype)


def meshseg_dataset(
    split: Split,
    *,
    num_points: int | None = 1024,
    normalize: bool = True,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """380 shapes of 19 categories with the segmentations of up to 18 people, from ``princeton_meshseg.npz``.

    The test part is the file's, 5 shapes of each category; of the others the last 2 of each are the validation.
    Segment numbers have no common meaning between shapes or people: compare partitions.

    Fields: pos (position), normal (vector), segment (scalar, (N,), int64: the person closest to the others), segments
        (scalar, (N, 18), int64, -1 where there are fewer people), label (scalar, (B,), int64: the category).
    Info: "class_names".
    Args:
        split: "train", "val" or "test".
        num_points: points of each cloud, the first of its row, at most 2048; None for all.
        normalize: center at the mean of the points kept, largest radius 1.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad shapes out, counted and reported.
        verify: compare the published checksum.
        dtype: of the floating-point fields.
    Raises: FileNotFoundError; DataError for a damaged file, labels out of range, too few points; ValueError.
    Source: Chen, Golovinskiy, Funkhouser, "A Benchmark for 3D Mesh Segmentation", SIGGRAPH 2009.
    """
    check_split(split)
    _, path = locate(
        ("princeton_meshseg.npz",), dataset="mesh segmentations", obtain=_OBTAIN_MESHSEG, data_dir=data_dir
    )
    required = ("points", "normals", "category", "category_name", "segmentation", "reference", "is_test")
    arrays = read_npz(path, required, verify=verify)
    axes = {"points": 3, "normals": 3, "category": 1, "segmentation": 3, "reference": 1, "is_test": 1}
    _check_shapes(path, arrays, axes)
    errors = SampleErrors(path, on_error)
    names = words(arrays["category_name"])
    shapes = ShapeCollector(path, errors, names, num_points=num_points, normalize=normalize)
    for index in _meshseg_part(split, arrays["category"], arrays["is_test"].astype(bool)).tolist():
        people = arrays["segmentation"][index].astype(np.int64)
        person = int(arrays["reference"][index])
        if not 0 <= person < len(people) or (people[person] < 0).any():
            shapes.reject(f"shape {index}", f"its reference person {person} has no segmentation")
            continue
        shapes.add(
            f"shape {index}",
            arrays["points"][index],
            float(arrays["category"][index]),
            normal=arrays["normals"][index],
            segment=people[person],
            segments=people.T,
        )
    return shapes.dataset(dtype)


def _check_shapes(path: Path, arrays: Mapping[str, Array], axes: Mapping[str, int]) -> None:
    """Raises: DataError for arrays that have not these numbers of axes, an entry for every shape, or no numbers."""
    size = len(arrays["points"]) if arrays["points"].ndim else 0
    for name, number in axes.items():
        array = arrays[name]
        kinds = {"shape_id": "biufSU", "reference": "iu", "is_test": "biu"}.get(name, "biuf")
        if array.ndim != number or len(array) != size or array.dtype.kind not in kinds:
            raise DataError(
                f"{path}: {name!r} is {array.dtype} {array.shape}, expected {number} axes of numbers, {size} shapes"
            )


def _meshseg_part(split: str, category: Array, is_test: Array) -> NDArray[np.int64]:
    is_val = np.zeros(len(category), dtype=bool)
    for number in np.unique(category):
        is_val[np.flatnonzero((category == number) & ~is_test)[-_VAL_PER_CATEGORY:]] = True
    parts = {"test": is_test, "val": is_val, "train": ~is_test & ~is_val}
    return np.flatnonzero(parts[split])
