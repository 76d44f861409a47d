"""Fits of scaling laws: exact laws come back, noisy ones within their intervals, and what cannot be fitted is said."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from rapidash.scale import (
    Interval,
    extrapolate,
    fit_chinchilla,
    fit_frontier,
    fit_power_law,
    frontier,
    optimal_allocation,
)
from rapidash.scale._power_law import interval

SIZES, SAMPLES = np.geomspace(1e3, 1e6, 6), np.geomspace(1e3, 1e7, 8)
GRID = np.array(list(itertools.product(SIZES, SAMPLES)))
TRUTH = {"A": 8.0, "alpha": 0.35, "B": 20.0, "beta": 0.45}


def losses(noise: float = 0.0, constant: float = 0.0, seed: int = 0) -> np.ndarray:
    clean = TRUTH["A"] * GRID[:, 0] ** -TRUTH["alpha"] + TRUTH["B"] * GRID[:, 1] ** -TRUTH["beta"] + constant
    return clean * np.exp(noise * np.random.default_rng(seed).standard_normal(len(GRID)))


def test_an_exact_power_law_comes_back() -> None:
    law = fit_power_law([1.0, 10.0, 100.0], [2.0, 0.2, 0.02])
    assert (law.coefficient.value, law.exponent.value) == pytest.approx((2.0, 1.0))
    assert law(1000.0) == pytest.approx(0.002)
    assert law.spread == pytest.approx(0, abs=1e-12)


def test_the_slope_is_that_of_least_squares_by_hand() -> None:
    """log2 of the losses 3, 2, 0, 1 at log2 of the sizes 0 to 3: slope -0.8, offset 2.7; residuals .3 .1 -1.1 .7."""
    law = fit_power_law([1.0, 2.0, 4.0, 8.0], [8.0, 4.0, 1.0, 2.0])
    assert law.exponent.value == pytest.approx(0.8)
    assert law.coefficient.value == pytest.approx(2**2.7)
    assert law.spread == pytest.approx(math.log(2) * math.sqrt((0.09 + 0.01 + 1.21 + 0.49) / 2))


def test_the_intervals_of_a_law_are_those_of_least_squares() -> None:
    """Scipy's standard errors of slope and offset, and half of the mean law farther away by their covariance."""
    sizes, found_losses = np.array([1.0, 2, 4, 8, 8]), np.array([8.0, 4, 1, 2, 3])
    law, found = fit_power_law(sizes, found_losses), stats.linregress(np.log(sizes), np.log(found_losses))
    times = stats.t.ppf(0.975, 3)
    ends = -found.slope - times * found.stderr, -found.slope + times * found.stderr
    assert (law.exponent.low, law.exponent.high) == pytest.approx(ends)
    ends = found.intercept - times * found.intercept_stderr, found.intercept + times * found.intercept_stderr
    assert (law.coefficient.low, law.coefficient.high) == pytest.approx(np.exp(ends))
    moved = stats.linregress(np.log(sizes / 100), np.log(found_losses))  # whose offset is the law at 100
    ends = moved.intercept - times * moved.intercept_stderr, moved.intercept + times * moved.intercept_stderr
    ahead = extrapolate(sizes, found_losses, 100)
    assert (ahead.low, ahead.value, ahead.high) == pytest.approx(np.exp([ends[0], moved.intercept, ends[1]]))


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_intervals_from_three_sizes_hold_the_truth_in_19_of_20_data_sets(num_seeds: int) -> None:
    """Also of one seed, whose three points have a single resample with three sizes."""
    x = np.repeat([1e3, 3e3, 1e4], num_seeds)
    held, num, rng = [0, 0], 400, np.random.default_rng(0)
    for _ in range(num):
        found = 3 * x**-0.4 * np.exp(0.1 * rng.standard_normal(len(x)))
        exponent, ahead = fit_power_law(x, found).exponent, extrapolate(x, found, 1e5)
        held[0] += exponent.low <= 0.4 <= exponent.high
        held[1] += ahead.low <= 3 * 1e5**-0.4 <= ahead.high
    assert all(0.92 * num < one < 0.98 * num for one in held)  # 0.95, within three standard errors of 0.011


