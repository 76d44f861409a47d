"""ModelNet40: 12,311 CAD models of 40 classes."""

from functools import partial
from pathlib import Path

import torch

from rapidash.datasets._class_meshes import Entry, Shape, add_entries, mesh_entries
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
)
from rapidash.datasets._shapes import ShapeCollector, held_out, read_table
from rapidash.datasets._text import listed_files, read_listing

MODELNET40_CLASSES = (
    *("airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair", "cone", "cup", "curtain"),
    *("desk", "door", "dresser", "flower_pot", "glass_box", "guitar", "keyboard", "lamp", "laptop", "mantel"),
    *("monitor", "night_stand", "person", "piano", "plant", "radio", "range_hood", "sink", "sofa", "stairs", "stool"),
    *("table", "tent", "toilet", "tv_stand", "vase", "wardrobe", "xbox"),
)
_OBTAIN = (
    "Get modelnet40_normal_resampled.zip or modelnet40_ply_hdf5_2048.zip from shapenet.cs.stanford.edu/media, or "
    "ModelNet40.zip (off) from modelnet.cs.princeton.edu, and unpack it."
)


def modelnet40_dataset(
    split: Split,
    *,
    num_points: int | None = 1024,
    normalize: bool = True,
    val_fraction: float = 0.1,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """Clouds of ModelNet40 from ``modelnet40_normal_resampled`` (txt), ``modelnet40_ply_hdf5_2048`` (h5) or off meshes.

    The source has a training and a test part; ``val_fraction`` of the former, drawn with ``RandomState(42)``, is the
    validation. Of the sampled layouts the first ``num_points`` points are taken, as is usual; of a mesh points are
    drawn uniformly on the surface, from a random stream named by the file (None: 1024). Up is y in the sampled
    layouts and z in the meshes.

    Fields: pos (position), normal (vector, where the layout has normals), label (scalar, (B,), int64).
    Info: "class_names".
    Args:
        split: "train", "val" or "test".
        num_points: points of each cloud; None for all of the file.
        normalize: center at the mean, largest radius 1.
        val_fraction: share of the training part that is held out.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad shapes out, counted and reported.
        dtype: of the floating-point fields.
    Raises: FileNotFoundError; DataError for damaged files, meshes without faces, too few points, unknown classes;
        ModuleNotFoundError for h5 without h5py; ValueError.
    Source: Wu et al., "3D ShapeNets", CVPR 2015.
    """
    check_split(split)
    layouts = ("modelnet40_train.txt", "train_files.txt", "airplane/train/*.off", "*/train/*.off")
    number, path = locate(layouts, dataset="ModelNet40", obtain=_OBTAIN, data_dir=data_dir, not_in=("modelnet10*",))
    folder = path.parent if number < 2 else path.parents[2]
    part = "test" if split == "test" else "train"
    errors = SampleErrors(folder, on_error)
    shapes = ShapeCollector(folder, errors, MODELNET40_CLASSES, num_points=num_points, normalize=normalize)
    entries = (_txt_entries, _h5_entries, _meshes, _meshes)[number](folder, part, num_points)
    train, val = held_out(len(entries), 0.0 if part == "test" else val_fraction)
    add_entries(shapes, [entries[index] for index in (val if split == "val" else train).tolist()])
    return shapes.dataset(dtype)


def _txt_entries(folder: Path, part: str, num_points: int | None) -> list[Entry]:
    names = read_listing(folder / f"modelnet40_{part}.txt")

    def load(name: str) -> Shape:
        kind = name.rsplit("_", 1)[0]
        path = folder / kind / f"{name}.txt"
        if kind not in MODELNET40_CLASSES:
            raise DataError(f"unknown class {kind!r}")
        table = read_table(path, columns=6, max_rows=num_points)
        return table[:, :3], MODELNET40_CLASSES.index(kind), table[:, 3:6]

    return [(name, partial(load, name)) for name in names]


def _h5_entries(folder: Path, part: str, num_points: int | None) -> list[Entry]:
    files = listed_files(folder / f"{part}_files.txt")
    entries: list[Entry] = []
    for file in files:
        arrays = read_h5(file, ("data", "label"), ("normal",))
        labels = labels_of(file, arrays)
        normals = arrays.get("normal")

        def load(
            index: int, pos: Array = arrays["data"], labels: list[float] = labels, normals: Array | None = normals
        ) -> Shape:
            return pos[index], labels[index], None if normals is None else normals[index]

        entries += [(f"{file.name} entry {index}", partial(load, index)) for index in range(len(labels))]
    return entries


def _meshes(folder: Path, part: str, num_points: int | None) -> list[Entry]:
    return mesh_entries(folder, part, num_points, MODELNET40_CLASSES, ("modelnet40",), _OBTAIN)
