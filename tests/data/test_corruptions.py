import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rapidash._seed import seeded
from rapidash.data import (
    CORRUPTIONS,
    MODELNET40_C,
    POINTCLOUD_C,
    CloudBatch,
    CloudDataset,
    Field,
    corrupt,
    corrupt_dataset,
)
from rapidash.data import _modelnet40_c as m40
from rapidash.data._corruptions import SEVERITIES
from rapidash.data._deformations import control_points, free_form, radial_interpolant
from rapidash.data._effects import to_box
from rapidash.data._modelnet40_c import visible_rows
from rapidash.groups import DirectSum, Position, Scalar, Tensor2, Vector
from rapidash.groups._representations import Representation
from rapidash.models import Rapidash

EVERY = sorted({**POINTCLOUD_C, **MODELNET40_C})


def cloud(num_points: int = 1024, seed: int = 0) -> torch.Tensor:
    """Points on a bumpy surface in the unit ball, float64."""
    pos = torch.randn(num_points, 3, generator=seeded("cloud", seed), dtype=torch.float64)
    direction = pos / pos.norm(dim=1, keepdim=True)
    return direction * (0.8 + 0.2 * torch.sin(3 * direction[:, :1]))


def run(name: str, severity: int = 5, pos: torch.Tensor | None = None, seed: int = 0) -> torch.Tensor:
    return corrupt(cloud() if pos is None else pos, name, severity, generator=seeded("draw", seed))


def test_the_registries_are_those_of_the_benchmarks() -> None:
    assert (len(POINTCLOUD_C), len(MODELNET40_C)) == (7, 15)
    families = [corruption.family for corruption in MODELNET40_C.values()]
    assert [families.count(family) for family in ("density", "noise", "transformation")] == [5, 5, 5]
    assert {c.name for c in MODELNET40_C.values() if c.is_approximate} == {"occlusion", "lidar", "density_inc"}


def test_noise_alone_moves_points_one_by_one() -> None:
    """A corruption of kind "noise" leaves what it does not move where it is: targets of the clean cloud stay true."""
    pos = cloud()
    for name, corruption in CORRUPTIONS.items():
        if corruption.kind == "noise":
            assert (run(name, 5, pos) - pos).mean(0).abs().max() < 0.01, name
            slope = ((run(name, 5, pos) - pos) * pos).sum(0) / (pos * pos).sum(0)
            assert slope.abs().max() < 0.01, f"{name} scales the cloud"


@pytest.mark.parametrize("severity", SEVERITIES)
def test_cameras_stand_in_the_sector_of_their_severity(severity: int) -> None:
    """At azimuth 72 degrees times the severity from z towards x: as the benchmark's renderer turns."""
    places = torch.stack([m40._camera(3.0, math.radians(135), severity, seeded("camera", k)) for k in range(200)])
    azimuth = torch.atan2(places[:, 0], places[:, 2])
    off = torch.remainder(azimuth - 2 * math.pi / 5 * severity + math.pi, 2 * math.pi) - math.pi
    assert 0.5 < off.abs().max() < math.pi / 5
    torch.testing.assert_close(places.norm(dim=1), torch.full((200,), 3.0, dtype=torch.float64))


@pytest.mark.parametrize("severity", SEVERITIES)
def test_numbers_of_points(severity: int) -> None:
    sizes = {name: len(run(name, severity)) for name in EVERY}
    number = severity - 1
    assert sizes["dropout_global"] == (768, 640, 512, 384, 256)[number]
    assert sizes["dropout_local"] == 1024 - 100 * severity
    assert sizes["add_global"] == 1024 + 10 * severity
    assert sizes["add_local"] == 1024 + 100 * severity
    assert sizes["cutout"] == 1024 - 30 * (2, 3, 5, 7, 10)[number]
    assert sizes["density_dec"] == 1024 - 75 * severity
    assert sizes["density_inc"] == 1024
    assert sizes["upsampling"] == 1024 + 1024 // (5, 4, 3, 2, 1)[number]
    assert sizes["background"] == 1024 + 1024 // (45, 40, 35, 30, 20)[number]
    assert sizes["lidar"] == 768
    unchanged = {"scale", "jitter", "rotate", "uniform", "gaussian", "impulse", "rotation", "shear", "occlusion"}
    unchanged |= {"distortion", "distortion_rbf", "distortion_rbf_inv"}
    assert {sizes[name] for name in unchanged} == {1024}
    assert len(corrupt(cloud(2048), "density_inc", severity, generator=seeded(0))) == 1024


