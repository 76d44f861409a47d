import re
from pathlib import Path

import pytest

from rapidash.report import figure
from tests.report._studies import WriteStudy, make_record, make_study

pytest.importorskip("matplotlib", reason="the figure needs matplotlib")


def test_the_svg_names_every_variant_and_is_reproducible(write_study: WriteStudy, tmp_path: Path) -> None:
    directory = write_study(*make_study())
    first, second = (figure(directory, tmp_path / name).read_text() for name in ("a.svg", "b.svg"))
    assert "E(3) on R3xS2 + global frame" in first
    without_names = [re.sub(r"\b[mp][0-9a-f]{10}\b", "", text) for text in (first, second)]  # of clip paths and markers
    assert without_names[0] == without_names[1]


def test_without_rotated_test_data_there_is_no_panel_of_them(write_study: WriteStudy, tmp_path: Path) -> None:
    """Of agents there are none."""
    for rotated, expected in ((0.5, 3), (None, 2)):
        records = [make_record("E(3) on R3", seed) | {"test_error_rotated": rotated} for seed in (0, 1)]
        drawn = figure(write_study(records), tmp_path / "a.svg").read_text()
        assert drawn.count('<g id="axes_') == expected
        assert ("rotated" in drawn) == (expected == 3)


@pytest.mark.parametrize(("unit", "label"), [("1", "a loss"), ("mD", "a loss (mD)")])
def test_an_error_without_a_unit_has_no_brackets(
    write_study: WriteStudy, tmp_path: Path, unit: str, label: str
) -> None:
    record = make_record("E(3) on R3", 0) | {"metric": "a loss", "unit": unit}
    assert f"<!-- {label} -->" in figure(write_study([record]), tmp_path / "a.svg").read_text()


def test_the_png_is_a_picture(write_study: WriteStudy, tmp_path: Path) -> None:
    path = figure(write_study(*make_study(seeds=(0,))), tmp_path / "sub" / "a.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_ending_is_refused(write_study: WriteStudy, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must end in one of"):
        figure(write_study(*make_study()), tmp_path / "a.bmp")


def test_a_study_without_a_result_is_refused(write_study: WriteStudy, tmp_path: Path) -> None:
    failed = make_record("E(3) on R3", 0) | {"status": "failed", "test_error": None}
    with pytest.raises(ValueError, match="no finished run"):
        figure(write_study([failed]), tmp_path / "a.svg")
