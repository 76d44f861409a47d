"""Systems with a known law, and the angles, poses and hands of their samples, by hand."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.generate import (
    DoubleWell,
    StateSpace,
    canonical_rotations,
    chain_angles,
    chain_lengths,
    dihedral_angles,
    double_well_samples,
    handedness,
    js_divergence,
    metropolis_langevin,
    pose_figures,
    random_noise,
    torus_histogram,
)
from rapidash.groups import Position
from rapidash.methods import Measurement


def test_energy_and_force_by_hand() -> None:
    """Two particles at distance 5: u = 1, E = -2 + 0.45, dE/du = -4 + 1.8."""
    pos = torch.tensor([[0.0, 0.0], [3.0, 4.0]]).double()
    law = DoubleWell(2)
    assert float(law.energy(pos)) == pytest.approx(-1.55)
    torch.testing.assert_close(law.force(pos)[1], 2.2 * torch.tensor([0.6, 0.8]).double())
    four = double_well_samples("train", 60)[:3].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(DoubleWell().energy(four).sum(), four)
    torch.testing.assert_close(DoubleWell().force(four), -gradient)


def test_chains_have_the_known_mean_energy() -> None:
    """-9.755 +- 0.006, measured with 1,000 chains of 6,000 steps."""
    pos = double_well_samples("mean", 800, 600)
    energy = DoubleWell().energy(pos)
    assert float(energy.mean()) == pytest.approx(-9.755, abs=4 * float(energy.std()) / math.sqrt(800))
    later, accepted = metropolis_langevin(DoubleWell(), pos, num_steps=20, step=0.02, generator=seeded("go"))
    assert 0.7 < accepted < 0.95
    assert float(later.mean(1).abs().max()) < 1e-6


def test_dihedral_angles_by_hand() -> None:
    """Looking along the middle bond (z, with x to the right and y down) the far bond is turned counterclockwise."""
    points = torch.tensor(
        [[[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [0, -1, 1]], [[1, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 1]]]
    )
    torch.testing.assert_close(dihedral_angles(points), torch.tensor([-math.pi / 2, 0.0]))
    assert float(chain_lengths(points)[0, 1]) == 1
    torch.testing.assert_close(chain_angles(points)[0], torch.tensor([math.pi / 2, math.pi / 2]))


def test_divergence_and_histogram_by_hand() -> None:
    p, q = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 1.0]).double()
    assert js_divergence(p, q) == pytest.approx(math.log(2))
    assert js_divergence(p, p) == 0
    half = torch.tensor([0.5, 0.5]).double()
    assert js_divergence(p, half) == pytest.approx(
        0.5 * math.log(1 / 0.75) + 0.25 * math.log(0.5 / 0.75) + 0.25 * math.log(2)
    )
    angles = torch.tensor([-3.0, 3.0, math.pi, torch.nan])
    assert torus_histogram(angles, angles, 2).tolist() == [0.5, 0.0, 0.0, 0.25, 0.25]  # pi is -pi


def test_order_of_poses_by_hand() -> None:
    one, other = torch.tensor([[-1.0, 0, 0], [1, 0, 0]]), torch.tensor([[0.0, 0, 2], [0, 0, -2]])

    def figures(*rods: Tensor) -> dict[str, Measurement]:
        pos, fields = torch.cat(rods).double(), {"pos": Field(Position())}
        return {one.name: one for one in pose_figures(CloudDataset({"pos": pos}, fields, torch.full((len(rods),), 2)))}

    assert figures(one, one)["order of poses"].value == pytest.approx(2)
    assert figures(one, other)["order of poses"].value == pytest.approx(1)  # 3/2 - 1 along x, -1 along y
    assert figures(one[:, :2], one[:, :2])["order of poses"].value == pytest.approx(1)  # in the plane: 2 - 1
    most = figures(one, one, one, other)["order of poses"]  # (2 + 2 + 2 - 1) / 4, and 1.96 x 1.5 / 2 = 1.47 about it
    assert (most.value, most.low, most.high) == (pytest.approx(1.25), 0.0, 2.0)
    assert figures(*[one] * 60)["p-value of turned copies"].value == pytest.approx(1 / 200)
    assert figures(one, one)["share of right-handed ones"].value is None  # rods have no hand
    for lost in ((one, one * torch.nan), (one * torch.nan, one * torch.nan)):
        assert {figure.value for figure in figures(*lost).values()} == {None}
        assert {*figures(*lost)} == {*figures(one, one)}
    turned = figures(*torch.randn(1000, 2, 3, generator=seeded("rods")))
    assert turned["order of poses"].value < 0.15
    assert turned["order of poses"].low <= 0.05
    assert turned["p-value of turned copies"].value > 0.01


def test_left_and_right_by_hand() -> None:
    """Points on three axes of unequal length, further out at one end of each: these ends make a frame with a hand."""
    ends = torch.diag(torch.tensor([3.0, 2.0, 1.0])).double()
    cloud = torch.cat([2 * ends, -ends, -ends])  # mean 0, third moment along axis k: 8 - 1 - 1 > 0
    turn = torch.linalg.matrix_exp(torch.tensor([[0, 1, 2], [-1, 0, 3], [-2, -3, 0]]).double())
    mirror = torch.diag(torch.tensor([1.0, -1.0, 1.0])).double()
    clouds = torch.stack([cloud, cloud @ turn.T, cloud @ mirror, cloud @ mirror @ turn.T])
    batch = torch.arange(4).repeat_interleave(9)
    assert handedness(clouds.flatten(0, 1), batch, 4).tolist() == [1, 1, -1, -1]
    rotations = canonical_rotations(clouds.flatten(0, 1), batch, 4)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(4).double())
    posed = torch.einsum("bij,bnj->bni", rotations, clouds)
    torch.testing.assert_close(posed[0], cloud)  # it is in its pose already
    torch.testing.assert_close(posed[1], cloud)
    torch.testing.assert_close(posed[3], posed[2])
    flat = cloud * torch.tensor([1.0, 1.0, 0.0]).double()
    assert handedness(flat, torch.zeros(9).long(), 1).tolist() == [0]


def test_the_interval_of_the_order_of_poses_by_hand() -> None:
    """Eight rods along x, two along y, two along z: 3 a_x^2 - 1 is 2 or -1, with mean 1 and variance 24/11."""
    ends = torch.eye(3).double()

    def order(*counts: int) -> tuple[float, float | None, float | None]:
        rods = [torch.stack([-end, end]) for end, num in zip(ends, counts, strict=True) for _ in range(num)]
        data = CloudDataset({"pos": torch.cat(rods)}, {"pos": Field(Position())}, torch.full((len(rods),), 2))
        found = next(figure for figure in pose_figures(data) if figure.name == "order of poses")
        return found.value, found.low, found.high

    half = 1.96 * (24 / 11 / 12) ** 0.5
    assert order(8, 2, 2) == pytest.approx((1.0, 1 - half, 1 + half), abs=1e-4)
    assert order(3, 0, 1) == pytest.approx((1.25, 0.0, 2.0))  # 1.25 + 1.96 * 0.75 is more than an order can be


def test_right_and_left_handed_clouds_are_counted_by_hand() -> None:
    """Two as they are, one of them turned, one mirror image, and a flat one, which has no hand: 2 of 3."""
    ends = torch.diag(torch.tensor([3.0, 2.0, 1.0])).double()
    cloud = torch.cat([2 * ends, -ends, -ends])
    turned = cloud @ torch.linalg.matrix_exp(torch.tensor([[0, 1, 2], [-1, 0, 3], [-2, -3, 0]]).double())
    mirrored, flat = cloud * torch.tensor([-1.0, 1, 1]), cloud * torch.tensor([1.0, 1, 0])
    pos = torch.cat([cloud, turned, mirrored, flat])
    data = CloudDataset({"pos": pos}, {"pos": Field(Position())}, torch.full((4,), 9))
    found = next(figure for figure in pose_figures(data) if figure.name.startswith("share of right"))
    assert found.value == pytest.approx(100 * 2 / 3)
    assert found.low == pytest.approx(20.77, abs=0.01)  # Wilson's end for 2 of 3


@dataclass(frozen=True)
class Spring:
    """E = |x|^2 / 2 of two particles about their mean, a normal law of variance 1 in two degrees of freedom."""

    num_particles: int = 2

    def energy(self, pos: Tensor) -> Tensor:
        return pos.square().sum((1, 2)) / 2

    def force(self, pos: Tensor) -> Tensor:
        return -pos


def test_chains_of_long_steps_keep_the_law() -> None:
    """Proposals x / 4 + noise of variance 1.5 alone have the variance 1.6; what is accepted has 1."""
    pos = random_noise(StateSpace(2), torch.arange(6000).repeat_interleave(2), 6000, seeded("spring")).view(-1, 2, 2)
    later, accepted = metropolis_langevin(Spring(), pos, num_steps=30, step=0.75, generator=seeded("long"))  # type: ignore[arg-type]
    assert 0.3 < accepted < 0.9
    assert float(later.square().sum() / (2 * 6000)) == pytest.approx(1, abs=4 / math.sqrt(6000))