@pytest.mark.parametrize("name", EVERY)
def test_deterministic_under_a_fixed_stream_and_the_input_stays(name: str) -> None:
    pos = cloud(256)
    before = pos.clone()
    first, again, other = (run(name, 3, pos, seed) for seed in (0, 0, 1))
    assert torch.equal(pos, before)
    assert torch.equal(first, again)
    assert first.dtype == torch.float64
    assert run(name, 3, pos.float()).dtype == torch.float32
    assert other.shape != first.shape or not torch.equal(other, first)


def test_rotate_is_an_isometry_within_its_angles() -> None:
    pos = cloud(200)
    for seed in range(5):
        moved = run("rotate", 5, pos, seed)
        torch.testing.assert_close(torch.cdist(moved, moved), torch.cdist(pos, pos), atol=1e-6, rtol=0)
        assert torch.linalg.det(torch.linalg.lstsq(pos, moved).solution) == pytest.approx(1.0)
        assert not torch.allclose(moved, pos)
    small = max((run("rotate", 1, pos, seed) - pos).norm(dim=1).max().item() for seed in range(5))
    assert small < 2 * math.sin(math.radians(6 * 3) / 2)
    # The other benchmark's "rotation" scales its box again: no isometry.
    box = to_box(pos)(pos)[0]
    assert (torch.pdist(run("rotation", 5, box)) / torch.pdist(box) - 1).abs().max() > 1e-3


def test_an_invariant_network_does_not_see_rotate() -> None:
    torch.manual_seed(0)
    model = Rapidash(
        dim=3, symmetry="E(3)", space="R3", in_scalars=1, in_vectors=0, out_scalars=4, out_vectors=0, level="graph",
        channels=16, num_layers=2, edges="knn-8", kernel="exact",
    ).double().eval()  # fmt: skip
    pos, batch = cloud(64), torch.zeros(64, dtype=torch.int64)
    ones = torch.ones(64, 1, dtype=torch.float64)
    clean = model(pos, batch, scalars=ones).scalars
    turned, noisy = (model(run(name, 5, pos), batch, scalars=ones).scalars for name in ("rotate", "jitter"))
    assert (turned - clean).abs().max() < 1e-10 * max(1.0, clean.abs().max().item())
    assert (noisy - clean).abs().max() > 1e-6


def test_noise_has_its_size() -> None:
    for severity in SEVERITIES:
        sigma = 0.01 * severity
        noise = (run("jitter", severity) - cloud()).flatten()
        assert abs(noise.std().item() - sigma) < 3 * sigma / (2 * len(noise)) ** 0.5
        assert abs(noise.mean().item()) < 4 * sigma / len(noise) ** 0.5
    box = to_box(cloud())(cloud())[0]
    gaussian = run("gaussian", 5, box)
    assert gaussian.abs().max() <= 1
    inside = box.abs().amax(1) < 0.85
    assert abs((gaussian - box)[inside].std().item() / 0.03 - 1) < 0.05
    even = run("uniform", 5, box)
    assert 0.02 < (even - box).abs().max() < 0.12  # 0.05, and the change of the box
    hit = run("impulse", 5, box)
    known = torch.cat([box, torch.ones(1024, 1)], dim=1)
    step = (hit - known @ torch.linalg.lstsq(known, hit).solution).abs()  # without the change of the box
    assert (step > 0.05).all(1).sum() == (step > 0.05).any(1).sum() == 1024 // 10


def test_scale_is_anisotropic_and_normalized() -> None:
    pos = cloud()
    moved = run("scale", 5)
    assert moved.norm(dim=1).max() == pytest.approx(1)
    assert moved.mean(0).abs().max() < 1e-12
    ratio = moved.std(0) / pos.std(0)
    assert 1.0 < ratio.max() / ratio.min() <= 4.0


