"""Shapes in the layouts of ModelNet40, ScanObjectNN and ShapeNet part."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.datasets import _h5
from rapidash.datasets._modelnet40 import MODELNET40_CLASSES, modelnet40_dataset
from rapidash.datasets._reading import DataError
from rapidash.datasets._scanobjectnn import SCANOBJECTNN_CLASSES, scanobjectnn_dataset
from rapidash.datasets._shapenet_part import SHAPENET_CATEGORIES, SHAPENET_PARTS, shapenet_part_dataset
from rapidash.datasets._shapes import unit_ball

SIZE, POINTS = 10, 16


def clouds(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Positions and unit normals of 10 shapes."""
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(SIZE, POINTS, 3))
    return rng.normal(size=(SIZE, POINTS, 3)) + 3, normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def hdf5(path: Path, **arrays: np.ndarray) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


# ---- ModelNet40 ----


def write_resampled(folder: Path) -> None:
    pos, normals = clouds()
    for part in ("train", "test"):
        names = [f"{kind}_{n:04d}" for n in range(1, 6) for kind in ("airplane", "night_stand")]
        (folder / f"modelnet40_{part}.txt").write_text("\n".join(names) + "\n")
        for index, name in enumerate(names):
            kind = folder / name.rsplit("_", 1)[0]
            kind.mkdir(exist_ok=True)
            np.savetxt(kind / f"{name}.txt", np.concatenate([pos[index], normals[index]], axis=1), delimiter=",")


def write_modelnet_h5(folder: Path) -> None:
    pos, normals = clouds()
    labels = np.array([0, 23] * 5)[:, None]
    for part in ("train", "test"):
        (folder / f"{part}_files.txt").write_text(
            "".join(f"data/modelnet40_ply_hdf5_2048/ply_data_{part}{k}.h5\n" for k in (0, 1))
        )
        for k, half in enumerate((slice(0, 6), slice(6, SIZE))):
            hdf5(folder / f"ply_data_{part}{k}.h5", data=pos[half], normal=normals[half], label=labels[half])


def write_off(folder: Path) -> None:
    for part in ("train", "test"):
        for kind in ("airplane", "night_stand"):
            (folder / "ModelNet40" / kind / part).mkdir(parents=True)
            for n in range(1, 6):
                text = f"OFF4 2 0\n0 0 0\n{n} 0 0\n{n} 1 0\n0 1 1\n3 0 1 2\n3 0 2 3\n"
                (folder / "ModelNet40" / kind / part / f"{kind}_{n:04d}.off").write_text(text)


