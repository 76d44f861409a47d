"""Aligned couplings of noise and data."""

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.generate import StateSpace, aligned, closest_order, closest_rotation, random_noise
from rapidash.groups import SO, O


def cloud(seed: int, size: int = 6) -> Tensor:
    return random_noise(StateSpace(3), torch.zeros(size, dtype=torch.long), 1, seeded("cloud", seed))


def test_a_turned_and_permuted_copy_is_recovered() -> None:
    noise = cloud(0)
    turn = SO(3).sample(1, generator=seeded("turn"))[0, :3, :3]
    small = torch.linalg.matrix_exp(0.1 * torch.tensor([[0, 1, 2], [-1, 0, 3], [-2, -3, 0]]).double())
    order = torch.tensor([2, 0, 1, 5, 3, 4])
    torch.testing.assert_close(closest_rotation(noise @ turn.T, noise), turn.T, rtol=0, atol=1e-10)
    found = aligned((noise @ small.T)[order], noise, 3, rounds=3)
    torch.testing.assert_close(found, noise, rtol=0, atol=1e-6)


def test_a_copy_in_any_pose_and_order_is_recovered() -> None:
    """Whatever the rotation, and with reflections the mirror image too, up to the kinds of its points."""
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0])).double()
    for seed in range(20):
        noise, rng = cloud(300 + seed, 7), seeded("pose", seed)
        turn, order = SO(3).sample(1, generator=rng)[0, :3, :3].double(), torch.randperm(7, generator=rng)
        found = aligned((noise @ turn.T)[order], noise, 3)
        torch.testing.assert_close(found, noise, rtol=0, atol=1e-6)
        image = (noise @ mirror @ turn.T)[order]
        torch.testing.assert_close(aligned(image, noise, 3, reflections=True), noise, rtol=0, atol=1e-6)
        assert float((aligned(image, noise, 3) - noise).abs().max()) > 0.1  # proper rotations do not mirror
        assert float((aligned(image, noise, 3, permutation=False) - noise).abs().max()) > 0.1


def test_a_mirror_image_needs_reflections() -> None:
    noise, mirror = cloud(1), torch.diag(torch.tensor([-1.0, 1.0, 1.0])).double()
    proper = closest_rotation(noise @ mirror, noise)
    assert float(torch.linalg.det(proper)) == pytest.approx(1)
    torch.testing.assert_close(closest_rotation(noise @ mirror, noise, reflections=True), mirror)


@pytest.mark.parametrize("rank", [1, 2])
def test_kabsch_stays_proper_on_planar_and_collinear_clouds(rank: int) -> None:
    for seed in range(20):
        x, noise = cloud(seed), cloud(100 + seed)
        x[:, rank:] = 0
        turn = closest_rotation(x, noise)
        assert float(torch.linalg.det(turn)) == pytest.approx(1)
        torch.testing.assert_close(turn @ turn.T, torch.eye(3).double(), rtol=0, atol=1e-10)


def test_the_nearest_of_all_that_occurred_is_taken() -> None:
    """No farther than where the rounds lead from the cloud as it is."""
    for seed in range(20):
        x, noise = cloud(400 + seed), cloud(500 + seed)
        state = x
        for _ in range(2):
            state = state[closest_order(state, noise)]
            state = state @ closest_rotation(state, noise).T
        found = float((aligned(x, noise, 3) - noise).square().sum())
        assert found <= float((state - noise).square().sum()) + 1e-12


@pytest.mark.parametrize("moves", [{}, {"rotation": False}, {"permutation": False}, {"reflections": True}])
def test_the_cost_never_rises(moves: dict[str, bool]) -> None:
    falls = 0
    for seed in range(20):
        x, noise = cloud(seed), cloud(200 + seed)
        before = float((x - noise).square().sum())
        after = float((aligned(x, noise, 3, **moves) - noise).square().sum())
        assert after <= before
        falls += after < before
    assert falls == 20


def test_only_points_of_one_kind_swap() -> None:
    noise = torch.tensor([[0.0], [1.0], [2.0]])
    assert closest_order(noise.flip(0), noise).tolist() == [2, 1, 0]
    assert closest_order(noise.flip(0), noise, torch.tensor([0, 0, 1])).tolist() == [1, 0, 2]


def test_a_rotation_keeps_the_shape() -> None:
    x, noise = cloud(3), cloud(4)
    found = aligned(x, noise, 3, permutation=False, reflections=True)
    torch.testing.assert_close(torch.cdist(found, found), torch.cdist(x, x))
    turn = closest_rotation(x, noise, reflections=True)
    assert O(3).contains(torch.block_diag(turn, torch.ones(1, 1).double()))
