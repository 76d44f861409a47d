"""Chamfer and earth mover's distance, pair distances, drawn points and normalizations."""

import itertools
import math

import pytest
import torch

from rapidash.data import CloudDataset, Field, seeded
from rapidash.generate.metrics import (
    chamfer,
    chamfer_matrix,
    earth_mover,
    earth_mover_matrix,
    normalized,
    pair_distance_matrix,
    pair_distance_quantiles,
    sorted_pair_distances,
    subsampled,
)
from rapidash.groups import SO, Position


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded("clouds", seed), dtype=torch.float64)


def clouds(pos: torch.Tensor, sizes: list[int]) -> CloudDataset:
    return CloudDataset({"pos": pos}, {"pos": Field(Position())}, torch.tensor(sizes))


def test_chamfer_of_two_points_at_distance_a_is_twice_its_square() -> None:
    a, b = torch.zeros(1, 3).double(), torch.tensor([[0.0, 3.0, 4.0]]).double()
    assert chamfer(a, b) == 50
    assert chamfer(a, b, squared=False) == 10
    assert chamfer(a, torch.cat([a, b])) == 12.5  # 0 there; back 0 and 25, their mean


def test_chamfer_of_a_cloud_and_itself_is_exactly_0_wherever_it_lies() -> None:
    a = normal(50, 3)
    assert chamfer(a, a) == 0
    assert chamfer(a + 1e4, a + 1e4) == 0
    assert chamfer(a, a[torch.randperm(50, generator=seeded("order"))]) == 0
    b = normal(30, 3, seed=1)
    assert chamfer(a + 1e4, b + 1e4) == pytest.approx(chamfer(a, b), rel=1e-9)


def test_chamfer_in_float32_does_not_cancel() -> None:
    """At offset 10 and distance 1e-3: |a|^2 + |b|^2 - 2ab in float32 has errors as large as the square."""
    a = normal(40, 3).float() + 10
    b = a + torch.tensor([1e-3, 0, 0])
    exact = 2 * float((b - a).double().square().sum(dim=1).mean())
    assert chamfer(a, b) == pytest.approx(exact, rel=1e-6)
    expanded = (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).amin(dim=1).mean()
    assert abs(float(expanded) - exact / 2) > 0.5 * exact / 2


def test_matrices_have_every_pair() -> None:
    a, b = normal(3, 8, 3), normal(2, 8, 3, seed=1)
    for matrix, single in ((chamfer_matrix, chamfer), (earth_mover_matrix, earth_mover)):
        found, joint = matrix(a, b), matrix(torch.cat([a, b]))
        assert found.shape == (3, 2)
        assert found[2, 1] == pytest.approx(single(a[2], b[1]))
        assert joint[:3, 3:] == pytest.approx(found)
        assert joint == pytest.approx(joint.T)
        assert joint.diagonal() == pytest.approx([0] * 5)


def test_earth_mover_by_hand() -> None:
    a = normal(12, 3)
    assert earth_mover(a, a[torch.randperm(12, generator=seeded("order"))]) == 0
    shift = torch.tensor([0.3, -0.4, 1.2]).double()
    assert earth_mover(a, a + shift) == pytest.approx(1.3)
    line = torch.tensor([[0.0], [1.0]]).double()
    assert earth_mover(line, torch.tensor([[1.0], [3.0]]).double()) == pytest.approx(1.5)  # 0 to 1 and 1 to 3


def test_earth_mover_is_the_best_of_all_matchings() -> None:
    a, b = normal(5, 2), normal(5, 2, seed=1)
    best = min(
        sum(math.dist(a[i].tolist(), b[j].tolist()) for i, j in enumerate(order)) / 5
        for order in itertools.permutations(range(5))
    )
    assert earth_mover(a, b) == pytest.approx(best)


def test_chamfer_does_not_see_density_and_the_earth_mover_does() -> None:
    """Ten points at 0 and two at 1, against two at 0 and ten at 1."""
    a, b = torch.tensor([0.0] * 10 + [1.0] * 2), torch.tensor([0.0] * 2 + [1.0] * 10)
    assert chamfer(a[:, None], b[:, None]) == 0
    assert earth_mover(a[:, None], b[:, None]) == pytest.approx(8 / 12)


def test_a_cloud_that_is_not_finite_is_infinitely_far() -> None:
    a = normal(3, 6, 3)
    a[1, 2, 0] = math.nan
    a[2, 0, 0] = 1e200
    for matrix in (chamfer_matrix, earth_mover_matrix, pair_distance_matrix):
        found = matrix(a, a[:1])
        assert found[:, 0].tolist() == [0, math.inf, math.inf]
        assert matrix(a)[0].tolist() == [0, math.inf, math.inf]
        assert math.isinf(matrix(a[1:2], a[1:2])[0, 0])


