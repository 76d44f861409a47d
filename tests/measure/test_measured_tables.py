"""Rows behind tables: how numbers are written."""

from rapidash.measure import Report


def test_nothing_is_never_below_zero() -> None:
    text = Report("x", ({"a": -0.0, "b": -1e-20, "c": None, "d": "-0"},)).table()
    assert [cell.strip() for cell in text.splitlines()[2].strip("|").split("|")] == ["0", "-1e-20", "", "-0"]