def test_a_sum_of_two_laws_comes_back_without_noise() -> None:
    fit = fit_chinchilla(GRID[:, 0], GRID[:, 1], losses(), num_bootstrap=5)
    found = (fit.size_coefficient, fit.size_exponent, fit.data_coefficient, fit.data_exponent)
    assert [one.value for one in found] == pytest.approx([8.0, 0.35, 20.0, 0.45], rel=1e-3)
    assert fit.irreducible is None
    assert fit(1e4, 1e5) == pytest.approx(8 * 1e4**-0.35 + 20 * 1e5**-0.45, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_sum_of_two_laws_comes_back_from_five_per_cent_of_noise(seed: int) -> None:
    fit = fit_chinchilla(GRID[:, 0], GRID[:, 1], losses(0.05, seed=seed), num_bootstrap=50)
    assert fit.size_exponent.value == pytest.approx(0.35, abs=0.05)
    assert fit.data_exponent.value == pytest.approx(0.45, abs=0.05)
    assert fit.allocation_exponent.value == pytest.approx(0.45 / 0.80, abs=0.03)  # 0.02 is its deviation over seeds
    allocated = (fit.allocation_exponent, 0.5625)
    for one, truth in ((fit.size_exponent, 0.35), (fit.data_exponent, 0.45), allocated):
        assert one.low < truth < one.high
    assert fit.spread == pytest.approx(0.05, rel=0.4)


def test_a_large_constant_is_found_where_it_is_asked_for() -> None:
    fit = fit_chinchilla(GRID[:, 0], GRID[:, 1], losses(0.01, constant=0.3), irreducible=True, num_bootstrap=5)
    assert fit.irreducible.value == pytest.approx(0.3, rel=0.05)
    without = fit_chinchilla(GRID[:, 0], GRID[:, 1], losses(0.01, constant=0.3), num_bootstrap=5)
    assert without.spread > 3 * fit.spread


def test_one_wild_run_does_not_move_the_fit() -> None:
    found = losses()
    found[17] *= 10
    fit = fit_chinchilla(GRID[:, 0], GRID[:, 1], found, num_bootstrap=2)
    assert fit.size_exponent.value == pytest.approx(0.35, abs=0.01)


def test_the_best_allocation_is_the_best_of_all_splits() -> None:
    fit = fit_chinchilla(GRID[:, 0], GRID[:, 1], losses(), num_bootstrap=2)
    best = optimal_allocation(fit, 6e9, per_parameter_and_sample=6.0)
    sizes = np.geomspace(1e2, 1e8, 20_001)
    tried = [fit(size, 1e9 / size) for size in sizes]
    assert best.size * best.samples == pytest.approx(1e9)
    assert best.size == pytest.approx(sizes[int(np.argmin(tried))], rel=1e-2)
    assert best.loss == pytest.approx(min(tried), rel=1e-6)
    more = optimal_allocation(fit, 6e11, per_parameter_and_sample=6.0)
    assert math.log(more.size / best.size, 100) == pytest.approx(fit.allocation_exponent.value)


def test_a_frontier_is_the_running_least_by_hand() -> None:
    compute, least = frontier([3.0, 1.0, 2.0, 2.0, 5.0, 4.0], [0.5, 1.0, 0.8, 0.7, 0.2, 0.6])
    assert (compute.tolist(), least.tolist()) == ([1.0, 2.0, 3.0, 5.0], [1.0, 0.7, 0.5, 0.2])


def test_the_law_of_a_frontier_ignores_what_lies_above_it() -> None:
    compute = np.geomspace(1, 1e4, 200)
    on = 5 * compute**-0.3
    above = np.concatenate([on, 3 * on[10:]])
    law = fit_frontier(np.concatenate([compute, compute[10:]]), above, num_bootstrap=50)
    assert law.exponent.value == pytest.approx(0.3, abs=0.005)
    assert law.coefficient.value == pytest.approx(5, rel=0.03)
    part = fit_frontier(compute, on, between=(10.0, 1e3), num_bootstrap=20)
    assert part.exponent.value == pytest.approx(0.3, abs=0.01)


def test_the_law_of_a_staircase_by_hand() -> None:
    """One step down by log 2 in the middle of two decades: a line through it falls by 3/4 log 2 in a decade.

    x is uniform on [0, 2], with a variance of 1/3; the covariance with the step is -1/4 log 2, and of its variance,
    1/4 log(2)^2, the line leaves 1/16 log(2)^2.
    """
    law = fit_frontier([1.0, 10.0, 100.0], [4.0, 2.0, 1.0], between=(1.0, 99.999), num_bootstrap=0)
    assert law.exponent.value == pytest.approx(0.75 * math.log10(2), rel=0.01)
    assert law.spread == pytest.approx(math.log(2) / 4, rel=0.01)


def test_resamples_of_a_frontier_begin_in_the_lower_half_of_what_is_fitted() -> None:
    """Those that begin at its end have one point of the 256, and no slope."""
    law = fit_frontier([1, 2, 4, 8, 16, 32], [6, 5, 4, 3, 2, 1], between=(1, 4), num_bootstrap=200)
    assert law.exponent.low is not None
    assert -1 < law.exponent.low <= law.exponent.value <= law.exponent.high < 1


def test_an_interval_leaves_out_a_fortieth_at_each_end() -> None:
    found = interval(7.0, np.arange(1001.0))
    assert (found.value, found.low, found.high) == pytest.approx((7.0, 25.0, 975.0))
    assert interval(7.0, np.array([float("nan")])) == Interval(7.0, None, None)


@pytest.mark.parametrize(
    ("sizes", "losses_", "message"),
    [
        ([1, 2], [1, 1], "a fit needs at least 3 different sizes, got 2"),
        ([1, 1, 2, 2], [1, 1, 1, 1], "at least 3 different sizes, got 2"),
        ([1, 2, 3], [1, 0, 1], "losses must be positive and finite for a power law, got 0"),
        ([1, 2, 3], [1, float("nan"), 1], "losses must be positive and finite for a power law, got nan"),
        ([1, -2, 3], [1, 1, 1], "sizes must be positive and finite for a power law, got -2"),
        ([1, 2, 3], [1, 1], "as many values are needed of each: {'sizes': 3, 'losses': 2}"),
        ([], [], "sizes has no values"),
    ],
)
def test_data_without_a_law_are_refused(sizes: list[float], losses_: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_power_law(sizes, losses_)


def test_fits_in_two_quantities_refuse_too() -> None:
    with pytest.raises(ValueError, match="at least 3 different samples, got 1"):
        fit_chinchilla([1, 2, 3], [5, 5, 5], [1, 1, 1])
    with pytest.raises(ValueError, match="between must be an interval from at least 1, the least compute"):
        fit_frontier([1, 2, 3], [3, 2, 1], between=(0.5, 2))
    flat = fit_chinchilla(GRID[:, 0], GRID[:, 1], 1 / losses(), num_bootstrap=2)
    with pytest.raises(ValueError, match="no allocation is best where an exponent is not positive"):
        optimal_allocation(flat, 1e6)
    good = fit_chinchilla(GRID[:, 0], GRID[:, 1], losses(), num_bootstrap=2)
    with pytest.raises(ValueError, match="compute and per_parameter_and_sample must be positive"):
        optimal_allocation(good, 0)


def test_fits_of_as_many_points_as_coefficients_are_refused() -> None:
    """Four runs determine four coefficients, whatever their errors; of three, a frontier has no other resample."""
    with pytest.raises(ValueError, match="at least 5 runs that differ in sizes or samples, got 4"):
        fit_chinchilla([1, 2, 3, 3, 3], [1, 2, 3, 4, 4], [4, 3, 2, 1, 1])
    with pytest.raises(ValueError, match="at least 6 runs that differ in sizes or samples, got 5"):
        fit_chinchilla([1, 2, 3, 3, 2], [1, 2, 3, 4, 4], [4, 3, 2, 1, 1], irreducible=True)
    law = fit_frontier([1, 2, 4], [3, 2, 1.5])
    assert (law.exponent.low, law.exponent.high) == (None, None)


def test_the_same_seed_gives_the_same_interval() -> None:
    first, second = (fit_frontier(SIZES, SIZES**-0.5 * [1, 1.1, 1, 0.9, 1, 1], seed=3) for _ in range(2))
    assert first == second


def test_a_law_is_followed_beyond_its_sizes() -> None:
    """3 x^-0.5 is 0.3 at 100; with two alternating factors 1.1 and 1 / 1.1 the geometric mean stays."""
    assert extrapolate([1, 4, 16], [3.0, 1.5, 0.75], 100).value == pytest.approx(0.3)
    sizes = [size for size in (1, 4, 16) for _ in range(2)]
    losses = [3 * size**-0.5 * factor for size in (1, 4, 16) for factor in (1.1, 1 / 1.1)]
    found = extrapolate(sizes, losses, 100)
    assert found.value == pytest.approx(0.3)
    assert found.low is not None
    assert found.high is not None
    # the spread is sqrt(6 / 4) log 1.1; of 6 points about log 4, whose squared distances to it sum to 4 log(4)^2
    half = 2.776445 * math.sqrt(1.5) * math.log(1.1) * math.sqrt(1 / 6 + (math.log(25) / math.log(4)) ** 2 / 4)
    assert (found.low, found.high) == pytest.approx((0.3 * math.exp(-half), 0.3 * math.exp(half)))
    near = extrapolate(sizes, losses, 16)
    assert near.high is not None
    assert near.low is not None
    assert near.high / near.low < found.high / found.low  # less is known farther away


def test_a_law_is_followed_from_three_sizes_on_and_to_sizes_above_zero() -> None:
    with pytest.raises(ValueError, match="at least 3 different sizes, got 2"):
        extrapolate([1, 4], [3.0, 1.5], 100)
    with pytest.raises(ValueError, match="at must be positive and finite for a power law, got 0"):
        extrapolate([1, 4, 16], [3.0, 1.5, 0.75], 0)
