import math

import pytest
import torch
from torch import Tensor

from rapidash.data import CloudBatch, Field, seeded
from rapidash.groups import Position, Scalar
from rapidash.represent import APPEARANCE, POSE, TRANSFORMS, augmented, similarity_report, similarity_to_transforms

NUM = 64  # points of a cloud: with fewer, the least corruption adds none


def clouds(num: int = 64, seed: int = 0) -> CloudBatch:
    """Random clouds in the unit ball, of different proportions, with a label of every point."""
    g = seeded(seed, "clouds")
    axes = 0.2 + torch.rand(num, 1, 3, generator=g, dtype=torch.float64)
    pos = axes * torch.randn(num, NUM, 3, generator=g, dtype=torch.float64)
    pos = pos - pos.mean(dim=1, keepdim=True)
    pos = pos / pos.norm(dim=2).amax(dim=1)[:, None, None]
    tensors = {"pos": pos.flatten(0, 1), "part": torch.arange(num * NUM)}
    fields = {"pos": Field(Position(), "1"), "part": Field(Scalar())}
    return CloudBatch(tensors, fields, torch.arange(num).repeat_interleave(NUM), num)


def mean_over_points(values: Tensor, batch: CloudBatch) -> Tensor:
    total = values.new_zeros(batch.num_clouds, values.shape[1]).index_add(0, batch.batch, values)
    return total / torch.bincount(batch.batch)[:, None]


def radii(batch: CloudBatch) -> Tensor:
    """Moments of the distance from the centroid: invariant to every motion."""
    r = (batch.pos - mean_over_points(batch.pos, batch)[batch.batch]).norm(dim=1, keepdim=True)
    return mean_over_points(torch.cat([r, r**2, r**3], dim=1), batch)


def heights(batch: CloudBatch) -> Tensor:
    """Moments of z and of the distance from the z axis: invariant to yaw only."""
    z = batch.pos[:, 2:]
    rho = batch.pos[:, :2].norm(dim=1, keepdim=True)
    return mean_over_points(torch.cat([z, z**2, rho, rho * z], dim=1), batch)


def test_an_invariant_encoder_reads_one_for_motions_and_less_for_the_rest() -> None:
    found = similarity_to_transforms(radii, clouds())
    for name, transform in TRANSFORMS.items():
        assert found[name].cosine.shape == (len(transform.grid), 64)
        if name in (*POSE, "yaw"):
            assert (found[name].cosine - 1).abs().max() < 1e-6
            assert found[name].mahalanobis.max() < 1e-6
        else:
            assert found[name].mean_cosine < 0.99
    by_yaw = similarity_to_transforms(heights, clouds(), names=("yaw", "rotation"))
    assert (by_yaw["yaw"].cosine - 1).abs().max() < 1e-6
    assert by_yaw["rotation"].mean_cosine < 0.6


def test_similarity_falls_with_the_parameter_and_the_report_names_it() -> None:
    found = similarity_to_transforms(radii, clouds(), names=("anisotropic scale",))
    rows = similarity_report(found).rows
    assert [row["transformation"] for row in rows] == [
        "anisotropic scale",
        *(f"anisotropic scale {value} factor" for value in ("1.1", "1.25", "1.5", "2")),
    ]
    cosines = [row["cosine"] for row in rows[1:]]
    assert cosines == sorted(cosines, reverse=True)
    assert rows[0]["cosine"] == pytest.approx(sum(cosines) / 4)


def test_moves_by_hand() -> None:
    pos = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.25]], dtype=torch.float64)
    one = CloudBatch({"pos": pos}, {"pos": Field(Position())}, torch.tensor([0, 0]), 1)

    def moved(name: str, value: float) -> Tensor:
        return TRANSFORMS[name].move(one, value, seeded(0)).pos

    assert torch.allclose(moved("yaw", 90), torch.tensor([[0.0, 1.0, 0.0], [-0.5, 0.0, 0.25]]).double(), atol=1e-12)
    assert torch.equal(moved("reflection", 1), pos * torch.tensor([1.0, -1.0, 1.0]))
    shift = moved("translation", 0.5) - pos
    assert torch.allclose(shift[0], shift[1])
    assert shift[0].norm() == pytest.approx(0.5)
    turned = moved("rotation", 60)

    frame = CloudBatch({"pos": torch.eye(3).double()}, {"pos": Field(Position())}, torch.tensor([0, 0, 0]), 1)
    rotation = TRANSFORMS["rotation"].move(frame, 60, seeded(0)).pos
    assert rotation.diagonal().sum() == pytest.approx(1 + 2 * math.cos(math.radians(60)))  # trace = 1 + 2 cos
    assert torch.allclose(torch.pdist(turned), torch.pdist(pos))
    scaled = moved("anisotropic scale", 1.5) / pos
    assert (scaled[~scaled.isnan()] >= 1 / 1.5).all()
    assert (scaled[~scaled.isnan()] <= 1.5).all()


def test_augmentations_are_drawn_for_each_cloud_and_from_the_stream_alone() -> None:
    batch = clouds(3)
    same = CloudBatch(
        {"pos": batch.pos[:NUM].repeat(3, 1)}, {"pos": batch.fields["pos"]}, batch.batch, batch.num_clouds
    )
    for name in TRANSFORMS:
        a, b = (augmented(same, [name], seeded(1, "draw")) for _ in range(2))
        assert torch.equal(a.pos, b.pos)
        first, second = a.pos[a.batch == 0], a.pos[a.batch == 1]
        assert not torch.equal(first, second) or name == "reflection"  # a mirror may be the same for two clouds
    both = augmented(batch, (*POSE, *APPEARANCE), seeded(0))
    assert torch.bincount(both.batch).tolist() == [NUM // 2] * 3
    assert len(both["part"].unique()) == len(both.pos)  # points take their fields along
    assert augmented(batch, (), seeded(0)) is batch


def test_unknown_transformations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown transformation of clouds 'rotatoin'.*rotation"):
        augmented(clouds(2), ["rotatoin"], seeded(0))
    with pytest.raises(ValueError, match="named twice"):
        similarity_to_transforms(radii, clouds(3), names=("yaw", "yaw"))


def test_augmentations_of_pose_move_a_rigid_cloud_and_those_of_appearance_change_it() -> None:
    assert {TRANSFORMS[name].kind for name in POSE} == {"pose"}
    assert {TRANSFORMS[name].kind for name in APPEARANCE} == {"appearance"}
    assert not any(value == 0 for name in ("rotation", "yaw", "translation") for value in TRANSFORMS[name].grid)
    batch = clouds(8)
    own = [torch.pdist(one) for one in batch.pos.unflatten(0, (8, -1))]
    for name in POSE:
        moved = augmented(batch, [name], seeded(2)).pos.unflatten(0, (8, -1))
        assert all(torch.allclose(torch.pdist(one), before, atol=1e-5) for one, before in zip(moved, own))


def test_half_of_the_clouds_are_mirrored_each_across_one_axis() -> None:
    batch = clouds(40)
    moved = TRANSFORMS["reflection"].draw(batch, seeded(5))
    signs = (moved.pos / batch.pos).unflatten(0, (40, -1))
    assert torch.equal(signs.amin(dim=1), signs.amax(dim=1))
    mirrored = (signs[:, 0] < 0).sum(dim=1)
    assert set(mirrored.tolist()) == {0, 1}
    assert 10 <= int(mirrored.sum()) <= 30
    assert set(signs[:, 0].argmin(dim=1)[mirrored == 1].tolist()) == {0, 1, 2}
