"""Intervals of shares, and the Wasserstein distance on a line and on a circle, by hand and by other routes."""

import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance

from rapidash.generate.metrics import share_figure, wasserstein, wilson_interval
from rapidash.generate.metrics._wasserstein import wasserstein_error


def test_wilson_by_hand() -> None:
    """With z^2 = 3.8415: of 10 trials without success the upper end is z^2 / (10 + z^2)."""
    assert wilson_interval(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)
    assert wilson_interval(10, 10) == pytest.approx((0.72247, 1), abs=1e-5)
    assert wilson_interval(5, 10) == pytest.approx((0.236593, 0.763407), abs=1e-5)
    low, high = wilson_interval(9300, 10_000)
    assert (high - low) / 2 == pytest.approx(0.005, abs=1e-4)
    low, high = wilson_interval(930, 1000)
    assert (high - low) / 2 == pytest.approx(0.016, abs=3e-4)


def test_a_share_has_its_interval_in_percent() -> None:
    figure = share_figure("a", 5, 10)
    assert (figure.value, figure.num, figure.unit) == (50, 10, "%")
    assert figure.low == pytest.approx(23.6593, abs=1e-3)


@pytest.mark.parametrize(("count", "total"), [(1, 0), (-1, 4), (5, 4)])
def test_impossible_shares_are_refused(count: int, total: int) -> None:
    with pytest.raises(ValueError, match="0 <= count <= total and total > 0"):
        wilson_interval(count, total)


def test_on_a_line_by_hand() -> None:
    assert wasserstein(np.array([0.0, 1.0]), np.array([2.0])) == pytest.approx(1.5)
    assert wasserstein(np.array([0.0, 0.0, 3.0]), np.array([0.0, 3.0, 3.0])) == pytest.approx(1)  # a third moves by 3
    assert wasserstein(np.array([1.0, 2.0]), np.array([2.0, 1.0])) == 0
    assert math.isnan(wasserstein(np.empty(0), np.array([1.0])))


def test_on_a_line_as_scipy_has_it() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=17), rng.normal(size=40) + 1
    assert wasserstein(a, b) == pytest.approx(wasserstein_distance(a, b))


def test_on_a_circle_by_hand() -> None:
    assert wasserstein(np.array([350.0]), np.array([10.0]), period=360) == pytest.approx(20)
    assert wasserstein(np.array([-170.0]), np.array([170.0]), period=360) == pytest.approx(20)
    assert wasserstein(np.array([0.0, 180.0]), np.array([90.0, 270.0]), period=360) == pytest.approx(90)
    assert wasserstein(np.array([0.0]), np.array([0.0, 350.0]), period=360) == pytest.approx(5)
    with pytest.raises(ValueError, match="period must be above 0, got 0"):
        wasserstein(np.array([0.0]), np.array([1.0]), period=0)


def test_on_a_circle_as_the_best_matching() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        a, b = rng.uniform(0, 360, size=(2, 9))
        apart = np.abs(a[:, None] - b)
        cost = np.minimum(apart, 360 - apart)
        matched = cost[linear_sum_assignment(cost)].mean()
        assert wasserstein(a, b, period=360) == pytest.approx(matched)


def test_the_error_is_of_whole_molecules() -> None:
    """Values 0 and 1 in two molecules: drawn again, the distance to 0 is the share of the second molecule."""
    a, owner = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1])
    weights = np.array([[2, 0], [1, 1], [0, 2]])
    assert wasserstein_error(a, owner, np.zeros(3), weights) == pytest.approx(0.5)  # of 0, 1/2 and 1
    assert math.isnan(wasserstein_error(a[:2], owner[:2], np.zeros(3), weights))  # of one molecule
    three = np.array([[1, 1, 1], [0, 0, 3]])
    assert math.isnan(wasserstein_error(a, owner, np.zeros(3), three))  # the second draw has none of the two
