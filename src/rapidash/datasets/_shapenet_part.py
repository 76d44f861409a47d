"""ShapeNet part: 16,881 shapes of 16 categories, every point labeled with one of 50 parts."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from rapidash.datasets._h5 import labels_of, read_h5
from rapidash.datasets._locate import locate
from rapidash.datasets._nbody import Split
from rapidash.datasets._reading import (
    Array,
    DataError,
    OnError,
    ReadDataset,
    SampleErrors,
    check_split,
    readable,
)
from rapidash.datasets._shapes import ShapeCollector, read_table
from rapidash.datasets._text import listed_files, text_lines

# Categories in the order of their labels, their folder, and how many consecutive part labels each has.
_CATEGORIES = (
    ("Airplane", "02691156", 4),
    ("Bag", "02773838", 2),
    ("Cap", "02954340", 2),
    ("Car", "02958343", 4),
    ("Chair", "03001627", 4),
    ("Earphone", "03261776", 3),
    ("Guitar", "03467517", 3),
    ("Knife", "03624134", 2),
    ("Lamp", "03636649", 4),
    ("Laptop", "03642806", 2),
    ("Motorbike", "03790512", 6),
    ("Mug", "03797390", 2),
    ("Pistol", "03948459", 3),
    ("Rocket", "04099429", 3),
    ("Skateboard", "04225987", 3),
    ("Table", "04379243", 3),
)
_FIRST = np.cumsum([0, *(count for *_, count in _CATEGORIES)]).tolist()
SHAPENET_CATEGORIES = tuple(name for name, *_ in _CATEGORIES)
SHAPENET_PARTS = {name: tuple(range(_FIRST[k], _FIRST[k + 1])) for k, (name, *_) in enumerate(_CATEGORIES)}
_FOLDERS = tuple(folder for _, folder, _ in _CATEGORIES)
_OBTAIN = (
    "Get shapenetcore_partanno_segmentation_benchmark_v0_normal.zip (txt) or shapenet_part_seg_hdf5_data.zip (h5) from "
    "shapenet.cs.stanford.edu/media and unpack it."
)
Shape = tuple[Array, float, Array, Array | None]  # positions, category, parts, normals
Entry = tuple[str, Callable[[], Shape]]


def shapenet_part_dataset(
    split: Split,
    *,
    num_points: int | None = None,
    normalize: bool = True,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """Shapes with a part label for every point, in the official split.

    Read are ``shapenetcore_partanno_segmentation_benchmark_v0_normal`` (txt: with normals, about 2,600 points a shape),
    the same without normals (txt of four columns, or ``points/*.pts`` beside ``points_label/*.seg``, where parts are
    numbered from 1 in each category) and ``hdf5_data`` (h5: 2,048 points, no normals).

    Fields: pos (position), normal (vector, where the files have normals), part (scalar, (N,), int64, 0 to 49), label
        (scalar, (B,), int64: the category, which the benchmark gives as an input).
    Info: "class_names"; "parts": the part labels of each category, by which mIoU is defined.
    Args:
        split: "train", "val" or "test".
        num_points: points of each cloud, the first of its file; None for all: clouds differ in size.
        normalize: center at the mean, largest radius 1.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad shapes out, counted and reported.
        dtype: of the floating-point fields.
    Raises: FileNotFoundError; DataError for damaged files, unknown categories, part labels that are not of the
        category, too few points; ModuleNotFoundError for h5 without h5py; ValueError.
    Source: Yi et al., "A Scalable Active Framework for Region Annotation in 3D Shape Collections", 2016.
    """
    check_split(split)
    layouts = ("train_test_split/shuffled_train_file_list.json", "train_hdf5_file_list.txt")
    number, path = locate(layouts, dataset="ShapeNet part", obtain=_OBTAIN, data_dir=data_dir)
    folder = path.parents[1] if number == 0 else path.parent
    errors = SampleErrors(folder, on_error)
    shapes = ShapeCollector(folder, errors, SHAPENET_CATEGORIES, num_points=num_points, normalize=normalize)
    for entry, load in (_txt_entries if number == 0 else _h5_entries)(folder, split):
        try:
            pos, label, part, normal = load()
            part = _checked_parts(label, part)
        except DataError as error:
            shapes.reject(entry, str(error))
        else:
            shapes.add(entry, pos, label, part=part, normal=normal)
    return shapes.dataset(dtype, {"parts": SHAPENET_PARTS})


def _txt_entries(folder: Path, split: str) -> list[Entry]:
    listing = folder / "train_test_split" / f"shuffled_{split}_file_list.json"
    with readable(listing):
        try:
            names = json.loads("\n".join(text_lines(listing)))
        except RecursionError as error:
            raise ValueError(str(error)) from error
    pairs = [tuple(name.split("/")[-2:]) for name in names] if _is_listing(names) else []
    if not pairs:
        raise DataError(f"{listing} is not a list of names like 'shape_data/02691156/1a04e3': get it again")

    def load(category: str, name: str) -> Shape:
        if category not in _FOLDERS:
            raise DataError(f"{listing.name} names the unknown category folder {category!r}")
        number = _FOLDERS.index(category)
        points = folder / category / "points" / f"{name}.pts"
        if os.path.exists(points):
            parts = read_table(folder / category / "points_label" / f"{name}.seg", columns=1)
            return read_table(points, columns=3), number, parts[:, 0] - 1 + _FIRST[number], None
        table = read_table(folder / category / f"{name}.txt", columns=(4, 7))
        return table[:, :3], number, table[:, -1], table[:, 3:6] if table.shape[1] == 7 else None

    return [("/".join(pair), partial(load, *pair)) for pair in pairs]


def _is_listing(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) and "/" in name for name in names)


def _h5_entries(folder: Path, split: str) -> list[Entry]:
    files = listed_files(folder / f"{split}_hdf5_file_list.txt")
    entries: list[Entry] = []
    for file in files:
        arrays = read_h5(file, ("data", "label", "pid|seg"))
        labels = labels_of(file, arrays)

        def load(index: int, arrays: dict[str, Array] = arrays, labels: list[float] = labels) -> Shape:
            return arrays["data"][index], labels[index], arrays["pid"][index].reshape(-1), None

        entries += [(f"{file.name} entry {index}", partial(load, index)) for index in range(len(arrays["data"]))]
    return entries


def _checked_parts(label: float, part: Array) -> Array:
    """The parts as whole numbers. Raises: DataError where one is not of the category."""
    if label not in range(len(SHAPENET_CATEGORIES)):
        return np.zeros(len(part), dtype=np.int64)  # reported as a label out of range
    category = SHAPENET_CATEGORIES[int(label)]
    allowed = SHAPENET_PARTS[category]
    if len(wrong := np.flatnonzero(~np.isin(part, allowed))):
        raise DataError(
            f"point {wrong[0]} has the part label {part[wrong[0]]:g}, out of range for {category}: "
            f"expected {allowed[0]} to {allowed[-1]}"
        )
    return part.astype(np.int64)
