import gzip
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rapidash.datasets._image_clouds import superpixel_clouds
from rapidash.datasets._mnist import mnist_superpixels_dataset
from rapidash.datasets._reading import DataError, ReadDataset
from rapidash.groups import Position, Scalar

SIZE = 12


def toy() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(SIZE, 28, 28), dtype=np.uint8), (np.arange(SIZE) % 10).astype(np.uint8)


def idx(array: np.ndarray) -> bytes:
    return b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder: Path, *, compressed: bool) -> None:
    for stem in ("train", "t10k"):
        for kind, array in zip(("images-idx3", "labels-idx1"), toy()):
            name = f"{stem}-{kind}-ubyte"
            if compressed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / name).write_bytes(idx(array))


def write_npz(folder: Path, images: np.ndarray | None = None, labels: np.ndarray | None = None) -> None:
    images, labels = toy()[0] if images is None else images, toy()[1] if labels is None else labels
    np.savez(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)


def read_test(folder: Path, **options: Any) -> ReadDataset:
    return mnist_superpixels_dataset("test", **{"data_dir": folder, "cache_dir": folder, "verify": False, **options})


@pytest.mark.parametrize("layout", ["npz", "idx", "gz"])
def test_every_layout_gives_the_same_clouds(tmp_path: Path, layout: str) -> None:
    if layout == "npz":
        write_npz(tmp_path)
    else:
        write_idx(tmp_path, compressed=layout == "gz")

    def read(split: str, **arguments: object) -> object:
        settings = {"data_dir": tmp_path, "cache_dir": tmp_path / "cache", "verify": False, **arguments}
        return mnist_superpixels_dataset(split, **settings)

    data = read("test")
    kinds = {name: (field.representation, field.unit, field.level) for name, field in data.fields.items()}
    assert kinds == {
        "pos": (Position(), "pixel", "point"),
        "intensity": (Scalar(), "1", "point"),
        "area": (Scalar(), "pixel^2", "point"),
        "label": (Scalar(), "1", "cloud"),
    }
    assert data.tensors["pos"].shape[1] == 2
    assert data.tensors["label"].tolist() == toy()[1].tolist()
    clouds = superpixel_clouds(toy()[0], 9)
    assert torch.equal(data.tensors["pos"], clouds["pos"])
    assert (len(read("train")), len(read("val")), len(read("train", size=3))) == (10, 2, 3)
    assert torch.equal(read("test", size=3).tensors["pos"], data.subset(torch.arange(3)).tensors["pos"])


def test_bad_files_are_named(tmp_path: Path) -> None:
    write_idx(tmp_path, compressed=True)
    arguments = {"data_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz has the md5 checksum"):
        mnist_superpixels_dataset("train", **arguments)
    arguments["verify"] = False
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for damaged, message in {
        whole[:-100]: "cannot be read",
        gzip.compress(idx(toy()[0])[:-10]): "is cut short",
        gzip.compress(b"<html>"): "is not an idx file",
        gzip.compress(idx(np.zeros((3, 10, 10), dtype=np.uint8))): r"expected \(B, 28, 28\)",
    }.items():
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"t10k-images-idx3-ubyte\.gz.*{message}"):
            mnist_superpixels_dataset("test", **arguments)
    path.write_bytes(whole)
    labels = toy()[1]
    labels[4] = 11
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    with pytest.raises(DataError, match="image 4 of 'test': its label 11 is out of range"):
        mnist_superpixels_dataset("test", **arguments)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 12"):
        assert len(mnist_superpixels_dataset("test", **arguments, on_error="skip")) == SIZE - 1
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels"):
        mnist_superpixels_dataset("test", **arguments)
    write_npz(tmp_path)
    with pytest.raises(DataError, match=r"mnist\.npz has the sha256 checksum"):
        mnist_superpixels_dataset("test", data_dir=tmp_path)
    with pytest.raises(ValueError, match="num_superpixels"):
        mnist_superpixels_dataset("test", num_superpixels=3, data_dir=tmp_path)
    with pytest.raises(ValueError, match="size"):
        mnist_superpixels_dataset("test", size=0, data_dir=tmp_path)


