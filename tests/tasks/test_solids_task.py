"""Generated solids: points on the surface that their name says, samples that depend on their index only, a task."""

import math

import pytest
import torch
from task_checks import check_ledger, first_clouds, small

from rapidash._seed import seeded
from rapidash.datasets import SOLIDS, solids_dataset
from rapidash.datasets._solids import surface_points
from rapidash.study import get_design
from rapidash.tasks import get_task

EQUATIONS = {  # of each surface of size 1: zero on it
    "sphere": lambda x, y, z: x**2 + y**2 + z**2 - 1,
    "cube": lambda x, y, z: torch.stack([x, y, z]).abs().amax(0) - 0.75,
    "rod": lambda x, y, z: torch.stack([x / 0.3, y / 0.3, z / 1.3]).abs().amax(0) - 1,
    "plate": lambda x, y, z: torch.stack([x / 1.1, y / 1.1, z / 0.15]).abs().amax(0) - 1,
    "cone": lambda x, y, z: x**2 + y**2 - (0.5 * (1 - z)) ** 2,
    "cylinder": lambda x, y, z: x**2 + y**2 - 0.55**2,
    "ring": lambda x, y, z: ((x**2 + y**2).sqrt() - 0.9) ** 2 + z**2 - 0.3**2,
    "ellipsoid": lambda x, y, z: (x / 1.2) ** 2 + (y / 0.7) ** 2 + (z / 0.4) ** 2 - 1,
}


@pytest.mark.parametrize("solid", SOLIDS)
def test_points_lie_on_the_surface_that_their_name_says(solid: str) -> None:
    points = surface_points(solid, 200, seeded(0, solid))
    assert EQUATIONS[solid](*points.T).abs().max() < 1e-12
    others = [other for other in SOLIDS if other != solid]
    assert all(EQUATIONS[other](*points.T).abs().max() > 0.05 for other in others)
    assert points.std(dim=0).min() > 0.03


def test_samples_are_sized_tilted_and_named_by_their_index() -> None:
    data = solids_dataset("train", size=60, num_points=30, tilt=0.0, dtype=torch.float64)
    clouds, labels = data.tensors["pos"].reshape(60, 30, 3), data.tensors["label"]
    assert clouds.shape == (60, 30, 3)
    assert set(labels.tolist()) == set(range(8))
    spheres = clouds[labels == SOLIDS.index("sphere")].norm(dim=2)
    torch.testing.assert_close(spheres, spheres[:, :1].expand_as(spheres), rtol=1e-12, atol=0)
    assert ((spheres >= 0.9) & (spheres <= 1.1)).all()
    fewer, other = solids_dataset("train", size=7, num_points=30, dtype=torch.float64), solids_dataset("val", size=7)
    tilted = fewer.tensors["pos"].reshape(7, 30, 3)
    torch.testing.assert_close(tilted.norm(dim=2), clouds[:7].norm(dim=2))
    assert fewer.tensors["label"].tolist() == labels[:7].tolist() != other.tensors["label"].tolist()
    angles = solids_dataset("train", size=400, num_points=2, dtype=torch.float64).tensors["pos"].reshape(400, 2, 3)
    straight = solids_dataset("train", size=400, num_points=2, tilt=0.0, dtype=torch.float64).tensors["pos"]
    moved = (angles - straight.reshape(400, 2, 3)).norm(dim=2) / angles.norm(dim=2)
    expected = 0.15 * math.sqrt(2)  # a rotation vector from N(0, 0.15^2): its part across the point moves it
    assert float(moved.square().mean().sqrt()) == pytest.approx(expected, rel=0.1)


def test_bad_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="unknown split 'tset'"):
        solids_dataset("tset", size=3)
    with pytest.raises(ValueError, match=r"tilt >= 0, got size=3, num_points=24, tilt=-1"):
        solids_dataset("train", size=3, tilt=-1)
    with pytest.raises(ValueError, match="num_points must be at least 1, got 0"):
        get_task("solids", num_points=0)
    with pytest.raises(ValueError, match="num_train, num_val and num_test must be at least 1"):
        get_task("solids", num_val=0)


def test_the_task_is_as_symmetric_as_its_ledger_says() -> None:
    task = get_task("solids", num_train=40)
    batch = first_clouds(task, 6)
    for variant in get_design("solids").variants:
        check_ledger(task, small(variant), batch)
    assert task.reference() == {"class_names": list(SOLIDS)}