def test_dropped_points_are_those_of_the_cloud_and_local_holes_are_local() -> None:
    pos = cloud()
    for name in ("dropout_global", "dropout_local", "cutout", "density_dec"):
        left = run(name, 3)
        assert torch.cdist(left, pos).min(1).values.max() < 1e-7
        assert len(left.unique(dim=0)) == len(left)
    gone = torch.cdist(pos, run("cutout", 1)).min(1).values > 1e-9
    holes = pos[gone]
    assert torch.cdist(holes, holes).sort(dim=1).values[:, 20].mean() < 0.6
    random = pos[torch.randperm(1024, generator=seeded(3))[:60]]
    assert torch.cdist(random, random).sort(dim=1).values[:, 20].mean() > 0.8


def test_added_points_lie_where_they_should() -> None:
    added = run("add_global", 5)[1024:]
    assert added.norm(dim=1).max() <= 1
    radius = torch.cat([run("add_global", 5, seed=seed)[1024:] for seed in range(40)]).norm(dim=1)
    assert abs((radius**3).mean().item() - 0.5) < 4 / (12 * len(radius)) ** 0.5  # uniform in volume
    local = run("add_local", 5)
    assert torch.equal(local[:1024], cloud())
    assert local.norm(dim=1).max() <= 1
    assert torch.cdist(local[1024:], cloud()).min(1).values.mean() < 0.15
    background = run("background", 5)
    assert background.abs().max() == pytest.approx(1)


def test_density_inc_keeps_patches_whole() -> None:
    pos = cloud(2048)
    dense = corrupt(pos, "density_inc", 5, generator=seeded(0))
    assert len(dense[:500].unique(dim=0)) == 500
    assert len(dense[500:].unique(dim=0)) < 524


