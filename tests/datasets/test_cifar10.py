import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rapidash.datasets._cifar10 import CIFAR10_CLASSES, cifar10_superpixels_dataset
from rapidash.datasets._image_clouds import superpixel_clouds
from rapidash.datasets._reading import DataError, ReadDataset
from rapidash.groups import Position, Scalar

SIZE = 12  # images of the training part; the test part is the first two


def toy() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(SIZE, 32, 32, 3), dtype=np.uint8), (np.arange(SIZE) % 10).astype(np.uint8)


def write_npz(folder: Path, name: str = "cifar10_subset.npz", **changes: np.ndarray) -> None:
    images, labels = toy()
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:2], "y_test": labels[:2]}
    np.savez(folder / name, **(arrays | {"class_name": np.array(CIFAR10_CLASSES)} | changes))


def batches() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Rows of 3072 values, channels first, and labels, of each file: 3, 3, 2, 2, 2 images and 2."""
    images, labels = toy()
    rows = images.transpose(0, 3, 1, 2).reshape(SIZE, -1)
    parts = {f"data_batch_{k + 1}": part for k, part in enumerate(np.array_split(np.arange(SIZE), 5))}
    return {name: (rows[part], labels[part]) for name, part in (parts | {"test_batch": np.arange(2)}).items()}


def write_python(folder: Path, *, of_python_2: bool = True) -> None:
    for name, (rows, labels) in batches().items():
        content: dict[Any, Any] = {"data": rows, "labels": labels.tolist(), "batch_label": name}
        if not of_python_2:
            content = {key.encode(): value for key, value in content.items()}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2 if of_python_2 else 4))


def write_binary(folder: Path) -> None:
    for name, (rows, labels) in batches().items():
        (folder / f"{name}.bin").write_bytes(np.concatenate([labels[:, None], rows], axis=1).tobytes())


def read(folder: Path, split: str = "test", **options: Any) -> ReadDataset:
    settings = {"num_superpixels": 36, "data_dir": folder, "cache_dir": folder / "cache", "verify": False, **options}
    return cifar10_superpixels_dataset(split, **settings)


@pytest.mark.parametrize("layout", ["npz", "npz of keras", "python 2", "python 3", "binary"])
def test_every_layout_gives_the_same_clouds(tmp_path: Path, layout: str) -> None:
    if layout.startswith("npz"):
        keras = layout.endswith("keras")
        name = "cifar10.npz" if keras else "cifar10_subset.npz"
        write_npz(tmp_path, name, **({"y_train": toy()[1][:, None]} if keras else {}))
    elif layout == "binary":
        write_binary(tmp_path)
    else:
        write_python(tmp_path, of_python_2=layout == "python 2")
    data = read(tmp_path)
    kinds = {name: (field.representation, field.unit, field.level) for name, field in data.fields.items()}
    assert kinds == {
        "pos": (Position(), "pixel", "point"),
        "color": (Scalar(), "1", "point"),
        "area": (Scalar(), "pixel^2", "point"),
        "label": (Scalar(), "1", "cloud"),
    }
    assert data.info["class_names"] == CIFAR10_CLASSES
    clouds = superpixel_clouds(toy()[0], 6)
    train, val = read(tmp_path, "train"), read(tmp_path, "val")
    assert (len(train), len(val), len(data), len(read(tmp_path, "train", size=3))) == (10, 2, 2, 3)
    for name, of_cloud in (("pos", "pos"), ("color", "value"), ("area", "area")):
        assert torch.equal(torch.cat([train.tensors[name], val.tensors[name]]), clouds[of_cloud])
    assert torch.equal(torch.cat([train.tensors["label"], val.tensors["label"]]), torch.arange(SIZE) % 10)
    assert torch.equal(data.tensors["color"], train.subset(torch.arange(2)).tensors["color"])


def test_channels_and_axes_have_their_places(tmp_path: Path) -> None:
    image = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    image[:, :8, :, 0] = 255  # red above
    image[:, 8:, :, 2] = 255  # blue below
    write_npz(tmp_path, x_test=image)
    data = read(tmp_path)
    above = data.tensors["pos"][:, 1] > 16 - 8
    assert (data.tensors["color"][above] == torch.tensor([1.0, 0.0, 0.0])).all()
    assert (data.tensors["color"][~above] == torch.tensor([0.0, 0.0, 1.0])).all()


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"CIFAR-10.*cifar-10-python\.tar\.gz"):
        read(tmp_path)
    write_binary(tmp_path)
    path = tmp_path / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"test_batch\.bin has 6141 bytes, expected a multiple of 3073"):
        read(tmp_path)
    (tmp_path / "data_batch_4.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"data_batch_4\.bin is missing"):
        read(tmp_path, "train")
    write_python(tmp_path)
    with pytest.raises(DataError, match="test_batch has the md5 checksum"):
        read(tmp_path, verify=True)
    for content, message in (
        ([1], "holds a list, expected a dict"),
        ({"data": toy()[0]}, "has no 'labels'"),
        ({"data": toy()[0].reshape(SIZE, -1)[:, :-1], "labels": [0] * SIZE}, r"data \(12, 3071\)"),
        ({"data": np.zeros((1, 3072), int), "labels": [Path("x")]}, "refused because a pickle can run code"),
    ):
        (tmp_path / "test_batch").write_bytes(pickle.dumps(content))
        with pytest.raises(DataError, match=f"test_batch.*{message}"):
            read(tmp_path)
    for name in batches():
        (tmp_path / name).unlink()
    write_binary(tmp_path)
    batch = tmp_path / "data_batch_2.bin"
    batch.write_bytes(batch.read_bytes()[:3073] + b"\x0b" + batch.read_bytes()[3074:])
    with pytest.raises(DataError, match=r"data_batch_2\.bin, image 1: its label 11 is out of range"):
        read(tmp_path, "train")
    write_npz(tmp_path, "cifar10.npz", y_test=np.array([1, 10]))
    with pytest.raises(
        DataError, match=r"cifar10\.npz, image 1 of 'test': its label 10 is out of range, expected 0 to 9"
    ):
        read(tmp_path)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 2"):
        assert len(read(tmp_path, on_error="skip")) == 1
    write_npz(tmp_path, "cifar10.npz", x_test=np.full((2, 32, 32, 3), 300))
    with pytest.raises(DataError, match="image 0 of 'test': its pixels are not whole numbers"):
        read(tmp_path)
    write_npz(tmp_path, "cifar10.npz", x_test=toy()[0][:2].transpose(0, 3, 1, 2))
    with pytest.raises(DataError, match=r"images \(2, 3, 32, 32\).*expected \(B, 32, 32, 3\)"):
        read(tmp_path)
    write_npz(tmp_path, "cifar10.npz", class_name=np.array(CIFAR10_CLASSES)[::-1])
    with pytest.raises(DataError, match=r"its classes are .*, expected those of CIFAR-10"):
        read(tmp_path)
    for options, message in (({"num_superpixels": 3}, "num_superpixels"), ({"size": 0}, "size")):
        with pytest.raises(ValueError, match=message):
            read(tmp_path, **options)


def test_shared_images(shared_data: Path, tmp_path: Path) -> None:
    def read_shared(split: str, **options: Any) -> ReadDataset:
        path = shared_data / "cifar10_subset.npz"
        return cifar10_superpixels_dataset(split, data_dir=path, cache_dir=tmp_path, **options)

    data = read_shared("test", size=50)
    assert data.tensors["label"][:5].tolist() == [7, 2, 8, 6, 4]
    assert 115 < data.num_points.float().mean() <= 121
    with np.load(shared_data / "cifar10_subset.npz") as arrays:
        mean = arrays["x_test"][:50].mean(axis=(0, 1, 2)) / 255
    weighted = (data.tensors["color"] * data.tensors["area"]).sum(0) / data.tensors["area"].sum()
    np.testing.assert_allclose(weighted, mean, rtol=1e-4)
    assert len(read_shared("val", num_superpixels=4)) == 1334
