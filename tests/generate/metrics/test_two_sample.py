"""Energy distance by hand, its permutation test on equal and on different sets, clouds by their pair distances."""

import math

import pytest
import torch

from rapidash.data import CloudDataset, Field, seeded
from rapidash.generate.metrics import energy_test, two_sample_test
from rapidash.groups import SO, Position


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded("two sample", seed), dtype=torch.float64)


def clouds(pos: torch.Tensor) -> CloudDataset:
    """Clouds of one size (B, N, D)."""
    return CloudDataset({"pos": pos.flatten(0, 1)}, {"pos": Field(Position())}, torch.full((len(pos),), pos.shape[1]))


def test_energy_distance_by_hand() -> None:
    """0 and 1 against 0 and 3: twice the mean of 0, 3, 1, 2, less 1/2 and 3/2."""
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [3.0]])
    found = energy_test(x, y, num_permutations=20)
    assert found.distance == pytest.approx(2 * 1.5 - 0.5 - 1.5)
    assert found.num == 4


def test_the_p_value_counts_relabellings_by_hand() -> None:
    """0, 0 against 1, 1: a third of all relabellings has this distance 2, the others 0."""
    found = energy_test(torch.zeros(2, 1), torch.ones(2, 1), num_permutations=4000)
    assert found.distance == pytest.approx(2)
    assert found.p_value == pytest.approx(1 / 3, abs=0.03)
    assert found.threshold == pytest.approx(2)


def test_equal_sets_have_distance_0_and_equal_laws_large_p_values() -> None:
    x = normal(20, 2, seed=0)
    assert energy_test(x, x.flip(0), num_permutations=50).distance == pytest.approx(0, abs=1e-12)
    p_values = [
        energy_test(normal(15, 2, seed=k), normal(12, 2, seed=100 + k), num_permutations=99, seed=k).p_value
        for k in range(40)
    ]
    assert 0.3 < sum(p_values) / 40 < 0.7
    assert min(p_values) >= 0.01
    moved = energy_test(normal(30, 2, seed=1), normal(30, 2, seed=2) + 1, num_permutations=199)
    assert moved.p_value == pytest.approx(1 / 200)
    assert moved.distance > moved.threshold


def test_clouds_are_compared_whatever_their_poses() -> None:
    real, made = clouds(normal(30, 6, 3, seed=0)), normal(30, 6, 3, seed=1)
    turns = SO(3).sample(30, generator=seeded("turns")).double()[:, :3, :3]
    turned = torch.einsum("bij,bnj->bni", turns, made)
    one, other = (two_sample_test(clouds(part), real, num_permutations=99) for part in (made, turned))
    assert one.distance == pytest.approx(other.distance)
    assert one.p_value > 0.01
    assert two_sample_test(clouds(1.3 * made), real, num_permutations=99).p_value == pytest.approx(0.01)


def test_ragged_clouds_are_compared_by_quantiles() -> None:
    pos, sizes = normal(60, 3, seed=3), torch.tensor([4, 5, 6] * 4)
    ragged = CloudDataset({"pos": pos}, {"pos": Field(Position())}, sizes)
    scaled = CloudDataset({"pos": 3 * pos}, {"pos": Field(Position())}, sizes)
    assert two_sample_test(ragged, ragged, num_permutations=99).p_value > 0.9
    assert two_sample_test(scaled, ragged, num_permutations=99).p_value < 0.05
    large = clouds(normal(4, 40, 3, seed=4))  # 780 pairs
    assert two_sample_test(large, large, num_permutations=9).distance == pytest.approx(0, abs=1e-12)


def test_what_cannot_be_tested_is_refused(shape_checks_off: None) -> None:
    x = normal(5, 2, seed=0)
    with pytest.raises(
        ValueError, match=r"two sets \(n, K\), \(m, K\) of at least 2 rows are needed, got \(5, 2\), \(1, 2\)"
    ):
        energy_test(x, x[:1])
    with pytest.raises(ValueError, match="num_permutations must be at least 1, got 0"):
        energy_test(x, x, num_permutations=0)
    broken = x.clone()
    broken[1, 0] = math.nan
    with pytest.raises(ValueError, match="1 of 5 rows of x are not finite: report their share, test the others"):
        energy_test(broken, x)
    with pytest.raises(ValueError, match="a cloud of one point has no distances"):
        two_sample_test(clouds(normal(3, 1, 3, seed=0)), clouds(normal(3, 1, 3, seed=1)))


def test_the_distance_of_clouds_is_in_the_unit_of_positions() -> None:
    """Triangles of side 1 and 2: every pair distance differs by 1, so that 2 E|X - Y| = 2, and 0 within either set."""
    side = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]]).double()
    small, large = (clouds((by * side).expand(3, 3, 2)) for by in (1, 2))
    assert two_sample_test(small, large, num_permutations=9).distance == pytest.approx(2)
    ragged = [
        CloudDataset(
            {"pos": by * torch.cat([side, side[:2], side])}, {"pos": Field(Position())}, torch.tensor([3, 2, 3])
        )
        for by in (1, 2)
    ]
    assert two_sample_test(*ragged, num_permutations=9).distance == pytest.approx(2)  # by quantiles