def test_sets_that_do_not_fit_are_refused(shape_checks_off: None) -> None:
    a = normal(2, 4, 3)
    with pytest.raises(ValueError, match=r"the second set must be clouds \(B, N, D\).* got shape \(0, 4, 3\)"):
        chamfer_matrix(a, a[:0])
    with pytest.raises(ValueError, match="clouds need one dimension, got 3 and 2"):
        earth_mover_matrix(a, a[..., :2])
    with pytest.raises(ValueError, match="a matching needs as many points in both clouds, got 4 and 3: see subsampled"):
        earth_mover_matrix(a, a[:, :3])
    with pytest.raises(ValueError, match="a cloud of one point has no distances between its points"):
        sorted_pair_distances(a[:, :1])


def test_pair_distances_by_hand_and_of_turned_clouds() -> None:
    right = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 4.0, 0.0]]]).double()
    assert sorted_pair_distances(right).tolist() == [[3, 4, 5]]
    a, b = normal(1, 9, 3), normal(1, 9, 3, seed=1)
    turn = SO(3).sample(1, generator=seeded("turn")).double()[0, :3, :3]
    assert pair_distance_matrix(a, a @ turn.T)[0, 0] == pytest.approx(0, abs=1e-12)
    assert pair_distance_matrix(a, -a)[0, 0] == pytest.approx(0, abs=1e-12)
    assert pair_distance_matrix(a, 2 * a)[0, 0] == pytest.approx(float(sorted_pair_distances(a).mean()), rel=0.02)
    assert pair_distance_matrix(a, b)[0, 0] > 0.05


def test_quantiles_of_ragged_clouds_by_hand() -> None:
    data = clouds(torch.tensor([[0.0], [1.0], [0.0], [1.0], [3.0]]), [2, 3])
    assert pair_distance_quantiles(data, 1).tolist() == [[1], [2]]  # medians of 1 and of 1, 2, 3
    with pytest.raises(ValueError, match="num_quantiles must be at least 1, got 0"):
        pair_distance_quantiles(data, 0)


def test_drawn_points_are_points_of_the_cloud_whatever_the_others_are() -> None:
    data = clouds(normal(30, 3), [10, 8, 12])
    found = subsampled(data, 8, seed=5)
    assert found.shape == (3, 8, 3)
    for cloud, own in zip(found, data.tensors["pos"].split([10, 8, 12])):
        assert {tuple(point) for point in cloud.tolist()} < {tuple(point) for point in own.tolist()} or len(own) == 8
        assert len({tuple(point) for point in cloud.tolist()}) == 8
    assert torch.equal(found[:2], subsampled(data.subset(torch.arange(2)), 8, seed=5))
    assert not torch.equal(found, subsampled(data, 8, seed=6))
    with pytest.raises(ValueError, match="num_points must be from 1 to 8, the points of the smallest cloud, got 9"):
        subsampled(data, 9)
    with pytest.raises(ValueError, match="there are no clouds"):
        subsampled(clouds(normal(0, 3), []), 1)


def test_normalizations_by_hand() -> None:
    samples = torch.tensor([[[0.0, 0.0], [4.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]]]).double()
    references = torch.tensor([[[0.0, 0.0], [2.0, 2.0]]]).double()  # mean 1, every coordinate 1 away from it
    own, real = normalized(samples, references, "global")
    assert real.tolist() == [[[-1, -1], [1, 1]]]
    assert own.tolist() == [[[-1, -1], [3, 1]], [[0, 0], [0, 0]]]
    own, real = normalized(samples, references, "box")
    assert real.tolist() == [[[-1, -1], [1, 1]]]
    assert own.tolist() == [[[-1, -0.5], [1, 0.5]], [[0, 0], [0, 0]]]
    own, real = normalized(samples, references, "unit sphere")
    assert own[0].norm(dim=1).tolist() == pytest.approx([1, 1])
    assert own[1].tolist() == [[0, 0], [0, 0]]
    assert normalized(samples, references, "none")[0] is samples
    with pytest.raises(ValueError, match="unknown normalization 'cube', expected one of"):
        normalized(samples, references, "cube")


def test_a_cloud_that_is_not_finite_spoils_no_other_normalization() -> None:
    samples = normal(2, 5, 3)
    broken = samples.clone()
    broken[1, 0, 0] = math.inf
    for scale in ("global", "box", "unit sphere"):
        own, _ = normalized(broken, samples, scale)
        assert torch.equal(own[0], normalized(samples, samples, scale)[0][0])
        assert not bool(own[1].isfinite().all())
        assert bool(normalized(samples, broken, scale)[1][0].isfinite().all())
    with pytest.raises(ValueError, match="no reference cloud is finite"):
        normalized(samples, broken[1:], "global")
