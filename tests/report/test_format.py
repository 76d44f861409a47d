import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapidash.report import _format as fmt
from rapidash.report._scale import Scale, scale_for, tick_labels
from rapidash.study import letter


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.0043, "0.00430"),
        (-0.25, "−0.250"),
        (12345.0, "12300"),
        (1.5e-5, "1.50×10⁻⁵"),
        (0.00009999, "0.000100"),
        (99999.0, "1.00×10⁵"),
        (float("nan"), "not finite"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert fmt.number(value) == text


def test_units_and_counts() -> None:
    assert fmt.seconds(0.0412) == "41.2 ms".replace(" ", fmt.TIE)
    assert fmt.seconds(95.0) == "95.0 s".replace(" ", fmt.TIE)
    assert fmt.seconds(3.6e4) == "10.0 h".replace(" ", fmt.TIE)
    assert fmt.memory(1.25e9) == "1.25 GB".replace(" ", fmt.TIE)
    assert fmt.memory(3.1e8) == "310 MB".replace(" ", fmt.TIE)
    assert fmt.short_count(999_600) == "1 M".replace(" ", fmt.TIE)
    assert fmt.p_value(0.0004) == "p < 0.001".replace(" ", fmt.TIE)
    shown = [fmt.p_value(value).split(fmt.TIE)[2] for value in (0.05, 0.0496, 0.0504, 0.05004, 0.0506, 0.0997)]
    assert shown == [
        "0.050",
        "0.050",
        "0.0504",
        "0.05004",
        "0.051",
        "0.100",
    ]  # what is above 0.05 is not shown as 0.050
    assert fmt.unit("length^2") == "length²"
    assert [letter(index) for index in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]


MINUS_NOTHING = re.compile(r"[-−]0(\.0*)?(?![\d.])")


@given(value=st.floats(-1e3, 1e3), decimals=st.integers(0, 3))
def test_nothing_is_never_below_zero(value: float, decimals: int) -> None:
    shown = (fmt.fixed(value, decimals), fmt.percent(value), fmt.ratio(value), fmt.number(value), fmt.signed(value))
    assert not [text for text in shown if MINUS_NOTHING.search(text)]
    assert float(shown[0].replace("−", "-")) == pytest.approx(value, abs=0.51 * 10**-decimals)


def test_signs_of_small_numbers() -> None:
    assert [fmt.fixed(value) for value in (-0.4, -0.0, 0.4, -0.6)] == ["0", "0", "0", "−1"]
    assert [fmt.percent(value) for value in (-1e-17, -0.004, -0.02, 1.0, None, float("nan"))] == [
        f"{text}{fmt.TIE}%" for text in ("0", "0", "−2", "100")
    ] + ["–", "–"]
    assert fmt.ratio(-0.001) == "0.00×"
    assert fmt.ratio(-150.0) == "−150×"
    assert fmt.memory(-0.0) == f"0.0{fmt.TIE}MB"


positive = st.floats(1e-8, 1e8)


@given(values=st.lists(positive, min_size=1, max_size=9), log=st.sampled_from([True, False, None]))
def test_an_axis_holds_its_values_in_order_and_has_few_ticks(values: list[float], log: bool | None) -> None:
    scale = scale_for(values, log=log)
    positions = [scale(value) for value in sorted(values)]
    assert positions == sorted(positions)
    assert all(scale.holds(value) for value in values)
    assert 1 <= len(scale.ticks) <= 8
    labels = [label for _, label in scale.ticks]
    assert len(set(labels)) == len(labels)
    assert all(0 <= position <= 100 for position, _ in scale.ticks)


@given(values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5))
def test_an_axis_with_zero_shows_zero(values: list[float]) -> None:
    assert scale_for(values, log=False, with_zero=True).holds(0.0)


def test_values_off_the_axis_are_clipped_and_known_to_be_off() -> None:
    scale = Scale(1.0, 10.0, True)
    assert (scale(0.1), scale(100.0), scale(-1.0)) == (0.0, 100.0, 0.0)
    assert not scale.holds(0.1)


def test_an_axis_is_logarithmic_from_a_factor_of_ten_on() -> None:
    assert not scale_for([1.0, 9.0]).is_log
    assert scale_for([1.0, 11.0]).is_log
    assert not scale_for([0.0, 1000.0]).is_log


def test_labels_of_one_axis_have_one_style() -> None:
    assert tick_labels([0.005, 0.0075, 0.01], is_log=False) == ["0.0050", "0.0075", "0.0100"]
    assert tick_labels([1e-6, 1e-2, 1.0], is_log=True) == ["10⁻⁶", "10⁻²", "10⁰"]
    assert tick_labels([0.005, 0.01, 2.0], is_log=True) == ["0.005", "0.01", "2"]
    assert tick_labels([-0.5, 0.0, 0.5], is_log=False) == ["−0.5", "0", "0.5"]
