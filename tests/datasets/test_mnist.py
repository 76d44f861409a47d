import gzip
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rapidash.datasets import _superpixels
from rapidash.datasets._mnist import mnist_superpixels_dataset, superpixel_clouds
from rapidash.datasets._reading import DataError, ReadDataset
from rapidash.datasets._superpixels import superpixels
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


def test_clouds_keep_mass_and_center_of_the_image() -> None:
    images = toy()[0]
    clouds = superpixel_clouds(images, 5)
    owner = torch.repeat_interleave(torch.arange(SIZE), clouds["num_points"])
    pixels = torch.zeros(SIZE, 1).index_add(0, owner, clouds["area"])
    mass = torch.zeros(SIZE, 1).index_add(0, owner, clouds["area"] * clouds["intensity"])
    center = torch.zeros(SIZE, 2).index_add(0, owner, clouds["area"] * clouds["pos"])
    assert pixels.unique().tolist() == [784]
    np.testing.assert_allclose(mass[:, 0], images.reshape(SIZE, -1).sum(1) / 255, rtol=1e-5)
    assert center.abs().max() < 1e-2


def test_a_super_pixel_does_not_cross_a_strong_edge() -> None:
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, :, 10:] = 255  # an edge that is no border of the 4 x 4 grid of seeds
    clouds = superpixel_clouds(image, 4)
    assert set(clouds["intensity"].unique().tolist()) == {0.0, 1.0}
    dark = clouds["intensity"][:, 0] == 0
    assert clouds["pos"][dark, 0].max() < 10 - 13.5 < clouds["pos"][~dark, 0].min()  # x to the right
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, :7] = 255
    bright = superpixel_clouds(image, 4)
    assert (bright["pos"][bright["intensity"][:, 0] > 0.5, 1] > 6).all()  # y up


def test_the_grid_without_contrast_stays() -> None:
    member = superpixels(np.full((1, 28, 28), 0.5, dtype=np.float32), per_side=4)
    assert np.array_equal(member[0], np.arange(28)[:, None] // 7 * 4 + np.arange(28) // 7)


def test_backends_agree_and_images_do_not_interact(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    rng = np.random.default_rng(1)
    images = rng.random((5, 28, 28), dtype=np.float32) ** 3
    for per_side in (2, 3, 9):
        fast, slow = (superpixels(images, per_side=per_side, backend=backend) for backend in ("numba", "reference"))
        assert np.array_equal(fast, slow)
        assert np.array_equal(superpixels(images[3:4], per_side=per_side)[0], fast[3])
    assert not np.array_equal(superpixels(images, per_side=9, num_steps=0), fast)
    assert superpixels(images[:, :21, :25], per_side=4).shape == (5, 21, 25)
    monkeypatch.setattr(_superpixels.importlib.util, "find_spec", lambda name: None)
    assert np.array_equal(superpixels(images, per_side=9), fast)
    with pytest.raises(RuntimeError, match="numba"):
        superpixels(images, per_side=9, backend="numba")
    with pytest.raises(ValueError, match="unknown backend 'gpu'"):
        superpixels(images, per_side=9, backend="gpu")
    with pytest.raises(ValueError, match="per_side"):
        superpixels(images, per_side=1)


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
    assert torch.equal(read_test(tmp_path).tensors["intensity"], superpixel_clouds(toy()[0], 9)["intensity"])
    images[4, 3, 2] = pixel
    write_npz(tmp_path, images)
    with pytest.raises(DataError, match=r"mnist.npz, image 4 of 'test': its pixels are not whole numbers"):
        read_test(tmp_path)


def test_pixels_scaled_to_one_are_refused(tmp_path: Path) -> None:
    write_npz(tmp_path, toy()[0] / 255)
    with pytest.raises(DataError, match=r"mnist.npz: the pixels of 'x_test' are scaled to \[0, 1\].*multiply by 255"):
        read_test(tmp_path, on_error="skip")


def test_the_unpacked_originals_pass_the_check(shared_data: Path, tmp_path: Path) -> None:
    with np.load(shared_data / "mnist.npz") as arrays:
        for kind, array in (("images-idx3", arrays["x_test"]), ("labels-idx1", arrays["y_test"].astype(np.uint8))):
            (tmp_path / f"t10k-{kind}-ubyte").write_bytes(idx(array))
    assert read_test(tmp_path, size=5, verify=True).tensors["label"].tolist() == [7, 2, 1, 0, 4]


def test_shared_images(shared_data: Path, tmp_path: Path) -> None:
    data = mnist_superpixels_dataset("test", size=50, data_dir=shared_data, cache_dir=tmp_path)
    assert data.tensors["label"][:5].tolist() == [7, 2, 1, 0, 4]
    assert 60 < data.num_points.float().mean() <= 81
