"""Intervals and tests over seeds, against values by hand and against their own coverage."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapidash.study import (
    error_estimate,
    estimate,
    false_discovery,
    largest_value,
    mean_interval,
    paired_difference,
    paired_t_p_value,
    ratio_interval,
    sign_flip_p_value,
    smallest_p_value,
)
from rapidash.study._estimate import figure_estimate, value_range
from rapidash.study._judge import compare

T_2 = 4.302652729911275  # 97.5 % point of Student's t with 2 degrees of freedom, from a table


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_mean_interval_by_hand() -> None:
    mean, low, high = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert high == pytest.approx(2 + T_2 / math.sqrt(3), rel=1e-9)
    assert low == pytest.approx(2 - T_2 / math.sqrt(3), rel=1e-9)


def test_one_seed_has_no_interval() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mean_interval([0.5]) == (0.5, None, None)
        assert paired_difference(by_seed(2.0), by_seed(1.5)) == (0.5, None, None)
        assert ratio_interval(by_seed(3.0), by_seed(1.5)) == (2.0, None, None)
        assert paired_t_p_value(by_seed(2.0), by_seed(1.5)) is None
        assert sign_flip_p_value(by_seed(2.0), by_seed(1.5)) is None


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_an_interval_needs_finite_values(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least one value|finite"):
        mean_interval(values)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    cases = 2000
    means = ratios = third = 0
    for _ in range(cases):
        shared = rng.normal(size=3)  # what seeds share makes the values of two variants correlated
        a, b = (by_seed(*(center + shared + rng.normal(size=3))) for center in (30, 60))
        mean, low, high = mean_interval(list(a.values()))
        means += low < 30 < high
        third += abs(mean - 30) < (high - low) / 6
        _, low, high = ratio_interval(a, b)
        ratios += low < 0.5 < high
    assert means / cases == pytest.approx(0.95, abs=0.015)
    assert ratios / cases == pytest.approx(0.95, abs=0.015)
    assert third / cases < 0.90  # an interval of a third of the width would be found out


def test_paired_difference_takes_out_what_seeds_share() -> None:
    noise = [5.0, -3.0, 1.0, 0.5]
    result = paired_difference(by_seed(*(1.0 + x for x in noise)), by_seed(*noise))
    assert result.mean == pytest.approx(1.0)
    assert result.low == pytest.approx(1.0)
    assert result.high == pytest.approx(1.0)


def test_only_common_seeds_are_compared() -> None:
    assert paired_difference({0: 1.0, 1: 2.0, 7: 100.0}, {0: 0.0, 1: 1.0, 8: -100.0}).mean == 1.0
    for function in (paired_difference, ratio_interval, paired_t_p_value, sign_flip_p_value):
        with pytest.raises(ValueError, match=r"no seed in common: \[0\] and \[1\]"):
            function({0: 1.0}, {1: 1.0})


def test_sign_flip_p_value_by_enumeration() -> None:
    differences = [1.0, 2.0, -0.5]
    flips = [abs(a * 1.0 + b * 2.0 + c * 0.5) for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    by_hand = sum(value >= abs(sum(differences)) - 1e-12 for value in flips) / 8
    assert sign_flip_p_value(by_seed(*differences), by_seed(0, 0, 0)) == pytest.approx(by_hand)


@pytest.mark.parametrize("count", [2, 3, 5, 6, 8])
def test_smallest_p_value_is_reached_and_not_passed(count: int) -> None:
    p_value = sign_flip_p_value(by_seed(*range(1, count + 1)), by_seed(*[0.0] * count))
    assert p_value == pytest.approx(smallest_p_value(count))


def test_three_seeds_cannot_be_significant_by_sign_flips_and_six_can() -> None:
    assert smallest_p_value(3) == 0.25
    assert smallest_p_value(5) > 0.05 > smallest_p_value(6)
    assert smallest_p_value(1) == 1.0


def test_many_seeds_use_random_flips_and_the_same_each_time() -> None:
    rng = np.random.default_rng(1)
    a, b = by_seed(*rng.normal(0.8, 1, 30)), by_seed(*rng.normal(0, 1, 30))
    first = sign_flip_p_value(a, b)
    assert first is not None
    assert first == sign_flip_p_value(a, b)
    assert 0 < first < 0.2


def test_fieller_is_unbounded_when_the_denominator_may_be_zero() -> None:
    assert ratio_interval(by_seed(1.0, 1.1, 0.9), by_seed(1.0, -0.9, 0.2))[1:] == (None, None)
    with pytest.raises(ValueError, match="mean is not 0"):
        ratio_interval(by_seed(1.0, 2.0), by_seed(1.0, -1.0))


@given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=6), st.floats(0.1, 10))
def test_ratio_with_itself_scaled_is_the_scale(values: list[float], scale: float) -> None:
    mean, low, high = ratio_interval(by_seed(*(scale * value for value in values)), by_seed(*values))
    assert mean == pytest.approx(scale)
    assert low is None or (low == pytest.approx(scale, rel=1e-4) and high == pytest.approx(scale, rel=1e-4))


def test_false_discovery_by_hand_keeps_places_and_gaps() -> None:
    # Benjamini-Hochberg of (0.01, 0.02, 0.9): 0.01 * 3 / 1 = 0.03 and 0.02 * 3 / 2 = 0.03, then 0.9
    assert false_discovery([0.9, None, 0.01, 0.02]) == [
        pytest.approx(0.9),
        None,
        pytest.approx(0.03),
        pytest.approx(0.03),
    ]
    assert false_discovery([None]) == [None]
    assert false_discovery([]) == []


def test_intervals_of_errors_end_at_zero_and_others_do_not() -> None:
    errors = by_seed(0.0, 0.1, 0.2)  # 0.1 +- 0.248
    low, high = 0.1 - T_2 * 0.1 / math.sqrt(3), 0.1 + T_2 * 0.1 / math.sqrt(3)
    plain, cut = estimate(errors), error_estimate(errors)
    assert plain is not None
    assert cut is not None
    assert (plain.low, plain.high) == (pytest.approx(low), pytest.approx(high))
    assert (cut.mean, cut.low, cut.high, cut.by_seed) == (plain.mean, 0.0, plain.high, errors)
    signed = by_seed(-0.1, 0.1, 0.2)
    assert error_estimate(signed) == estimate(signed)
    assert error_estimate({}) is None
    assert error_estimate(by_seed(0.5)) == estimate(by_seed(0.5))
    (comparison,) = compare({"a": errors, "b": by_seed(1.0, 1.1, 0.9)}, [("a", "b")])[1].values()
    whole = ratio_interval(errors, by_seed(1.0, 1.1, 0.9))
    assert whole.low is not None
    assert whole.low < 0
    assert (comparison.ratio_low, comparison.ratio_high) == (0.0, whole.high)


def test_intervals_of_shares_end_at_all_and_those_of_ratios_do_not() -> None:
    rates = by_seed(100.0, 98.0, 99.0)  # 99 +- 2.48
    plain, cut = error_estimate(rates), error_estimate(rates, most=100.0)
    assert plain is not None
    assert cut is not None
    assert plain.high == pytest.approx(99 + T_2 / math.sqrt(3))
    assert (cut.mean, cut.low, cut.high) == (99.0, plain.low, 100.0)
    beyond = by_seed(101.0, 98.0, 99.0)  # not what was said: left alone
    assert error_estimate(beyond, most=100.0) == error_estimate(beyond)
    assert error_estimate(by_seed(99.0), most=100.0) == error_estimate(by_seed(99.0))


@pytest.mark.parametrize(
    ("name", "unit", "most"),
    [
        ("error rate", "%", 100.0),
        ("class mIoU (%)", "", 100.0),
        ("MSE of positions", "length^2", None),
        ("mean absolute error of humidity", "percentage points", None),
        ("classes, unexplained by a linear probe of the invariant part", "%", None),
        ("samples: median difference from the rotational constant asked for", "%", None),
    ],
)
def test_only_shares_have_an_end(name: str, unit: str, most: float | None) -> None:
    assert largest_value(name, unit) == most


@pytest.mark.parametrize(
    ("name", "unit", "ends"),
    [
        ("samples: p-value of turned copies", "1", (0.0, 1.0)),
        ("samples: order of poses", "1", (0.0, 2.0)),
        ("samples: W1 of energies", "k_B T", (0.0, math.inf)),
        ("samples: W1 of bond lengths", "mA", (0.0, math.inf)),
        ("denoising loss, sigma below 0.076", "1", (0.0, math.inf)),
        ("latent error, trivial action", "1", (0.0, math.inf)),
        ("effective invariance, moved data", "1", (0.0, 1.0)),
        ("samples: atom stable (bond lookup)", "%", (0.0, 100.0)),
        ("samples: median difference from the rotational constant asked for", "%", (0.0, math.inf)),
        ("samples: mean energy", "k_B T", (-math.inf, math.inf)),
        ("log-likelihood of test clouds per degree of freedom", "nats", (-math.inf, math.inf)),
        ("samples: 1-NNA - 50 in standard deviations of chance (pair distances, box)", "1", (-math.inf, math.inf)),
        ("leak of the site given the covariate", "1", (-math.inf, math.inf)),
    ],
)
def test_a_figure_ends_where_its_quantity_does(name: str, unit: str, ends: tuple[float, float]) -> None:
    assert value_range(name, unit) == ends


def test_intervals_of_figures_leave_nothing_that_is_possible_and_show_nothing_else() -> None:
    half = T_2 * 0.3 / math.sqrt(3)  # of (0.2, 0.5, 0.8): 0.5 +- 0.745
    values = by_seed(0.2, 0.5, 0.8)

    def ends(name: str, values: dict[int, float] = values, unit: str = "1") -> tuple[float, float, float]:
        found = figure_estimate(values, name, unit)
        assert found is not None
        return found.mean, found.low, found.high  # type: ignore[return-value]

    assert ends("p-value of turned copies") == pytest.approx((0.5, 0.0, 1.0))
    assert ends("order of poses") == pytest.approx((0.5, 0.0, 0.5 + half))
    assert ends("W1 of energies") == pytest.approx((0.5, 0.0, 0.5 + half))
    assert ends("mean energy") == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    beyond = by_seed(0.2, 0.5, 1.1)  # an end that a value passes is none; the other one stays
    _, low, high = ends("p-value of turned copies", beyond)
    assert (low, high) == (0.0, pytest.approx(0.6 + T_2 * math.sqrt(0.21) / math.sqrt(3)))
    assert figure_estimate({}, "W1 of energies", "1") is None


def test_a_share_that_is_rounding_is_none_and_a_small_error_stays() -> None:
    noise = by_seed(-1.3e-14, 4e-15, 2e-15)
    share, error = figure_estimate(noise, "share of the loss", "%"), figure_estimate(noise, "error of symmetry", "1")
    assert share is not None
    assert (share.mean, share.low, share.high, share.values) == (0.0, 0.0, 0.0, [0.0] * 3)
    assert error is not None
    assert error.values == [-1.3e-14, 4e-15, 2e-15]
    small = figure_estimate(by_seed(1e-6), "share of the loss", "%")
    assert small is not None
    assert small.mean == 1e-6
