import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field
from rapidash.groups import E, Position, Scalar, Vector
from rapidash.measure import Action, defect, portrait, pose_rotation

SMALL = {"num_axes": 3, "num_yaws": 4, "num_pitches": 3, "map_rows": 4}


def batch(dim: int = 3) -> CloudBatch:
    pos = torch.randn(9, dim, generator=seeded(0), dtype=torch.float64)
    return CloudBatch({"pos": pos}, {"pos": Field(Position(), "nm")}, torch.tensor([0] * 4 + [1] * 3 + [2] * 2), 3)


POINTS = Action(E(3), outputs=Field(Vector(), "nm"))


def squares(cloud: CloudBatch) -> Tensor:
    return cloud.pos.square()


def test_defects_at_a_pose_are_those_of_that_rotation() -> None:
    drawn = portrait(squares, batch(), POINTS, title="squares", num_clouds=2, **SMALL)
    assert [len(cloud.points) for cloud in drawn.clouds] == [4, 3]
    assert drawn.unit == "nm"
    assert drawn.has_point_outputs
    expected = defect(squares, batch(), POINTS, pose_rotation(drawn.yaws[3], drawn.pitches[2], 3))["output"].norm(dim=1)
    assert torch.allclose(drawn.clouds[1].defect[3, 2], expected[4:7])
    assert drawn.clouds[0].defect[0, 1].max() == 0  # yaw 0 and pitch 0 are the identity
    assert drawn.clouds[0].output_norm == pytest.approx(float(batch().pos[:4].square().norm() / 2))


def test_the_map_and_the_curve_see_the_axis_about_which_a_model_is_symmetric() -> None:
    along_z = lambda cloud: torch.cat([torch.zeros_like(cloud.pos[:, :2]), cloud.pos[:, 2:]], dim=1)  # noqa: E731
    drawn = portrait(along_z, batch(), POINTS, title="z", num_clouds=3, **(SMALL | {"map_rows": 12}))
    assert drawn.sphere is not None
    poles, equator = drawn.sphere.error[[0, -1]], drawn.sphere.error[[5, 6]]
    assert poles.max() < 0.3 * equator.min()
    assert drawn.curve.degrees[0] == drawn.curve.mean[0] == 0
    assert all(low <= mean <= high for low, mean, high in zip(drawn.curve.low, drawn.curve.mean, drawn.curve.high))
    exact = portrait(lambda cloud: 2 * cloud.pos, batch(), POINTS, title="exact", **SMALL)
    assert max(exact.curve.high) < 1e-14
    assert exact.sphere is not None
    assert exact.sphere.error.max() < 1e-14


def test_clouds_of_the_plane_have_one_angle_and_no_map() -> None:
    drawn = portrait(squares, batch(2), POINTS, title="plane", **SMALL)
    assert drawn.sphere is None
    assert drawn.pitches == (0.0,)
    assert drawn.curve.mean == drawn.curve.high
    assert max(drawn.curve.degrees) == 345.0


def test_an_output_per_cloud_shows_the_defect_of_the_cloud_at_all_of_its_points() -> None:
    first = lambda cloud: torch.zeros(3, 1).double().index_add(0, cloud.batch, cloud.pos[:, :1])  # noqa: E731
    action = Action(E(3), outputs=Field(Scalar(), "eV", level="cloud"))
    with pytest.raises(ValueError, match="3 rows for 2 clouds"):
        portrait(first, batch(), action, title="sum", num_clouds=2, **SMALL)
    drawn = portrait(first, batch(), action, title="sum", num_clouds=3, **SMALL)
    assert not drawn.has_point_outputs
    spread = drawn.clouds[0].defect.amax(dim=-1) - drawn.clouds[0].defect.amin(dim=-1)
    assert spread.max() == 0
    assert drawn.clouds[0].defect.max() > 0.1


def test_poses_are_rotations_in_the_order_the_page_turns() -> None:
    turn = pose_rotation(90.0, 0.0, 3)[:3, :3]
    assert torch.allclose(turn @ torch.tensor([0.0, 0.0, 1.0]).double(), torch.tensor([1.0, 0.0, 0.0]).double())
    tilt = pose_rotation(0.0, 90.0, 3)[:3, :3]
    assert torch.allclose(tilt @ torch.tensor([0.0, 1.0, 0.0]).double(), torch.tensor([0.0, 0.0, 1.0]).double())
    assert torch.allclose(
        pose_rotation(30.0, 40.0, 3)[:3, :3], pose_rotation(0.0, 40.0, 3)[:3, :3] @ pose_rotation(30.0, 0.0, 3)[:3, :3]
    )


def test_several_outputs_are_refused() -> None:
    action = Action(E(3), outputs={"a": Field(Vector()), "b": Field(Vector())})
    with pytest.raises(ValueError, match="one output"):
        portrait(squares, batch(), action, title="two", **SMALL)


def per_cloud(values: Tensor, cloud: CloudBatch) -> Tensor:
    return values.new_zeros(cloud.num_clouds, *values.shape[1:]).index_add(0, cloud.batch, values)


CLOUDS = Action(E(3), outputs=Field(Scalar(), "eV", level="cloud"))


def test_contributions_of_points_add_up_to_the_defect_of_the_cloud() -> None:
    drawn = portrait(lambda cloud: per_cloud(cloud.pos.square()[:, :2], cloud), batch(), CLOUDS, title="sum", **SMALL)
    assert len(drawn.clouds) == 3
    for cloud in drawn.clouds:
        assert cloud.shares is not None
        assert cloud.shares.shape == (2, 2, len(cloud.points))  # every second pose of 4 yaws and 3 pitches
        assert torch.allclose(cloud.shares.sum(dim=2), cloud.defect[::2, ::2, 0], rtol=1e-3, atol=1e-6)
    assert drawn.clouds[0].shares.min() < 0 < drawn.clouds[0].shares.max()


def test_contributions_are_left_out_where_they_mean_nothing() -> None:
    def centered(cloud: CloudBatch) -> Tensor:
        mean = per_cloud(cloud.pos, cloud) / torch.bincount(cloud.batch)[:, None]
        return cloud.pos - mean[cloud.batch]

    invariant = lambda cloud: per_cloud(centered(cloud).norm(dim=1, keepdim=True), cloud)  # noqa: E731
    steps = lambda cloud: per_cloud(cloud.pos.sign()[:, :1], cloud) + 0.5  # noqa: E731
    detached = lambda cloud: per_cloud(cloud.pos.detach()[:, :1], cloud)  # noqa: E731
    for model in (invariant, steps, detached):
        drawn = portrait(model, batch(), CLOUDS, title="none", **SMALL)
        assert all(cloud.shares is None for cloud in drawn.clouds)
    assert portrait(squares, batch(), POINTS, title="points", **SMALL).clouds[0].shares is None


def test_contributions_in_the_plane() -> None:
    drawn = portrait(lambda cloud: per_cloud(cloud.pos[:, :1], cloud), batch(2), CLOUDS, title="plane", **SMALL)
    cloud = drawn.clouds[1]
    assert cloud.shares is not None
    assert torch.allclose(cloud.shares.sum(dim=2), cloud.defect[::2, :, 0], atol=1e-8)
