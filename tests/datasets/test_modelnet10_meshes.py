"""ModelNet10 as the official folders of off files: parts, classes, and points by area."""

from pathlib import Path

import pytest
import torch

from rapidash.datasets import modelnet10_dataset, modelnet40_dataset
from rapidash.datasets._reading import DataError
from rapidash.tasks import get_task

# two right triangles in the plane z = 1: one of area 3 at x > 0, one of area 1 at x < 0
TWO = "OFF\n6 2 0\n0 0 1\n3 0 1\n0 2 1\n-10 0 1\n-9 0 1\n-10 2 1\n3 0 1 2\n3 3 4 5\n"
KINDS = ("bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table", "toilet")


def write(folder: Path, kinds: tuple[str, ...] = KINDS, sizes: dict[str, int] | None = None) -> None:
    for kind in kinds:
        for part, size in (sizes or {"train": 2, "test": 1}).items():
            (folder / kind / part).mkdir(parents=True)
            for number in range(1, size + 1):
                (folder / kind / part / f"{kind}_{number:04d}.off").write_text(TWO)


def test_official_folders_have_their_parts_and_classes(tmp_path: Path) -> None:
    write(tmp_path / "ModelNet10")
    options = {"data_dir": tmp_path, "num_points": 32, "val_fraction": 0.25}
    parts = {split: modelnet10_dataset(split, **options) for split in ("train", "val", "test")}
    assert [len(part) for part in parts.values()] == [15, 5, 10]
    assert parts["test"].tensors["label"].tolist() == list(range(10))
    assert parts["test"].info["class_names"] == KINDS
    labels = torch.cat([parts[name].tensors["label"] for name in ("train", "val")])
    assert labels.bincount().tolist() == [2] * 10


def test_points_lie_on_the_surface_by_area_and_depend_on_the_seed(tmp_path: Path) -> None:
    write(tmp_path)
    options = {"data_dir": tmp_path, "num_points": 4000, "normalize": False}
    pos = modelnet10_dataset("test", **options).tensors["pos"].reshape(10, 4000, 3)
    assert (pos[..., 2] == 1).all()
    is_large = pos[..., 0] > -1
    assert is_large.double().mean(dim=1).sub(0.75).abs().max() < 0.03  # 0.0068 is the deviation of a share
    large = pos[0][is_large[0]]
    assert (large[:, 0] / 3 + large[:, 1] / 2 <= 1 + 1e-6).all()
    assert large.mean(dim=0).tolist() == pytest.approx([1, 2 / 3, 1], abs=0.05)  # the centroid of the triangle
    again = modelnet10_dataset("test", **options).tensors["pos"].reshape(10, 4000, 3)
    other = modelnet10_dataset("test", **options, seed=1).tensors["pos"].reshape(10, 4000, 3)
    assert torch.equal(pos, again)
    assert not torch.equal(pos, other)
    assert not torch.equal(pos[0], pos[1])  # a stream for each file
    normal = modelnet10_dataset("test", **options).tensors["normal"]
    assert normal[0].tolist() == [0, 0, 1]


def test_modelnet40_beside_it_is_another_data_set(tmp_path: Path) -> None:
    write(tmp_path / "ModelNet10")
    write(tmp_path / "ModelNet40", (*KINDS, "airplane"), {"train": 1, "test": 1})
    assert len(modelnet10_dataset("test", data_dir=tmp_path, num_points=8)) == 10
    assert len(modelnet40_dataset("test", data_dir=tmp_path, num_points=8)) == 11
    (tmp_path / "ModelNet10" / "lamp" / "test").mkdir(parents=True)
    (tmp_path / "ModelNet10" / "lamp" / "test" / "lamp_0001.off").write_text(TWO)
    with pytest.raises(DataError, match=r"lamp/test/lamp_0001\.off: unknown class 'lamp'"):
        modelnet10_dataset("test", data_dir=tmp_path, num_points=8)
    with pytest.raises(FileNotFoundError, match=r"no ModelNet10: looked for 'modelnet10\.npz' or .*modelnet\.cs"):
        modelnet10_dataset("test", data_dir=tmp_path / "ModelNet40" / "airplane" / "test")


def test_the_task_takes_them(tmp_path: Path) -> None:
    write(tmp_path)
    task = get_task("modelnet10", data_dir=str(tmp_path), num_points=16, num_train=5)
    batch = task.dataset("train").batch(torch.arange(5))
    assert batch["pos"].shape == (80, 3)
    assert task.class_names() == KINDS
