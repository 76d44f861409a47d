"""1-NNA, minimum matching distance and coverage by hand; random halves, disjoint sets, copies and duplicates."""

import math
import time

import numpy as np
import pytest
import torch

from rapidash.data import CloudDataset, Field, seeded
from rapidash.generate.metrics import (
    chamfer_matrix,
    cloud_figures,
    coverage,
    figures_table,
    minimum_matching_distance,
    nearest_neighbor_accuracy,
)
from rapidash.generate.metrics._set_figures import error_by_halves
from rapidash.groups import Position


def on_a_line(samples: list[float], references: list[float]) -> np.ndarray:
    """Joint distances of numbers."""
    values = np.array(samples + references)
    return np.abs(values[:, None] - values)


def test_1nna_by_hand() -> None:
    """Samples 0, 1, 10 and references 2, 11, 11.5: 0 is near 1; 1 is as near to 0 as to 2; 10 is near 11."""
    found = nearest_neighbor_accuracy(on_a_line([0, 1, 10], [2, 11, 11.5]), num_resamples=2)
    assert found.samples == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.references == pytest.approx((0 + 1 + 1) / 3)  # 2 is near 1; 11 and 11.5 near each other
    assert found.value == pytest.approx(3.5 / 6)
    assert math.isnan(found.error)  # 3 clouds have no halves


def test_1nna_of_far_sets_of_duplicates_and_of_copies() -> None:
    assert nearest_neighbor_accuracy(on_a_line([0, 1, 2, 3], [100, 101, 102, 103])).value == 1
    assert nearest_neighbor_accuracy(on_a_line([0, 0, 0, 0], [0, 0, 0, 0])).value == 0.5
    assert nearest_neighbor_accuracy(on_a_line([0, 0, 5, 5], [0, 0, 5, 5])).value == 0.5
    copies = nearest_neighbor_accuracy(on_a_line(list(range(40)), list(range(40))))
    assert copies.value == 0
    assert copies.is_copying


def test_1nna_of_random_halves_is_half_and_its_errors_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    found = []
    for seed in range(30):
        points = rng.normal(size=(80, 3))
        joint = np.linalg.norm(points[:, None] - points, axis=2)
        found.append(nearest_neighbor_accuracy(joint, num_resamples=50, seed=seed))
    values = np.array([one.value for one in found])
    null = np.mean([one.null_error for one in found])
    assert abs(values.mean() - 0.5) < 3 * null / math.sqrt(30)
    assert values.std() == pytest.approx(null, rel=0.4)
    assert null < np.mean([one.error for one in found]) < 1.6 * null  # on the safe side
    assert not any(one.is_copying for one in found)


def test_a_cloud_that_is_far_from_all_is_told_apart_and_nobodys_neighbor() -> None:
    joint = on_a_line([0.0, 2.0, 4.0, 6.0], [1.0, 3.0, 5.0, 7.0])
    before = nearest_neighbor_accuracy(joint)
    joint[0, :] = joint[:, 0] = math.inf
    after = nearest_neighbor_accuracy(joint)
    assert before.samples == 0
    assert after.samples == 0.25
    assert coverage(joint[:4, 4:]) <= coverage(on_a_line([0.0, 2.0, 4.0, 6.0], [1.0, 3.0, 5.0, 7.0])[:4, 4:])


def test_mmd_and_cov_by_hand() -> None:
    cross = np.array([[1.0, 4.0, 3.0], [2.0, 5.0, 6.0], [9.0, 8.0, 7.0]])  # three samples, three references
    assert minimum_matching_distance(cross) == pytest.approx((1 + 4 + 3) / 3)
    assert coverage(cross) == pytest.approx(2 / 3)  # samples 1 and 2 cover the first, sample 3 the last
    tied = np.array([[1.0, 1.0], [5.0, 3.0]])
    assert coverage(tied) == 1
    tied[0] = math.inf
    assert coverage(tied) == 0.5
    assert minimum_matching_distance(tied) == 4
    assert math.isinf(minimum_matching_distance(np.full((2, 2), math.inf)))
    assert coverage(np.full((2, 2), math.inf)) == 0


def test_error_by_halves_is_that_of_a_mean() -> None:
    """A figure that is the mean over references of their own number: s / sqrt(n)."""
    values = np.random.default_rng(0).normal(size=100)
    cross = np.tile(values, (100, 1))
    error = error_by_halves(lambda part: float(part.mean()), cross, num_resamples=2000)
    assert error == pytest.approx(values.std() / 10, rel=0.06)
    assert math.isnan(error_by_halves(coverage, cross[:3, :3]))


def test_matrices_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"joint must be \(2n, 2n\) for n >= 2 samples and n references, got \(3, 3\)"):
        nearest_neighbor_accuracy(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="joint has distances that are negative or nan"):
        nearest_neighbor_accuracy(np.full((4, 4), math.nan))
    with pytest.raises(ValueError, match=r"cross must be distances \(samples, references\)"):
        coverage(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="none negative or nan"):
        minimum_matching_distance(np.full((2, 2), -1.0))


