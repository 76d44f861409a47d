"""Who races, on how much data and how long, by hand."""

import pytest

from rapidash.advise._halving import cost_from, curve_points, fractions, rounds, survivors


def test_eight_variants_by_hand() -> None:
    plan = rounds(8, 1000)
    assert [(r.fraction, r.entering, r.seeds, r.length) for r in plan] == [
        (0.25, 8, 1, 1.0), (0.5, 4, 2, 1.0), (1.0, 2, 2, 2.0)
    ]  # fmt: skip
    assert [r.cost for r in plan] == [8, 8, 8]
    # the curves of two variants: two smaller sizes and all data at half of the last length, and all data at a quarter
    assert sum(point.length for point in curve_points(1000)) == 3.5
    assert cost_from(plan, 1000, 0) == 24 + 7
    assert cost_from(plan, 1000, 2) == 8 + 7
    assert cost_from(plan, 1000, 3) == 7


def test_a_variant_has_twice_the_time_in_each_round() -> None:
    for num in (1, 2, 3, 5, 9):
        plan = rounds(num, 500)
        assert [r.seeds * r.length for r in plan] == [1, 2, 4]
        assert plan[-1].entering == min(2, num) or (num == 9 and plan[-1].entering == 3)
    assert [r.entering for r in rounds(9, 500)] == [9, 5, 3]


def test_small_data_begin_with_more_of_them() -> None:
    assert fractions(48) == (0.5, pytest.approx(0.5**0.5), 1.0)
    assert fractions(1000)[0] == 0.25
    assert fractions(20)[0] == 0.64
    with pytest.raises(ValueError, match="needs training clouds, got 0"):
        fractions(0)


def test_the_better_half_stays_in_its_order() -> None:
    assert survivors([("a", 3.0), ("b", 1.0), ("c", 2.0), ("d", 9.0)], 2) == ["b", "c"]
    assert survivors([("a", 1.0), ("b", 1.0)], 1) == ["a"]
    assert survivors([("a", float("inf")), ("b", 1.0)], 1) == ["b"]


def test_nothing_to_race() -> None:
    with pytest.raises(ValueError, match="at least one variant"):
        rounds(0, 10)


def test_the_curves_of_a_single_variant_are_its_own() -> None:
    """Rounds of 1, 2 and 4 units, and 3.5 for one variant."""
    assert cost_from(rounds(1, 1000), 1000, 0) == 7 + 3.5
