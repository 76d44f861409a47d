"""The rule on draws made by hand."""

import numpy as np
import pytest

from rapidash.advise import RULE, Rule
from rapidash.advise._rule import runner_up
from rapidash.advise._words import not_told_apart, validation_needed

NEAR = {"T(3)": np.array([1.0, 1.2, 1.4]), "E(3)": np.array([1.1, 1.2, 1.5]), "far": np.array([3.0, 3.0, 3.0])}
FINALISTS = ["T(3)", "E(3)"]
SYMMETRY = {"T(3)": 0.0, "E(3)": 3.5, "far": 9.0}


def rule(ties: float, prefers: str) -> Rule:
    return Rule(ties, prefers, 0.1, "here")  # type: ignore[arg-type]


def test_the_least_expected_error_wins_without_a_preference() -> None:
    assert rule(9.0, "never").name(NEAR, SYMMETRY, {}, FINALISTS) == "T(3)"
    assert rule(0.0, "always").name(NEAR, SYMMETRY, {}, FINALISTS) == "T(3)"


def test_of_equal_ones_the_more_symmetric() -> None:
    # E(3) - T(3): 0.1, 0, 0.1: mean 0.0667, deviation 0.0471, that is 1.41 standard errors
    assert rule(1.5, "always").name(NEAR, SYMMETRY, {}, FINALISTS) == "E(3)"
    assert rule(1.3, "always").name(NEAR, SYMMETRY, {}, FINALISTS) == "T(3)"


@pytest.mark.parametrize(
    ("prefers", "says", "named"),
    [
        ("uniform", {"pose": "no"}, "E(3)"),
        ("uniform", {"pose": "yes"}, "T(3)"),
        ("uniform", {"pose": "cannot tell"}, "T(3)"),
        ("silent", {"pose": "yes", "pose beyond shape": "no", "vertical": "no"}, "E(3)"),
        ("silent", {"pose": "yes", "pose beyond shape": "no", "vertical": "yes"}, "T(3)"),
        ("silent", {"direction": "yes"}, "T(3)"),
        ("silent", {"pose beyond shape": "yes", "vertical": "no"}, "T(3)"),
    ],
)
def test_when_symmetry_is_preferred(prefers: str, says: dict[str, str], named: str) -> None:
    assert rule(2.0, prefers).name(NEAR, SYMMETRY, says, FINALISTS) == named


def test_one_that_left_is_not_named_for_being_uncertain() -> None:
    assert rule(1.5, "always").name(NEAR, SYMMETRY, {}, ["T(3)"]) == "T(3)"
    left_best = {**NEAR, "E(3)": np.array([0.5, 0.5, 0.5])}
    assert rule(1.5, "always").name(left_best, SYMMETRY, {}, ["T(3)"]) == "E(3)"


def test_nothing_to_name() -> None:
    with pytest.raises(ValueError, match="at least one variant"):
        RULE.name({}, {}, {}, [])


def test_the_runner_up_is_the_other_that_is_most_often_best() -> None:
    assert runner_up(NEAR, "T(3)") == "E(3)"
    assert runner_up({"a": np.zeros(3)}, "a") is None
    tied = {"a": np.array([1.0, 1.0]), "b": np.array([3.0, 3.0]), "c": np.array([2.0, 2.0])}
    assert runner_up(tied, "a") == "c"  # neither is ever the best


def test_what_cannot_be_told_apart() -> None:
    assert not_told_apart("T(3)", NEAR) == ["E(3)"]
    first, second = np.array([0.0, 0.0]), np.array([-0.1, 0.3])  # mean 0.1, deviation 0.2
    assert validation_needed(first, second, 100) == 1600  # (2 * 0.2 / 0.1)^2 times as many
    assert validation_needed(first, first, 100) is None  # equal: nothing would tell
    assert validation_needed(first, np.array([-1.0, 1.0]), 100) is None


def test_of_equally_symmetric_ones_the_least_error() -> None:
    """All three are as good as the best, and two of them keep all of E(3)."""
    draws = {
        "T(3)": np.array([1.0, 1.2, 1.4]),
        "E(3)": np.array([1.1, 1.3, 1.3]),
        "E(3) + ace": np.array([1.05, 1.1, 1.5]),
    }
    symmetry = {"T(3)": 0.0, "E(3)": 3.5, "E(3) + ace": 3.5}
    assert rule(9.0, "always").name(draws, symmetry, {}, list(draws)) == "E(3) + ace"