def ellipsoids(num: int, seed: int, num_points: int = 40) -> CloudDataset:
    """Points on ellipsoids of random axes."""
    rng = seeded("ellipsoids", seed)
    points = torch.randn(num, num_points, 3, generator=rng)
    points = points / points.norm(dim=2, keepdim=True) * (0.5 + torch.rand(num, 1, 3, generator=rng))
    return CloudDataset({"pos": points.flatten(0, 1)}, {"pos": Field(Position())}, torch.full((num,), num_points))


def test_the_report_on_clouds() -> None:
    options = {"num_points": 32, "num_points_earth_mover": 16, "num_resamples": 20}
    distances = ("chamfer", "earth mover", "pair distances")
    figures = cloud_figures(ellipsoids(20, 0), ellipsoids(20, 1), distances=distances, scale="box", **options)
    found = {figure.name: figure for figure in figures}
    assert len(found) == len(figures) == 1 + 3 * 7
    assert found["finite"].value == 100
    value = found["1-NNA (chamfer, box, 32 points)"]
    assert value.low < value.value < value.high <= 100
    assert value.num == 40
    halves = [found[f"1-NNA of {part} (earth mover, box, 16 points)"].value for part in ("samples", "references")]
    assert found["1-NNA (earth mover, box, 16 points)"].value == pytest.approx(sum(halves) / 2)
    assert found["|1-NNA - 50| (chamfer, box, 32 points)"].value == pytest.approx(abs(value.value - 50))
    assert found["MMD (pair distances, box, 32 points)"].value > 0
    assert 20 < found["COV (chamfer, box, 32 points)"].value <= 100
    assert "Chamfer does not see the density" in figures_table(figures)
    again = cloud_figures(ellipsoids(20, 0), ellipsoids(20, 1), distances=distances, scale="box", **options)
    assert again == figures


def test_copies_are_noticed_and_broken_samples_do_not_help() -> None:
    options = {"distances": ("chamfer",), "num_points": 32, "num_resamples": 20}
    real = ellipsoids(40, 1)
    copied = cloud_figures(real, real, **options)
    assert copied[1].value < 10
    assert "samples lie nearer to single references" in copied[1].note
    fair = cloud_figures(ellipsoids(40, 0), real, **options)
    broken = ellipsoids(40, 0)
    broken.tensors["pos"][: 20 * 40] = math.nan
    bad = cloud_figures(broken, real, **options)
    assert bad[0].value == 50
    assert bad[2].value > fair[2].value  # 1-NNA of the samples: the broken half is told apart
    assert bad[5].value >= fair[5].value  # MMD
    assert bad[6].value <= fair[6].value  # COV


def test_unequal_sets_and_unknown_distances_are_refused() -> None:
    with pytest.raises(ValueError, match=r"as many samples as references, at least 2, got 4 and 5: take \.subset"):
        cloud_figures(ellipsoids(4, 0), ellipsoids(5, 0))
    with pytest.raises(ValueError, match="at least 2, got 1 and 1"):
        cloud_figures(ellipsoids(1, 0), ellipsoids(1, 0))
    with pytest.raises(ValueError, match=r"unknown distances \['sinkhorn'\], expected some of"):
        cloud_figures(ellipsoids(4, 0), ellipsoids(4, 1), distances=("sinkhorn",))
    with pytest.raises(ValueError, match="num_points must be from 1 to 40"):
        cloud_figures(ellipsoids(4, 0), ellipsoids(4, 1))


@pytest.mark.slow
def test_chamfer_1nna_of_twice_500_clouds_of_512_points_takes_less_than_3_minutes_of_one_core() -> None:
    clouds = torch.randn(100, 512, 3, generator=seeded("time"), dtype=torch.float64)
    chamfer_matrix(clouds[:2])  # compiles
    begin = time.process_time()
    chamfer_matrix(clouds)
    assert (time.process_time() - begin) * (1000 * 999) / (100 * 99) < 180


def test_intervals_of_the_report_are_those_of_their_own_figures() -> None:
    """All points and no scale, so that the distances are those of the clouds as they are."""
    made, real = ellipsoids(12, 0), ellipsoids(12, 1)
    options = {"distances": ("chamfer",), "scale": "none", "num_points": 40, "num_points_earth_mover": 8}
    found = {figure.name.split(" (")[0]: figure for figure in cloud_figures(made, real, num_resamples=30, **options)}
    cross = chamfer_matrix(*(data.tensors["pos"].unflatten(0, (12, 40)) for data in (made, real)))
    for name, figure, scale in (("COV", coverage, 100.0), ("MMD", minimum_matching_distance, 1.0)):
        value, error = figure(cross), error_by_halves(figure, cross, num_resamples=30)
        assert found[name].value == pytest.approx(scale * value)
        assert found[name].low == pytest.approx(max(0, scale * (value - 1.959964 * error)))