def test_free_form_deformation() -> None:
    pos = torch.rand(50, 3, generator=seeded(0), dtype=torch.float64) * 2.4 - 1.2
    still, jacobian = free_form(torch.zeros(5, 5, 5, 3, dtype=torch.float64))(pos)
    assert torch.equal(still, pos)
    torch.testing.assert_close(jacobian, torch.eye(3, dtype=torch.float64).expand(50, 3, 3))
    constant = free_form(torch.full((5, 5, 5, 3), 0.1, dtype=torch.float64))(pos)[0] - pos
    inside = (pos.abs() <= 1).all(1)
    assert 0 < inside.sum() < 50
    torch.testing.assert_close(
        constant[inside], torch.full_like(constant[inside], 0.2)
    )  # control units are half of ours
    assert (constant[~inside] == 0).all()
    corner = torch.zeros(5, 5, 5, 3, dtype=torch.float64)
    corner[4, 0, 4, 1] = 0.3
    at = torch.tensor([[1.0, -1.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    expected = [[0, 0.6, 0], [0, 0.6 / 16**3, 0]]
    torch.testing.assert_close(free_form(corner)(at)[0] - at, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("inverse", [False, True])
def test_radial_interpolant_takes_the_control_points_to_their_targets(inverse: bool) -> None:
    control = control_points()
    target = control + 0.1 * torch.randn(125, 3, generator=seeded(0), dtype=torch.float64)
    deform = radial_interpolant(target, inverse=inverse)
    assert (deform(control)[0] - target).abs().max() < 1e-8
    pos = cloud(30)
    unmoved, jacobian = radial_interpolant(control, inverse=inverse)(pos)
    assert (unmoved - pos).abs().max() < 1e-10
    assert (jacobian - torch.eye(3, dtype=torch.float64)).abs().max() < 1e-10


@pytest.mark.parametrize("kind", ["free form", "radial", "inverse radial"])
def test_jacobians_are_the_derivatives(kind: str) -> None:
    rng, pos = seeded(0), 0.9 * cloud(6)
    if kind == "free form":
        deform = free_form(0.2 * torch.randn(5, 5, 5, 3, generator=rng, dtype=torch.float64))
    else:
        target = control_points() + 0.1 * torch.randn(125, 3, generator=rng, dtype=torch.float64)
        deform = radial_interpolant(target, inverse=kind != "radial")
    exact = torch.func.vmap(torch.func.jacrev(lambda x: deform(x[None])[0][0]))(pos)
    torch.testing.assert_close(deform(pos)[1], exact)


def test_hidden_points() -> None:
    near_side = cloud(2000) / cloud(2000).norm(dim=1, keepdim=True)
    camera = torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64)
    seen = near_side[visible_rows(near_side, camera)]
    # From a distance of 3 the cap z > 1/3 of a unit sphere is visible.
    assert seen[:, 2].min() > 1 / 3 - 0.15
    assert len(seen) > 0.8 * (near_side[:, 2] > 1 / 3).sum()
    with pytest.raises(ValueError, match="at least 4 points"):
        visible_rows(near_side[:2], camera)


# ---- fields ----

FIELDS = {
    "pos": Field(Position()),
    "normal": Field(Vector()),
    "vel": Field(Vector()),
    "frame": Field(Vector()),
    "other": Field(Position()),
    "inertia": Field(Tensor2()),
    "part": Field(Scalar()),
    "energy and force": Field(DirectSum(((Scalar(), 1), (Vector(), 3)))),
    "dipole": Field(Vector(), level="cloud"),
    "goal": Field(Position(), level="cloud"),
    "label": Field(Scalar(), level="cloud"),
}


def batch_of(sizes: tuple[int, ...] = (64, 48), seed: int = 0) -> CloudBatch:
    rng, total = seeded("batch", seed), sum(sizes)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    pos = torch.cat([cloud(size, index) for index, size in enumerate(sizes)])
    tensors = {
        "pos": pos, "normal": pos / pos.norm(dim=1, keepdim=True), "vel": draw(total, 3), "frame": draw(total, 2, 3),
        "other": draw(total, 3), "inertia": draw(total, 3, 3), "part": torch.arange(total),
        "energy and force": draw(total, 4),
        "dipole": draw(len(sizes), 3), "goal": draw(len(sizes), 3), "label": torch.arange(len(sizes)),
    }  # fmt: skip
    owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return CloudBatch(tensors, FIELDS, owner, len(sizes))


@pytest.mark.parametrize("name", EVERY)
def test_every_field_follows_its_points(name: str) -> None:
    batch = batch_of()
    before = {key: tensor.clone() for key, tensor in batch.tensors.items()}
    moved = corrupt(batch, name, 4, generator=seeded(1))
    assert all(torch.equal(batch[key], tensor) for key, tensor in before.items())
    assert {len(moved[key]) for key, field in FIELDS.items() if field.level == "point"} == {len(moved.batch)}
    assert moved.num_clouds == 2
    assert moved.batch.unique().tolist() == [0, 1]
    assert torch.equal(moved["label"], batch["label"])
    rows = moved["part"]  # a scalar that tells where each point comes from
    assert torch.equal((rows >= 64).long(), moved.batch)
    alone = corrupt(batch.pos[:64], name, 4, generator=seeded(1))
    assert torch.equal(moved.pos[moved.batch == 0], alone)


def test_rotate_acts_on_batches_as_the_group_does() -> None:
    batch = batch_of((64,))
    moved = corrupt(batch, "rotate", 5, generator=seeded(2))
    g = torch.eye(4, dtype=torch.float64)
    g[:3, :3] = torch.linalg.lstsq(batch.pos, moved.pos).solution.T
    expected = batch.transform(g)
    for key in FIELDS:
        torch.testing.assert_close(moved[key], expected[key])


def test_normals_stay_normal_to_the_surface_and_vectors_tangent() -> None:
    """On a plane patch, sheared: the normal of the image plane, and differences of points, are known exactly."""
    rng = seeded(5)
    flat = torch.cat([torch.rand(60, 2, generator=rng, dtype=torch.float64) - 0.5, torch.zeros(60, 1)], dim=1)
    tangent = flat[1:] - flat[:-1]
    tensors = {"pos": flat[:-1], "normal": torch.tensor([[0.0, 0, 1]]).double().expand(59, 3), "vel": tangent}
    fields = {key: FIELDS[key] for key in tensors}
    batch = CloudBatch(tensors, fields, torch.zeros(59, dtype=torch.int64), 1)
    for name in ("shear", "scale", "rotation"):
        moved = corrupt(batch, name, 5, generator=seeded(6))
        torch.testing.assert_close(moved["vel"][:-1], moved.pos[1:] - moved.pos[:-1])
        assert (moved["normal"] * moved["vel"]).sum(-1).abs().max() < 1e-12
        torch.testing.assert_close(moved["normal"].norm(dim=1), torch.ones(59, dtype=torch.float64))
        as_vectors = corrupt(batch, name, 5, generator=seeded(6), normals=())
        if name == "shear":
            assert (as_vectors["normal"] * moved["vel"]).sum(-1).abs().max() > 1e-3


def test_noise_moves_positions_only_and_added_points_take_the_nearest_rows() -> None:
    batch = batch_of((64,))
    noisy = corrupt(batch, "jitter", 5, generator=seeded(0))
    assert all(torch.equal(noisy[key], batch[key]) for key in FIELDS if key != "pos")
    more = corrupt(batch, "add_local", 5, generator=seeded(0))
    nearest = torch.cdist(more.pos[64:], batch.pos).argmin(1)
    assert torch.equal(more["part"][64:], nearest)
    assert torch.equal(more["vel"][64:], batch["vel"][nearest])


class Unknown(Representation):
    def act(self, g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x


def test_a_representation_that_space_cannot_deform_is_refused() -> None:
    batch = batch_of((64,)).with_tensor("odd", torch.ones(64, 2), Field(Unknown()))
    with pytest.raises(TypeError, match=r"field 'odd' transforms as .*leave it out"):
        corrupt(batch, "shear", 1, generator=seeded(0))
    assert len(corrupt(batch, "dropout_global", 5, generator=seeded(0))["odd"]) == 16


def test_data_sets_depend_on_seed_and_index_only() -> None:
    batch = batch_of((40, 30, 50))
    data = CloudDataset(batch.tensors, FIELDS, torch.tensor([40, 30, 50]))
    moved = corrupt_dataset(data, "dropout_global", 3, seed=1)
    assert moved.num_points.tolist() == [20, 15, 25]
    alone = corrupt_dataset(data.subset(torch.tensor([0, 1])), "dropout_global", 3, seed=1)
    assert torch.equal(moved.tensors["part"][:35], alone.tensors["part"])
    other = corrupt_dataset(data, "dropout_global", 3, seed=2)
    assert not torch.equal(moved.tensors["part"], other.tensors["part"])


def test_a_bad_cloud_of_a_data_set_is_named() -> None:
    batch = batch_of((40, 30, 50))
    batch.tensors["pos"][75] = math.nan
    data = CloudDataset(batch.tensors, FIELDS, torch.tensor([40, 30, 50]))
    with pytest.raises(ValueError, match="cloud 2: the positions of the cloud are not finite"):
        corrupt_dataset(data, "jitter", 1)
    with pytest.raises(ValueError, match=r"^unknown corruption 'jiter'"):
        corrupt_dataset(data, "jiter", 1)


@given(num_points=st.integers(12, 200), seed=st.integers(0, 2**20), name=st.sampled_from(EVERY))
def test_clouds_of_any_size(num_points: int, seed: int, name: str) -> None:
    pos = cloud(num_points, seed)
    out = corrupt(pos, name, 3, generator=seeded(seed))
    assert out.shape[1] == 3
    assert torch.isfinite(out).all()
    assert len(out) >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "rotat"}, "unknown corruption 'rotat'.*did you mean 'rotate'"),
        ({"severity": 0}, "severity must be one of"),
        ({"cloud": torch.zeros(5, 2)}, r"clouds \(N, 3\)"),
        ({"cloud": torch.full((5, 3), math.nan)}, "not finite"),
        ({"cloud": torch.zeros(0, 3)}, "at least one point"),
        ({"cloud": torch.zeros(1, 3), "name": "lidar"}, "at least 4 points"),
        ({"normalization": "all"}, "normalization must be one of"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    settings = {"cloud": cloud(32), "name": "rotate", "severity": 1, "generator": seeded(0), **arguments}
    with pytest.raises(ValueError, match=message):
        corrupt(**settings)
