"""ModelNet10: 4,899 CAD models of 10 classes, as meshes, or as points on their surfaces in a compact npz."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash._seed import seeded
from rapidash.datasets._class_meshes import add_entries, mesh_entries
from rapidash.datasets._locate import locate
from rapidash.datasets._nbody import Split
from rapidash.datasets._npz import read_npz
from rapidash.datasets._reading import Array, DataError, OnError, ReadDataset, SampleErrors, check_split, words
from rapidash.datasets._shapes import ShapeCollector, held_out

MODELNET10_CLASSES = (
    *("bathtub", "bed", "chair", "desk", "dresser"),
    *("monitor", "night_stand", "sofa", "table", "toilet"),
)
_OBTAIN = (
    "Get ModelNet10.zip (off) from modelnet.cs.princeton.edu and unpack it; modelnet10.npz has 1,024 surface points of "
    "each of its models, in Morton order."
)
_BITS = 10  # of a coordinate
_KINDS = {"delta": "u", "label": "iu", "is_test": "b", "number": "iu"}


def modelnet10_dataset(
    split: Split,
    *,
    num_points: int | None = 1024,
    normalize: bool = True,
    val_fraction: float = 0.1,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> ReadDataset:
    """4,899 models of 10 classes from ``modelnet10.npz`` or the official folders ``bathtub/train/bathtub_0001.off``.

    The official parts; ``val_fraction`` of the training part, drawn with ``RandomState(42)``, is the validation. Models
    are aligned, up is z. The npz has 1,024 surface points of each, in a random order of their own; coordinates have 10
    bits in the unit of the largest radius, so they are off by 0.001. Of a mesh, points are drawn uniformly on the
    surface, from a random stream named by ``seed`` and the file (``num_points`` None: 1024).

    Fields: pos (position), normal (vector, of meshes), label (scalar, (B,), int64).
    Info: "class_names".
    Args:
        split: "train", "val" or "test".
        num_points: points of each cloud; of the npz the first of its random order, at most 1024; None for all.
        normalize: center at the mean of the points kept, largest radius 1.
        val_fraction: share of the training part that is held out.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad shapes out, counted and reported.
        verify: compare the published checksum.
        dtype: of the floating-point fields.
        seed: of the points on meshes.
    Raises: FileNotFoundError; DataError for a damaged file, labels out of range, unknown classes, meshes without faces,
        too few points; ValueError.
    Source: Wu et al., "3D ShapeNets", CVPR 2015.
    """
    check_split(split)
    layouts = ("modelnet10.npz", "bathtub/train/*.off", "*/train/*.off")
    number, path = locate(layouts, dataset="ModelNet10", obtain=_OBTAIN, data_dir=data_dir, not_in=("modelnet40*",))
    fraction = 0.0 if split == "test" else val_fraction
    if number > 0:
        folder, kind = path.parents[2], "test" if split == "test" else "train"
        shapes = ShapeCollector(
            folder, SampleErrors(folder, on_error), MODELNET10_CLASSES, num_points=num_points, normalize=normalize
        )
        meshes = mesh_entries(folder, kind, num_points, MODELNET10_CLASSES, ("modelnet10", seed), _OBTAIN)
        train, val = held_out(len(meshes), fraction)
        add_entries(shapes, [meshes[index] for index in (val if split == "val" else train).tolist()])
        return shapes.dataset(dtype)
    arrays = read_npz(path, (*_KINDS, "class_name"), verify=verify)
    delta, label, is_test = arrays["delta"], arrays["label"], arrays["is_test"]
    if delta.ndim != 3 or len(delta) != 4 or delta.dtype != np.uint8:
        raise DataError(f"{path}: 'delta' is {delta.dtype} {delta.shape}, expected uint8 (4, shapes, points)")
    for name, kinds in _KINDS.items():
        array = arrays[name]
        if array.dtype.kind not in kinds or (name != "delta" and array.shape != delta.shape[1:2]):
            raise DataError(
                f"{path}: {name!r} is {array.dtype} {array.shape}, expected a number for each of the shapes"
            )
    names = words(arrays["class_name"])
    shapes = ShapeCollector(path, SampleErrors(path, on_error), names, num_points=num_points, normalize=normalize)
    part = np.flatnonzero(is_test if split == "test" else ~is_test)
    train, val = held_out(len(part), fraction)
    for index in part[val if split == "val" else train].tolist():
        code = morton_codes(delta[:, index])
        kept = torch.randperm(len(code), generator=seeded("modelnet10", index))[:num_points].numpy()
        kind = names[int(label[index])] if 0 <= label[index] < len(names) else "shape"
        shapes.add(f"{kind} {arrays['number'][index]}", morton_points(code[kept]), float(label[index]))
    return shapes.dataset(dtype)


def morton_codes(delta: Array) -> NDArray[np.int64]:
    """Codes from their differences: ``delta`` (4, points) are bytes, the lowest first."""
    codes: NDArray[np.int64] = np.cumsum(sum(delta[byte].astype(np.int64) << 8 * byte for byte in range(4)))
    return codes


def morton_points(code: NDArray[np.int64]) -> NDArray[np.float64]:
    """Points in [-1, 1]^3 from their Morton codes, of which every coordinate has every third bit."""
    axes = [sum((code >> (3 * bit + axis) & 1) << bit for bit in range(_BITS)) for axis in range(3)]
    pos: NDArray[np.float64] = np.stack(axes, axis=-1) / ((2**_BITS - 1) / 2) - 1
    return pos
