"""Tiny files in published layouts, for tasks whose data are not at hand."""

import json
from pathlib import Path

import h5py
import numpy as np


def random_clouds(size: int, num_points: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, num_points, 3)).astype(np.float32)


def write_h5(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def write_modelnet40(folder: Path, size: int = 20, num_points: int = 40) -> None:
    labels = np.arange(size)[:, None] % 40
    for seed, part in enumerate(("train", "test")):
        (folder / f"{part}_files.txt").write_text(f"ply_data_{part}0.h5\n")
        write_h5(folder / f"ply_data_{part}0.h5", data=random_clouds(size, num_points, seed), label=labels)


def write_modelnet10(folder: Path, size: int = 22, num_points: int = 40) -> None:
    """Random codes, points in their order; a tenth of the models is the test."""
    rng = np.random.default_rng(0)
    code = np.sort(rng.integers(0, 2**30, (size, num_points)), axis=1)
    delta = np.diff(code, axis=1, prepend=0)
    arrays = {"delta": np.stack([(delta >> 8 * byte & 255).astype(np.uint8) for byte in range(4)])}
    arrays |= {"label": np.arange(size) % 10, "number": np.arange(size), "is_test": np.arange(size) >= size - 2}
    np.savez(folder / "modelnet10.npz", **arrays, class_name=np.array([f"class{k}" for k in range(10)]))


def write_scanobjectnn(folder: Path, size: int = 20, num_points: int = 40) -> None:
    for seed, part in enumerate(("training", "test")):
        file = folder / "main_split" / f"{part}_objectdataset_augmentedrot_scale75.h5"
        write_h5(file, data=random_clouds(size, num_points, seed), label=np.arange(size) % 15)


def write_mnist(folder: Path, size: int = 30) -> None:
    """Uncompressed idx files, not those of the published checksums: read with verify=False."""
    rng = np.random.default_rng(0)
    for stem in ("train", "t10k"):
        for kind, array in (
            ("images-idx3", rng.integers(0, 256, (size, 28, 28))),
            ("labels-idx1", np.arange(size) % 10),
        ):
            head = b"\x00\x00\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{stem}-{kind}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())


def write_shapenet_part(folder: Path, size: int = 8, num_points: int = 40, *, has_normals: bool = True) -> None:
    """Airplanes (parts 0 to 3) and chairs (parts 12 to 15) in turn; txt with normals, or h5."""
    clouds = random_clouds(size, num_points)
    category = np.array([(0, 4)[k % 2] for k in range(size)])
    part = np.arange(num_points)[None] % 4 + np.where(category == 0, 0, 12)[:, None]
    if not has_normals:
        for split in ("train", "val", "test"):
            (folder / f"{split}_hdf5_file_list.txt").write_text(f"ply_data_{split}0.h5\n")
            write_h5(folder / f"ply_data_{split}0.h5", data=clouds, label=category[:, None], pid=part)
        return
    names = [f"shape_data/{('02691156', '03001627')[k % 2]}/shape{k}" for k in range(size)]
    (folder / "train_test_split").mkdir()
    for split in ("train", "val", "test"):
        (folder / "train_test_split" / f"shuffled_{split}_file_list.json").write_text(json.dumps(names))
    for k, name in enumerate(names):
        path = folder / name.split("/", 1)[1]
        path.parent.mkdir(exist_ok=True)
        np.savetxt(f"{path}.txt", np.concatenate([clouds[k], clouds[k], part[k][:, None]], axis=1))


def write_box(folder: Path) -> Path:
    """The surface of a box of 3 x 2 x 1, as an OFF mesh."""
    corners = [(x, y, z) for x in (0, 3) for y in (0, 2) for z in (0, 1)]
    quads = ["0 1 3 2", "4 6 7 5", "0 4 5 1", "2 3 7 6", "0 2 6 4", "1 5 7 3"]
    lines = ["OFF", "8 6 0", *(" ".join(map(str, corner)) for corner in corners), *(f"4 {quad}" for quad in quads)]
    (folder / "box.off").write_text("\n".join(lines) + "\n")
    return folder / "box.off"


def save_ply(path: Path, pos: np.ndarray, normal: np.ndarray | None = None) -> Path:
    names = ["x", "y", "z"] if normal is None else ["x", "y", "z", "nx", "ny", "nz"]
    rows = pos if normal is None else np.concatenate([pos, normal], axis=1)
    header = f"ply\nformat ascii 1.0\nelement vertex {len(pos)}\n" + "".join(f"property double {x}\n" for x in names)
    path.write_text(header + "end_header\n" + "".join(" ".join(map(str, row)) + "\n" for row in rows.tolist()))
    return path
