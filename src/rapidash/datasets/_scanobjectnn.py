"""ScanObjectNN: 2,902 scanned objects of 15 classes, with and without background and perturbation."""

import re
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from rapidash.datasets._h5 import labels_of, read_h5
from rapidash.datasets._locate import data_folders, locate
from rapidash.datasets._nbody import Split
from rapidash.datasets._reading import OnError, ReadDataset, SampleErrors, check_split
from rapidash.datasets._shapes import ShapeCollector, held_out

ScanVariant = Literal["objectdataset", "augmented25_norot", "augmented25rot", "augmentedrot", "augmentedrot_scale75"]

SCANOBJECTNN_CLASSES = (
    *("bag", "bin", "box", "cabinet", "chair", "desk", "display", "door"),
    *("shelf", "table", "bed", "pillow", "sink", "sofa", "toilet"),
)
_SPLIT_FOLDER = re.compile(r"(main_)?split\d*(_nobg)?")
_OBTAIN = "Get h5_files.zip from hkust-vgd.github.io/scanobjectnn and unpack it."


def scanobjectnn_dataset(
    split: Split,
    *,
    variant: ScanVariant = "augmentedrot_scale75",
    background: bool = True,
    num_points: int | None = 1024,
    normalize: bool = True,
    val_fraction: float = 0.1,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """Scanned objects from ``main_split/training_objectdataset*.h5`` and ``test_objectdataset*.h5``.

    The default is the hardest variant, PB_T50_RS; "objectdataset" with background is OBJ_BG, without it OBJ_ONLY. The
    source has a training and a test part; ``val_fraction`` of the former, drawn with ``RandomState(42)``, is the
    validation (the perturbed variants hold several copies of an object: it is not disjoint in objects there).

    Read are ``main_split`` and ``main_split_nobg``, or a file that lies in the folder given itself, or is given; other
    splits (``split1``, ...) never.

    Fields: pos (position), object (scalar, (N,), int64: 1 on the object, 0 on the background; where the file has a
        mask), label (scalar, (B,), int64).
    Info: "class_names".
    Args:
        split: "train", "val" or "test".
        variant: which perturbation.
        background: main_split, or main_split_nobg.
        num_points: points of each cloud, at most 2048; None for all.
        normalize: center at the mean, largest radius 1.
        val_fraction: share of the training part that is held out.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad shapes out, counted and reported.
        dtype: of positions.
    Raises: FileNotFoundError; DataError for damaged files, labels out of range, too few points; ModuleNotFoundError
        without h5py; ValueError.
    Source: Uy et al., "Revisiting Point Cloud Classification", ICCV 2019.
    """
    check_split(split)
    if variant not in get_args(ScanVariant):
        raise ValueError(f"unknown variant {variant!r}, expected one of {get_args(ScanVariant)}")
    part = "test" if split == "test" else "training"
    suffix = "" if variant == "objectdataset" else f"_{variant}"
    folder = "main_split" if background else "main_split_nobg"
    name = f"{part}_objectdataset{suffix}.h5"
    path = _lying_in(data_dir, folder, name)
    if path is None:
        layout = f"{folder}/{name}"
        _, path = locate((layout,), dataset=f"ScanObjectNN ({variant})", obtain=_OBTAIN, data_dir=data_dir)
    arrays = read_h5(path, ("data", "label"), ("mask",))
    errors = SampleErrors(path, on_error)
    shapes = ShapeCollector(path, errors, SCANOBJECTNN_CLASSES, num_points=num_points, normalize=normalize)
    labels = labels_of(path, arrays)
    train, val = held_out(len(labels), 0.0 if split == "test" else val_fraction)
    for index in (val if split == "val" else train).tolist():
        mask = arrays["mask"][index].reshape(-1) if "mask" in arrays else None
        if mask is not None and not np.isfinite(mask).all():
            shapes.reject(f"entry {index}", "its 'mask' is not finite")
            continue
        on_object = None if mask is None else (mask >= 0).astype(np.int64)
        shapes.add(f"entry {index}", arrays["data"][index], labels[index], object=on_object)
    return shapes.dataset(dtype)


def _lying_in(data_dir: str | Path | None, folder: str, name: str) -> Path | None:
    """The file in a folder given itself, or the file given, unless the folder is that of another split."""
    for root in data_folders(data_dir):
        path = root if root.is_file() else root / name
        is_other = path.parent.name != folder and _SPLIT_FOLDER.fullmatch(path.parent.name)
        if path.name == name and path.is_file() and not is_other:
            return path
    return None