@pytest.mark.parametrize("write", [write_resampled, write_modelnet_h5, write_off])
def test_every_layout_of_modelnet40(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    parts = {
        s: modelnet40_dataset(s, num_points=8, data_dir=tmp_path, val_fraction=0.2) for s in ("train", "val", "test")
    }
    assert {split: len(part) for split, part in parts.items()} == {"train": 8, "val": 2, "test": 10}
    test = parts["test"]
    assert sorted(test.tensors["label"].unique().tolist()) == [0, 23]
    assert MODELNET40_CLASSES[23] == "night_stand"
    assert test.num_points.unique().tolist() == [8]
    np.testing.assert_allclose(test.tensors["normal"].norm(dim=1), np.ones(80), rtol=1e-5)
    assert test.tensors["pos"].reshape(10, 8, 3).norm(dim=2).amax(1).tolist() == pytest.approx([1.0] * 10)
    if write is not write_off:
        order = np.argsort(test.tensors["label"].numpy(), kind="stable")
        assert order.tolist() == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
        np.testing.assert_allclose(test.tensors["normal"][:8], clouds()[1][0, :8], atol=1e-6)
    again = modelnet40_dataset("test", num_points=8, data_dir=tmp_path)
    assert torch.equal(again.tensors["pos"], test.tensors["pos"])
    with pytest.raises(ValueError, match="unknown split"):
        modelnet40_dataset("dev", data_dir=tmp_path)


def test_bad_modelnet40_files_are_named(tmp_path: Path) -> None:
    write_off(tmp_path)
    (tmp_path / "ModelNet40" / "airplane" / "test" / "airplane_0002.off").write_text(
        "OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n"
    )
    with pytest.raises(DataError, match=r"airplane/test/airplane_0002\.off.*has no faces"):
        modelnet40_dataset("test", num_points=8, data_dir=tmp_path)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 10"):
        assert len(modelnet40_dataset("test", num_points=8, data_dir=tmp_path, on_error="skip")) == 9
    write_resampled(tmp_path)
    with pytest.raises(DataError, match="airplane_0001: it has 16 points, 17 are asked for"):
        modelnet40_dataset("test", num_points=17, data_dir=tmp_path)
    (tmp_path / "airplane" / "airplane_0001.txt").unlink()
    with pytest.raises(DataError, match=r"airplane_0001: .*airplane_0001\.txt is missing"):
        modelnet40_dataset("test", num_points=8, data_dir=tmp_path)
    (tmp_path / "modelnet40_test.txt").write_text("spoon_0001\n")
    with pytest.raises(DataError, match="unknown class 'spoon'"):
        modelnet40_dataset("test", num_points=8, data_dir=tmp_path)


def test_damaged_h5_and_missing_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_modelnet_h5(tmp_path)
    path = tmp_path / "ply_data_test1.h5"
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"<html></html>"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"ply_data_test1\.h5 cannot be read"):
            modelnet40_dataset("test", num_points=8, data_dir=tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"lists ply_data_test1\.h5, which is not beside it"):
        modelnet40_dataset("test", num_points=8, data_dir=tmp_path)
    hdf5(path, data=np.zeros((2, POINTS, 3)))
    with pytest.raises(DataError, match=r"has no array 'label', it has \['data'\]"):
        modelnet40_dataset("test", num_points=8, data_dir=tmp_path)
    hdf5(path, data=np.zeros((2, POINTS, 3)), label=np.zeros(3))
    with pytest.raises(DataError, match="different lengths"):
        modelnet40_dataset("test", num_points=8, data_dir=tmp_path)
    hdf5(path, data=clouds()[0][:1], label=np.array([40]))
    with pytest.raises(DataError, match=r"ply_data_test1\.h5 entry 0: its label 40 is out of range"):
        modelnet40_dataset("test", num_points=8, data_dir=tmp_path)
    monkeypatch.setattr(_h5.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rapidash\[data\]'"):
        modelnet40_dataset("test", num_points=8, data_dir=tmp_path)


# ---- ScanObjectNN ----


def test_scanobjectnn(tmp_path: Path) -> None:
    pos, _ = clouds()
    labels, mask = np.arange(SIZE), np.tile(np.array([-1, 0, 3, -1] * 4), (SIZE, 1))
    for part in ("training", "test"):
        file = tmp_path / "h5_files" / "main_split" / f"{part}_objectdataset_augmentedrot_scale75.h5"
        hdf5(file, data=pos, label=labels, mask=mask)
    data = scanobjectnn_dataset("test", num_points=8, data_dir=tmp_path)
    assert data.tensors["label"].tolist() == labels.tolist()
    assert data.tensors["object"][:8].tolist() == [0, 1, 1, 0] * 2
    assert len(scanobjectnn_dataset("val", num_points=8, data_dir=tmp_path)) == 1
    assert len(SCANOBJECTNN_CLASSES) == 15
    with pytest.raises(FileNotFoundError, match=r"main_split_nobg/test_objectdataset\.h5.*hkust"):
        scanobjectnn_dataset("test", variant="objectdataset", background=False, data_dir=tmp_path)
    with pytest.raises(ValueError, match="unknown variant 'hard'"):
        scanobjectnn_dataset("test", variant="hard", data_dir=tmp_path)
    hdf5(file, data=pos, label=labels + 10)
    with pytest.raises(DataError, match="entry 5: its label 15 is out of range"):
        scanobjectnn_dataset("test", num_points=8, data_dir=tmp_path)


def test_scanobjectnn_does_not_take_another_split_for_the_one_asked(tmp_path: Path) -> None:
    pos, _ = clouds()
    name = "test_objectdataset.h5"
    for folder in ("h5_files/main_split_nobg", "h5_files/split1"):
        hdf5(tmp_path / folder / name, data=pos, label=np.arange(SIZE))
    read = partial(scanobjectnn_dataset, "test", variant="objectdataset", num_points=8)
    for data_dir in (tmp_path, tmp_path / "h5_files/main_split_nobg", tmp_path / "h5_files/split1" / name):
        with pytest.raises(FileNotFoundError, match=r"main_split/test_objectdataset\.h5"):
            read(data_dir=data_dir)
    for data_dir in (tmp_path, tmp_path / "h5_files/main_split_nobg", tmp_path / "h5_files/main_split_nobg" / name):
        assert len(read(data_dir=data_dir, background=False)) == SIZE
    hdf5(tmp_path / "mine" / name, data=pos, label=np.arange(SIZE))
    assert len(read(data_dir=tmp_path / "mine")) == len(read(data_dir=tmp_path / "mine" / name)) == SIZE


# ---- ShapeNet part ----


def shapenet_parts() -> tuple[np.ndarray, np.ndarray]:
    """Categories Airplane (parts 0 to 3) and Chair (12 to 15), and the parts."""
    label = np.array([0, 4] * 5)
    return label, np.arange(POINTS)[None] % 4 + np.where(label == 0, 0, 12)[:, None]


def write_part_txt(folder: Path) -> None:
    pos, normals = clouds()
    _, part = shapenet_parts()
    (folder / "train_test_split").mkdir()
    names = [f"shape_data/{('02691156', '03001627')[k % 2]}/shape{k}" for k in range(SIZE)]
    for split in ("train", "val", "test"):
        (folder / "train_test_split" / f"shuffled_{split}_file_list.json").write_text(json.dumps(names))
    for k, name in enumerate(names):
        path = folder / name.split("/", 1)[1]
        path.parent.mkdir(exist_ok=True)
        np.savetxt(f"{path}.txt", np.concatenate([pos[k], normals[k], part[k][:, None]], axis=1))


def write_part_txt_without_normals(folder: Path) -> None:
    write_part_txt(folder)
    for path in folder.glob("0*/*.txt"):
        np.savetxt(path, np.loadtxt(path)[:, [0, 1, 2, 6]])


def write_part_pts(folder: Path) -> None:
    write_part_txt(folder)
    for path in folder.glob("0*/*.txt"):
        table, first = np.loadtxt(path), 0 if path.parent.name == "02691156" else 12
        for kind in ("points", "points_label"):
            (path.parent / kind).mkdir(exist_ok=True)
        np.savetxt(path.parent / "points" / f"{path.stem}.pts", table[:, :3])
        np.savetxt(path.parent / "points_label" / f"{path.stem}.seg", table[:, 6] - first + 1, fmt="%d")
        path.unlink()


def write_part_h5(folder: Path) -> None:
    label, part = shapenet_parts()
    for split in ("train", "val", "test"):
        (folder / f"{split}_hdf5_file_list.txt").write_text(f"ply_data_{split}0.h5\n")
        hdf5(folder / f"ply_data_{split}0.h5", data=clouds()[0], label=label[:, None], pid=part)


@pytest.mark.parametrize("num_columns", [3, 5, 6, 8])
def test_columns_that_part_files_do_not_have(tmp_path: Path, num_columns: int) -> None:
    write_part_txt(tmp_path)
    for path in tmp_path.glob("*/*.txt"):
        np.savetxt(path, np.resize(np.loadtxt(path), (16, num_columns)))
    with pytest.raises(DataError, match=f"has {num_columns} columns, expected 4 or 7"):
        shapenet_part_dataset("train", data_dir=tmp_path)


@pytest.mark.parametrize("write", [write_part_txt, write_part_txt_without_normals, write_part_pts, write_part_h5])
def test_every_layout_of_shapenet_part(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    data = shapenet_part_dataset("val", data_dir=tmp_path)
    label, part = shapenet_parts()
    assert data.tensors["label"].tolist() == label.tolist()
    assert data.tensors["part"].tolist() == part.flatten().tolist()
    assert ("normal" in data.fields) == (write is write_part_txt)
    np.testing.assert_allclose(data.tensors["pos"][:POINTS], unit_ball(clouds()[0][0]), atol=1e-6)
    assert data.info["parts"]["Chair"] == (12, 13, 14, 15)


def test_part_labels_of_the_benchmark() -> None:
    assert SHAPENET_PARTS["Motorbike"] == (30, 31, 32, 33, 34, 35)
    assert SHAPENET_PARTS["Table"] == (47, 48, 49)
    assert sorted(sum(SHAPENET_PARTS.values(), ())) == list(range(50))
    assert len(SHAPENET_CATEGORIES) == 16


def test_bad_parts_are_named(tmp_path: Path) -> None:
    write_part_txt(tmp_path)
    path = tmp_path / "03001627" / "shape1.txt"
    table = np.loadtxt(path)
    table[5, 6] = 3
    np.savetxt(path, table)
    message = "03001627/shape1: point 5 has the part label 3, out of range for Chair: expected 12 to 15"
    with pytest.raises(DataError, match=message):
        shapenet_part_dataset("train", data_dir=tmp_path)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 10"):
        assert len(shapenet_part_dataset("train", data_dir=tmp_path, on_error="skip")) == 9
    table[5, 6] = 12.5
    np.savetxt(path, table)
    with pytest.raises(DataError, match=r"point 5 has the part label 12\.5, out of range"):
        shapenet_part_dataset("train", data_dir=tmp_path)
    listing = tmp_path / "train_test_split" / "shuffled_test_file_list.json"
    listing.write_text('["shape_data/123/x"]')
    with pytest.raises(DataError, match="unknown category folder '123'"):
        shapenet_part_dataset("test", data_dir=tmp_path)
    listing.write_text('["shape_data/123')
    with pytest.raises(DataError, match=r"shuffled_test_file_list\.json cannot be read"):
        shapenet_part_dataset("test", data_dir=tmp_path)


# ---- several layouts ----


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(SIZE) + 0.5, "entry 0: its label 0.5 is out of range, expected 0 to"),
        (np.full(SIZE, np.nan), "entry 0: its label nan is out of range"),
        (np.eye(SIZE), r"'label' has the shape \(10, 10\), expected one number for each of 10 entries"),
        (np.array([b"chair"] * SIZE), "'label' is .*, expected numbers by entry"),
        (np.float64(3), "'label' is float64 of shape .*, expected numbers by entry"),
    ],
)
def test_labels_in_h5_are_checked_before_they_are_cast(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    pos, part = clouds()[0], np.zeros((SIZE, POINTS), int)
    hdf5(tmp_path / "main_split" / "test_objectdataset_augmentedrot_scale75.h5", data=pos, label=labels)
    hdf5(tmp_path / "all.h5", data=pos, label=labels, pid=part)
    (tmp_path / "test_files.txt").write_text("all.h5")
    (tmp_path / "train_files.txt").write_text("all.h5")
    for split in ("train", "test"):
        (tmp_path / f"{split}_hdf5_file_list.txt").write_text("all.h5")
    for read in (modelnet40_dataset, scanobjectnn_dataset, shapenet_part_dataset):
        with pytest.raises(DataError, match=message):
            read("test", num_points=8, data_dir=tmp_path)


def test_masks_and_parts_in_other_shapes(tmp_path: Path) -> None:
    pos, mask = clouds()[0], np.ones((SIZE, POINTS))
    mask[2, 3] = np.nan
    file = tmp_path / "main_split" / "test_objectdataset_augmentedrot_scale75.h5"
    hdf5(file, data=pos, label=np.arange(SIZE), mask=mask)
    with pytest.raises(DataError, match="entry 2: its 'mask' is not finite"):
        scanobjectnn_dataset("test", num_points=8, data_dir=tmp_path)
    label, part = shapenet_parts()
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}_hdf5_file_list.txt").write_text("all.h5")
    hdf5(tmp_path / "all.h5", data=pos, label=label, pid=part[..., None])
    assert shapenet_part_dataset("val", data_dir=tmp_path).tensors["part"].tolist() == part.flatten().tolist()


def test_hidden_files_are_no_meshes(tmp_path: Path) -> None:
    write_off(tmp_path)
    for kind in ("airplane", "night_stand"):
        (tmp_path / "ModelNet40" / kind / "test" / f"._{kind}_0001.off").write_bytes(b"\x00\x05\x16\x07")
    assert len(modelnet40_dataset("test", num_points=8, data_dir=tmp_path)) == 10