def test_other_data_sets_with_files_of_the_same_names_are_passed_over(tmp_path: Path) -> None:
    for name in ("FashionMNIST", "MNIST", "kmnist"):
        (tmp_path / name / "raw").mkdir(parents=True)
        write_idx(tmp_path / name / "raw", compressed=False)
    assert read_test(tmp_path).source.parts[-3:-1] == ("MNIST", "raw")
    shutil.rmtree(tmp_path / "MNIST")
    with pytest.raises(FileNotFoundError, match=r"FashionMNIST.*passed over"):
        read_test(tmp_path)
    assert len(read_test(tmp_path / "FashionMNIST")) == SIZE  # asked for by its own folder
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte has the md5 checksum"):
        read_test(tmp_path / "FashionMNIST", verify=True)


@pytest.mark.parametrize("spelling", ["t10k-{}-idx{}-ubyte/t10k-{}-idx{}-ubyte", "t10k-{}.idx{}-ubyte"])
def test_both_spellings_of_the_kaggle_archive_are_read(tmp_path: Path, spelling: str) -> None:
    for kind, axes, array in zip(("images", "labels"), (3, 1), toy()):
        file = tmp_path / spelling.format(kind, axes, kind, axes)
        for folder in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", file.parent):
            (tmp_path / folder).mkdir(exist_ok=True)
        file.write_bytes(idx(array))
    assert read_test(tmp_path).tensors["label"].tolist() == toy()[1].tolist()


@pytest.mark.parametrize("label", [256, -1, 2.5, np.nan])
def test_labels_are_checked_before_they_are_cast(tmp_path: Path, label: float) -> None:
    labels = toy()[1].astype(float if isinstance(label, float) else int)
    labels[4] = label
    write_npz(tmp_path, labels=labels)
    with pytest.raises(DataError, match=rf"mnist.npz, image 4 of 'test': its label {label}.* is out of range"):
        read_test(tmp_path)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 12"):
        assert len(read_test(tmp_path, on_error="skip")) == SIZE - 1


@pytest.mark.parametrize("pixel", [256, -1, 2.5, np.nan])
def test_pixels_are_checked_before_they_are_cast(tmp_path: Path, pixel: float) -> None:
    images = toy()[0].astype(float if isinstance(pixel, float) else int)
    write_npz(tmp_path, images)
    assert torch.equal(read_test(tmp_path).tensors["intensity"], superpixel_clouds(toy()[0], 9)["value"])
    images[4, 3, 2] = pixel
    write_npz(tmp_path, images)
    with pytest.raises(DataError, match=r"mnist.npz, image 4 of 'test': its pixels are not whole numbers"):
        read_test(tmp_path)


def test_pixels_scaled_to_one_are_refused(tmp_path: Path) -> None:
    write_npz(tmp_path, toy()[0] / 255)
    with pytest.raises(DataError, match=r"mnist.npz: the pixels are scaled to \[0, 1\].*undo that"):
        read_test(tmp_path, on_error="skip")
    write_npz(tmp_path, toy()[0] / 127.5 - 1)
    with pytest.raises(DataError, match=r"the pixels are scaled to \[-1, 1\]"):
        read_test(tmp_path)


def test_labels_may_be_a_column_and_objects_are_named(tmp_path: Path) -> None:
    write_npz(tmp_path, labels=toy()[1][:, None])
    assert read_test(tmp_path).tensors["label"].tolist() == toy()[1].tolist()
    write_npz(tmp_path, labels=np.array([None] * SIZE))
    with pytest.raises(DataError, match=r"mnist\.npz: 'y_test' holds Python objects"):
        read_test(tmp_path)


def test_the_unpacked_originals_pass_the_check(shared_data: Path, tmp_path: Path) -> None:
    with np.load(shared_data / "mnist.npz") as arrays:
        for kind, array in (("images-idx3", arrays["x_test"]), ("labels-idx1", arrays["y_test"].astype(np.uint8))):
            (tmp_path / f"t10k-{kind}-ubyte").write_bytes(idx(array))
    assert read_test(tmp_path, size=5, verify=True).tensors["label"].tolist() == [7, 2, 1, 0, 4]


def test_shared_images(shared_data: Path, tmp_path: Path) -> None:
    data = mnist_superpixels_dataset("test", size=50, data_dir=shared_data, cache_dir=tmp_path)
    assert data.tensors["label"][:5].tolist() == [7, 2, 1, 0, 4]
    assert 60 < data.num_points.float().mean() <= 81
