"""Errors relative to a reference, by hand, and the quotients that do not exist."""

import math

import pytest

from rapidash.data import corruption_error, relative_errors


def test_the_reference_has_one_everywhere() -> None:
    accuracy = {"rotate": [0.9, 0.8], "jitter": [0.7, 0.5]}
    result = corruption_error(accuracy, accuracy, clean=0.95, clean_reference=0.95)
    assert result == ({"rotate": 1, "jitter": 1}, {"rotate": 1, "jitter": 1}, 1, 1)


def test_errors_by_hand() -> None:
    result = corruption_error(
        {"a": [0.8, 0.6], "b": [1.0]}, {"a": [0.5, 0.3], "b": [0.5]}, clean=0.9, clean_reference=0.8
    )
    assert result.ce == pytest.approx({"a": 0.3 / 0.6, "b": 0.0})
    assert result.rce == pytest.approx({"a": 0.2 / 0.4, "b": -0.1 / 0.3})
    assert result.mce == pytest.approx(0.25)
    assert result.rmce == pytest.approx((0.5 - 1 / 3) / 2)


@pytest.mark.parametrize(
    ("accuracy", "reference", "message"),
    [
        ({"a": [0.5]}, {"b": [0.5]}, "must have the same"),
        ({}, {}, "must have the same"),
        ({"a": [1.5]}, {"a": [0.5]}, r"accuracies of 'a' must be in \[0, 1\]"),
        ({"a": []}, {"a": [0.5]}, "accuracies of 'a'"),
        ({"a": [0.5]}, {"a": [1.0]}, "no quotient"),
        ({"a": [0.5]}, {"a": [0.8]}, "no quotient"),
    ],
)
def test_quotients_that_do_not_exist(accuracy: dict, reference: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corruption_error(accuracy, reference, clean=0.9, clean_reference=0.8)


def test_errors_in_any_unit_are_relative_to_the_reference() -> None:
    errors, reference = {"a": [20.0, 40.0], "b": [0.0, 3.0]}, {"a": [50.0, 70.0], "b": [0.0, 0.0]}
    assert relative_errors(errors, reference) == {"a": pytest.approx(0.5), "b": None}
    assert relative_errors(reference, reference) == {"a": 1.0, "b": None}
    accuracy, other = {"a": [0.8, 0.6]}, {"a": [0.5, 0.3]}
    rates = ({"a": [1 - value for value in values["a"]]} for values in (accuracy, other))
    assert relative_errors(*rates)["a"] == pytest.approx(
        corruption_error(accuracy, other, clean=0.9, clean_reference=0.8).ce["a"]
    )


@pytest.mark.parametrize(
    ("errors", "reference", "message"),
    [
        ({"a": [1.0]}, {"b": [1.0]}, "must have the same"),
        ({}, {}, "must have the same"),
        ({"a": [1.0]}, {"a": [1.0, 2.0]}, "as many as those of the reference"),
        ({"a": []}, {"a": []}, "errors of 'a'"),
        ({"a": [-1.0]}, {"a": [1.0]}, "at least 0"),
        ({"a": [1.0]}, {"a": [math.nan]}, "finite"),
    ],
)
def test_errors_that_are_none(errors: dict, reference: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        relative_errors(errors, reference)
