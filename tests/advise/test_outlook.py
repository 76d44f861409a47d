"""Draws of errors, the probability of being the best, and what a power law says of more."""

import math

import numpy as np
import pytest

from rapidash.advise._outlook import (
    Draws,
    expected_errors,
    interval,
    least_error,
    power_curve,
    probability_of_best,
    seed_spread,
)
from rapidash.advise._race import Raced
from rapidash.advise._race_state import Cost
from rapidash.advise._trial import Trial


def trial(name: str, value: float, *, seed: int = 0, fraction: float = 1.0, num: int = 40, steps: int = 10) -> Trial:
    """A trial all of whose clouds have the same error."""
    errors = (value,) * 20
    return Trial(f"{name}{value}{seed}{fraction}", name, seed, fraction, steps, num, errors, errors)


def race(*rounds: dict[str, tuple[Trial, ...]]) -> Raced:
    return Raced(rounds, {}, {name: Cost(step=0.1) for name in rounds[0]}, {}, 40, 1.0)


def test_the_probability_of_being_best_by_hand() -> None:
    draws = {"a": np.array([1.0, 2.0, 3.0, 1.0]), "b": np.array([2.0, 1.0, 4.0, 1.0]), "c": np.array([9.0] * 4)}
    assert probability_of_best(draws) == {"a": 2.5 / 4, "b": 1.5 / 4, "c": 0.0}


def test_the_spread_between_seeds_by_hand() -> None:
    pair = (trial("a", 1.0), trial("a", math.e**2, seed=1))  # logarithms 0 and 2: variance 2 with one degree of freedom
    same = (trial("b", 3.0), trial("b", 3.0, seed=1))
    assert seed_spread([pair]) == pytest.approx(math.sqrt(2))
    assert seed_spread([pair, same]) == pytest.approx(1.0)
    assert seed_spread([(trial("a", 1.0),)]) == 0.05


def test_an_exact_power_law_is_continued() -> None:
    sizes = (10.0, 20.0, 40.0)
    groups = {size: (trial("a", 5 * size**-0.5),) for size in sizes}
    draws = Draws(race({"a": groups[40.0]}), num=200)
    draws.spread = 0.0
    curve = power_curve("a", groups, draws, (160.0,))
    assert curve is not None
    assert curve.exponent.value == pytest.approx(0.5)
    assert (curve.exponent.low, curve.exponent.high) == pytest.approx((0.5, 0.5))
    found = curve.ahead[160.0]
    assert (found.value, found.low, found.high) == pytest.approx((5 * 160**-0.5,) * 3)
    assert power_curve("a", {size: groups[size] for size in sizes[:2]}, draws, (160.0,)) is None


def test_noise_and_misfit_widen_what_lies_ahead() -> None:
    groups = {size: (trial("a", value),) for size, value in ((10.0, 2.0), (20.0, 1.0), (40.0, 1.5))}
    draws = Draws(race({"a": groups[40.0]}), num=500)
    draws.spread = 0.0
    misfit = power_curve("a", groups, draws, (80.0, 160.0))
    assert misfit is not None
    near, far = misfit.ahead[80.0], misfit.ahead[160.0]
    assert near.low < near.value < near.high
    assert far.high / far.low > near.high / near.low


def test_one_that_left_keeps_its_ratio() -> None:
    first = {"a": (trial("a", 2.0, fraction=0.25),), "b": (trial("b", 6.0, fraction=0.25),)}
    raced = race(first, {"a": (trial("a", 1.0),)})
    draws = Draws(raced, num=4000)
    draws.spread = 0.0
    found = expected_errors(raced, draws, transfer=0.0)
    assert np.allclose(found["a"], math.log(1.0))
    assert np.allclose(found["b"], math.log(3.0))  # 6 / 2 of the error of a in the last round
    wide = expected_errors(raced, draws, transfer=0.2)["b"]
    assert float(wide.std()) == pytest.approx(0.2, rel=0.1)


