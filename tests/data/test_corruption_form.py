"""Corruptions of clouds of any place and size: in the benchmark's form, and back."""

import pytest
import torch

from rapidash._seed import seeded
from rapidash.data import CORRUPTIONS, MODELNET40_C, POINTCLOUD_C, CloudBatch, Field, corrupt
from rapidash.groups import Position, Vector

SIZE, PLACE = 7.0, torch.tensor([3.0, -20.0, 5.0], dtype=torch.float64)


def ball(num_points: int = 60) -> torch.Tensor:
    """Points with the mean 0 and the largest radius 1: the form of PointCloud-C."""
    pos = torch.randn(num_points, 3, generator=seeded("ball"), dtype=torch.float64)
    pos = pos - pos.mean(dim=0)
    return pos / pos.norm(dim=1).max()


@pytest.mark.parametrize("name", POINTCLOUD_C)
def test_place_and_size_of_a_cloud_do_not_matter(name: str) -> None:
    pos = ball()
    expected = corrupt(pos, name, 4, generator=seeded(0))
    moved = corrupt(SIZE * pos + PLACE, name, 4, generator=seeded(0), normalization="each")
    torch.testing.assert_close(moved, SIZE * expected + PLACE, atol=1e-10, rtol=0)


def test_each_benchmark_has_its_form() -> None:
    pos = SIZE * ball() + PLACE
    low, high = pos.min(dim=0).values, pos.max(dim=0).values
    noisy = corrupt(pos, "gaussian", 5, generator=seeded(0), normalization="each")
    half = float((high - low).max()) / 2
    inside = ((pos - (low + high) / 2).abs() < 0.8 * half).all(dim=1)
    assert (noisy - pos)[inside].std().item() == pytest.approx(0.03 * half, rel=0.2)
    assert {entry.kind for entry in MODELNET40_C.values()} == {"points", "noise", "deformation"}
    assert [name for name, entry in CORRUPTIONS.items() if entry.kind == "rigid"] == ["rotate"]


def test_other_positions_and_vectors_follow_a_deformation() -> None:
    pos = SIZE * ball(20) + PLACE
    fields = {"pos": Field(Position()), "target": Field(Position()), "vel": Field(Vector())}
    tensors = {"pos": pos, "target": pos.clone(), "vel": torch.ones(20, 3).double()}
    batch = CloudBatch(tensors, fields, torch.zeros(20, dtype=torch.int64), 1)
    for name in ("scale", "shear", "rotate", "distortion_rbf"):
        moved = corrupt(batch, name, 3, generator=seeded(1), normalization="each")
        torch.testing.assert_close(moved["target"], moved.pos, atol=1e-10, rtol=0)
        step = 1e-6
        ahead = batch.with_tensor("target", pos + step * batch["vel"])
        slope = (corrupt(ahead, name, 3, generator=seeded(1), normalization="each")["target"] - moved.pos) / step
        torch.testing.assert_close(slope, moved["vel"], atol=1e-5, rtol=1e-4)
    noisy = corrupt(batch, "jitter", 3, generator=seeded(1), normalization="each")
    assert torch.equal(noisy["target"], pos)  # the truth is not noisy
    assert not torch.equal(noisy.pos, pos)
