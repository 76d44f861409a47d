"""Collections of shapes in one npz archive: 69 classes of solids, ModelNet10, and segmented meshes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.datasets._modelnet10 import modelnet10_dataset, morton_codes, morton_points
from rapidash.datasets._reading import DataError
from rapidash.datasets._shapes69 import meshseg_dataset, shapes69_dataset
from tests.datasets.test_shapes import POINTS, SIZE, clouds


def test_shapes69_layout(tmp_path: Path) -> None:
    pos, normals = clouds()
    arrays = {"points": pos.astype(np.float16), "normals": np.round(normals * 127).astype(np.int8)}
    arrays |= {"label": np.arange(SIZE, dtype=np.int8) % 2, "class_name": np.array(["bird", "plane"])}
    arrays |= {"shape_id": np.array([f"m{k}" for k in range(SIZE)]), "fold": np.arange(SIZE, dtype=np.int8) % 5}
    np.savez(tmp_path / "shapes69.npz", **arrays)
    data = shapes69_dataset("val", num_points=8, data_dir=tmp_path, verify=False)
    assert data.tensors["label"].tolist() == [1, 0]
    np.testing.assert_allclose(data.tensors["normal"][:8], normals[1, :8], atol=0.01)
    with pytest.raises(DataError, match="shape m1: it has 16 points, 1024 are asked for"):
        shapes69_dataset("val", data_dir=tmp_path, verify=False)
    np.savez(tmp_path / "shapes69.npz", **(arrays | {"label": np.full(SIZE, 2)}))
    with pytest.raises(DataError, match="label 2 is out of range"):
        shapes69_dataset("val", num_points=8, data_dir=tmp_path, verify=False)


@pytest.mark.parametrize(
    "changes",
    [{"label": np.full(SIZE, np.nan)}, {"label": np.zeros(3, dtype=int)}, {"points": np.zeros((SIZE, 3))}],
)
def test_arrays_of_shapes69_that_do_not_fit(tmp_path: Path, changes: dict[str, np.ndarray]) -> None:
    pos, normals = clouds()
    arrays = {"points": pos, "normals": normals, "label": np.arange(SIZE) % 2, "class_name": np.array(["a", "b"])}
    arrays |= {"shape_id": np.array([f"s{k}" for k in range(SIZE)]), "fold": np.arange(SIZE) % 5}
    np.savez(tmp_path / "shapes69.npz", **(arrays | changes))
    with pytest.raises(DataError, match=r"its label nan is out of range|expected \d axes of numbers"):
        shapes69_dataset("val", num_points=8, data_dir=tmp_path, verify=False)


def morton(pos: np.ndarray) -> np.ndarray:
    """Bytes (4, shapes, points) of the differences of the codes of points with 10 bits a coordinate, in their order."""
    steps = np.round((pos + 1) * 511.5).astype(np.int64)
    code = sum((steps[..., axis] >> bit & 1) << (3 * bit + axis) for bit in range(10) for axis in range(3))
    delta = np.diff(np.sort(code, axis=1), axis=1, prepend=0)
    return np.stack([(delta >> 8 * byte & 255).astype(np.uint8) for byte in range(4)])


def modelnet10_arrays() -> dict[str, np.ndarray]:
    pos = np.clip(clouds()[0] / 4, -1, 1)
    arrays = {"delta": morton(pos), "label": np.arange(SIZE) % 2, "class_name": np.array(["bed", "sofa"])}
    return arrays | {"number": np.arange(SIZE) + 1, "is_test": np.arange(SIZE) >= SIZE - 2}


def test_morton_codes_by_hand() -> None:
    """x = 1, y = 0, z = 1023 steps: bit 0, no bit, and bits 2, 5, ..., 29."""
    code = 1 + sum(1 << (3 * bit + 2) for bit in range(10))
    delta = np.array([[byte] for byte in int(code).to_bytes(4, "little")], dtype=np.uint8)
    np.testing.assert_allclose(morton_points(morton_codes(delta)), [[1 / 511.5 - 1, -1, 1]])
    twice = np.concatenate([delta, np.array([[1], [0], [0], [0]], dtype=np.uint8)], axis=1)
    assert morton_codes(twice).tolist() == [code, code + 1]


def test_modelnet10_layout(tmp_path: Path) -> None:
    arrays = modelnet10_arrays()
    np.savez(tmp_path / "modelnet10.npz", **arrays)
    settings = {"data_dir": tmp_path, "verify": False, "val_fraction": 0.25}
    sizes = [len(modelnet10_dataset(split, num_points=8, **settings)) for split in ("train", "val", "test")]
    assert sizes == [SIZE - 2 - round((SIZE - 2) / 4), round((SIZE - 2) / 4), 2]
    data = modelnet10_dataset("test", num_points=None, normalize=False, **settings)
    assert data.tensors["label"].tolist() == [(SIZE - 2) % 2, (SIZE - 1) % 2]
    expected = np.clip(clouds()[0][SIZE - 2] / 4, -1, 1)
    found = data.tensors["pos"][:POINTS].numpy()
    nearest = np.linalg.norm(found[:, None] - expected[None], axis=-1)
    assert nearest.min(axis=0).max() < 0.002  # 10 bits
    assert nearest.min(axis=1).max() < 0.002
    part = modelnet10_dataset("test", num_points=8, normalize=False, **settings)
    torch.testing.assert_close(part.tensors["pos"][:8], data.tensors["pos"][:8])
    with pytest.raises(DataError, match=r"it has 16 points, 1024 are asked for"):
        modelnet10_dataset("test", **settings)
    np.savez(tmp_path / "modelnet10.npz", **(arrays | {"label": np.full(SIZE, 2)}))
    with pytest.raises(DataError, match="label 2 is out of range"):
        modelnet10_dataset("test", num_points=8, **settings)


@pytest.mark.parametrize(
    "changes", [{"delta": np.zeros((4, SIZE))}, {"label": np.zeros(3, dtype=int)}, {"is_test": np.zeros(SIZE)}]
)
def test_arrays_of_modelnet10_that_do_not_fit(tmp_path: Path, changes: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "modelnet10.npz", **(modelnet10_arrays() | changes))
    with pytest.raises(DataError, match=r"expected uint8 \(4, shapes, points\)|expected a number for each"):
        modelnet10_dataset("test", num_points=8, data_dir=tmp_path, verify=False)


def test_meshseg_layout(tmp_path: Path) -> None:
    pos, normals = clouds()
    people = np.full((SIZE, 3, POINTS), -1, dtype=np.int8)
    people[:, 1] = np.arange(POINTS) % 3
    arrays = {"points": pos, "normals": normals * 127, "category": np.arange(SIZE) % 2, "segmentation": people}
    arrays |= {"category_name": np.array(["cup", "hand"]), "reference": np.ones(SIZE, dtype=int)}
    arrays |= {"is_test": np.arange(SIZE) < 2}
    np.savez(tmp_path / "princeton_meshseg.npz", **arrays)
    sizes = [len(meshseg_dataset(s, num_points=8, data_dir=tmp_path, verify=False)) for s in ("train", "val", "test")]
    assert sizes == [4, 4, 2]
    data = meshseg_dataset("test", num_points=8, data_dir=tmp_path, verify=False)
    assert data.tensors["segment"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1] * 2
    assert data.tensors["segments"][:2].tolist() == [[-1, 0, -1], [-1, 1, -1]]
    np.savez(tmp_path / "princeton_meshseg.npz", **(arrays | {"reference": np.zeros(SIZE, dtype=int)}))
    with pytest.raises(DataError, match="shape 0: its reference person 0 has no segmentation"):
        meshseg_dataset("test", num_points=8, data_dir=tmp_path, verify=False)


def test_shared_modelnet10_has_the_official_parts(shared_data: Path) -> None:
    data = [modelnet10_dataset(split, num_points=16, data_dir=shared_data) for split in ("train", "val", "test")]
    assert [len(part) for part in data] == [3592, 399, 908]
    assert torch.bincount(data[2].tensors["label"]).tolist() == [50, 100, 100, 86, 86, 100, 86, 100, 100, 100]


def test_shared_shapes(shared_data: Path) -> None:
    sizes = [len(shapes69_dataset(split, num_points=32, data_dir=shared_data)) for split in ("train", "val", "test")]
    assert sum(sizes) == 2470
    assert sizes[1:] == [493, 489]
    data = meshseg_dataset("test", num_points=64, data_dir=shared_data)
    assert len(data) == 95
    assert data.tensors["label"].bincount().tolist() == [5] * 19
    assert data.tensors["segments"].shape == (95 * 64, 18)