def test_validation_clouds_are_drawn_alike_for_all() -> None:
    errors = tuple(float(value) for value in range(1, 41))
    one = Trial("1", "a", 0, 1.0, 1, 40, errors, errors)
    two = Trial("2", "b", 0, 1.0, 1, 40, tuple(2 * value for value in errors), errors)
    draws = Draws(race({"a": (one,), "b": (two,)}), num=300)
    draws.spread = 0.0
    difference = draws.of((two,)) - draws.of((one,))
    assert np.allclose(difference, math.log(2))
    assert float(draws.of((one,)).std()) > 0.05
    assert draws.estimate((one,)) == pytest.approx(math.log(20.5))


def test_no_error_at_all_is_half_of_one() -> None:
    assert least_error(np.array([[0.0, 100.0, 0.0, 0.0]])) == 0.5 * 100 / 4
    assert least_error(np.zeros((1, 4))) == 1e-12


def test_an_interval_holds_its_value() -> None:
    found = interval(5.0, np.linspace(0, 1, 1001))
    assert (found.value, found.low, found.high) == (5.0, pytest.approx(0.025), 5.0)


def test_neither_a_law_nor_its_interval_goes_beyond_the_largest_error() -> None:
    groups = {size: (trial("a", value),) for size, value in ((10.0, 60.0), (20.0, 70.0), (40.0, 90.0))}
    draws = Draws(race({"a": groups[40.0]}), num=500)
    free, bound = (power_curve("a", groups, draws, (160.0,), most) for most in (math.inf, 100.0))
    assert free is not None
    assert bound is not None
    assert free.ahead[160.0].value == pytest.approx(132.8, rel=0.001)  # 72.30 (160 / 20)^0.2925
    assert bound.ahead[160.0].value == bound.ahead[160.0].high == 100.0


def test_the_noise_of_seeds_falls_with_their_number() -> None:
    """Equal errors of all clouds: nothing but seeds varies, by 0.2 for one and 0.2 / sqrt(4) for the mean of four."""
    four = tuple(trial("a", 1.0, seed=seed) for seed in range(4))
    draws = Draws(race({"a": four}), num=20_000)
    draws.spread = 0.2
    assert float(draws.of(four[:1]).std()) == pytest.approx(0.2, rel=0.03)
    assert float(draws.of(four).std()) == pytest.approx(0.1, rel=0.03)


def test_a_ratio_changes_with_the_root_of_the_rounds_that_were_missed() -> None:
    """b left after the first of three rounds: transfer * sqrt(2)."""
    both = {"a": (trial("a", 1.0),), "b": (trial("b", 2.0),)}
    raced = race(both, {"a": (trial("a", 1.0),)}, {"a": (trial("a", 1.0),)})
    draws = Draws(raced, num=20_000)
    draws.spread = 0.0
    found = expected_errors(raced, draws, transfer=0.2)["b"]
    assert float(found.mean()) == pytest.approx(math.log(2), abs=0.01)
    assert float(found.std()) == pytest.approx(0.2 * math.sqrt(2), rel=0.03)


def test_the_interval_ahead_by_hand() -> None:
    """Logarithms log 2, 0, log 1.5 at places log 2 apart: residuals r, -2 r, r, so a spread of r sqrt(6).

    Twice log 2 from the middle of places whose squares sum to 2 (log 2)^2: sqrt(1/3 + 2) of it.
    """
    groups = {size: (trial("a", value),) for size, value in ((10.0, 2.0), (20.0, 1.0), (40.0, 1.5))}
    draws = Draws(race({"a": groups[40.0]}), num=40_000)
    draws.spread = 0.0
    curve = power_curve("a", groups, draws, (80.0,))
    assert curve is not None
    residual = (math.log(2) + math.log(1.5)) / 2 - (math.log(2) + math.log(1.5)) / 3
    spread = residual * math.sqrt(6)
    found = curve.ahead[80.0]
    assert math.log(found.high / found.low) == pytest.approx(2 * 1.96 * spread * math.sqrt(1 / 3 + 2), rel=0.03)
