"""Folders of ShapeNet in the layout of PointFlow."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.datasets import SHAPENET_SYNSETS, DataError, shapenet_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three chairs and one mug of each split, 50 points; the first chair of training has the rows 0, 1, 2, ..."""
    rng = np.random.default_rng(0)
    for synset, count in ((SHAPENET_SYNSETS["chair"], 3), (SHAPENET_SYNSETS["mug"], 1)):
        for split in ("train", "val", "test"):
            place = tmp_path / "ShapeNetCore.v2.PC15k" / synset / split
            place.mkdir(parents=True)
            for index in range(count):
                np.save(place / f"{index}.npy", rng.normal(size=(50, 3)))
    rows = np.arange(150.0).reshape(50, 3)
    np.save(tmp_path / "ShapeNetCore.v2.PC15k" / "03001627" / "train" / "0.npy", rows)
    return tmp_path


def test_points_are_rows_of_the_files_the_same_in_every_run(folder: Path) -> None:
    data = shapenet_dataset("train", num_points=8, normalize=False, data_dir=folder)
    assert (len(data), data.num_points.tolist(), data.info["class_names"]) == (3, [8, 8, 8], ("chair",))
    first = data.tensors["pos"][:8]
    assert torch.equal(first[:, 1:], first[:, :1] + torch.tensor([1.0, 2.0]))  # whole rows
    assert len({*first[:, 0].tolist()}) == 8
    assert first[:, 0].tolist() != sorted(first[:, 0].tolist())
    both = shapenet_dataset("train", classes=("mug", "03001627"), num_points=8, normalize=False, data_dir=folder)
    assert both.tensors["label"].tolist() == [0, 1, 1, 1]
    assert torch.equal(both.tensors["pos"][8:], data.tensors["pos"])
    whole = shapenet_dataset("test", num_points=None, data_dir=folder / "ShapeNetCore.v2.PC15k")
    assert whole.num_points.tolist() == [50] * 3
    sizes = whole.tensors["pos"].view(3, 50, 3).norm(dim=2).amax(1)
    torch.testing.assert_close(sizes, torch.ones(3))


def test_what_is_not_there_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no class 'sofa' of ShapeNet: looked for '04256520/val/\*\.npy' .*PC15k"
    ):
        shapenet_dataset("val", classes=("chair", "sofa"), data_dir=folder)
    with pytest.raises(ValueError, match="unknown class of ShapeNet: 'chairs', expected one of 'airplane', "):
        shapenet_dataset("val", classes=("chairs",), data_dir=folder)
    with pytest.raises(ValueError, match="classes is empty"):
        shapenet_dataset("val", classes=(), data_dir=folder)
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        shapenet_dataset("dev", data_dir=folder)
    monkeypatch.delenv("RAPIDASH_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="no folder to read class 'chair' of ShapeNet from"):
        shapenet_dataset("val")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "1.npy cannot be read"),
        (lambda path: path.write_bytes(b"no array"), "1.npy cannot be read"),
        (lambda path: np.save(path, np.array([{"a": 1}]), allow_pickle=True), "1.npy cannot be read"),
        (lambda path: np.save(path, np.zeros((50, 3), dtype="U3")), "expected numbers"),
        (lambda path: np.save(path, np.zeros(50)), "expected numbers"),
        (lambda path: np.save(path, np.zeros((50, 2))), r"have the shape \(20, 2\)"),
        (lambda path: np.save(path, np.zeros((10, 3))), "it has 10 points, 20 are asked for"),
        (lambda path: np.save(path, np.full((50, 3), np.nan)), "not finite"),
    ],
)
def test_a_damaged_shape_is_named_or_left_out(folder: Path, damage: object, said: str) -> None:
    damage(folder / "ShapeNetCore.v2.PC15k" / "03001627" / "train" / "1.npy")
    with pytest.raises(DataError, match=r"03001627/train/1\.npy") as told:
        shapenet_dataset("train", num_points=20, data_dir=folder)
    assert told.match(said)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 3"):
        assert len(shapenet_dataset("train", num_points=20, data_dir=folder, on_error="skip")) == 2
