"""The legend of groups and spaces: each that occurs, explained, and the same in every output."""

import pytest

from rapidash.groups import E, T, parse_group
from rapidash.report import publish, terminal_table, write_report
from rapidash.report._symbols import group_meaning, space_meaning, symbols
from rapidash.study import read_study, study_of, summarize
from tests.report._studies import WriteStudy, make_study, small_record

MEANINGS = {
    "T(3)": "translations of space",
    "T(2)": "translations of the plane",
    "SO(3)": "rotations of space about the origin",
    "O(2)": "rotations and reflections of the plane about the origin",
    "SE(3)": "rotations of space, with all translations",
    "E(3)": "rotations and reflections of space, with all translations",
    "SO2(z)": "rotations about the z axis, with all translations",
    "SO2(0,3,4) about the origin": "rotations about the axis (0, 0.6, 0.8) through the origin",
    "O2(x)": "rotations about the x axis and mirrors in the planes through it, with all translations",
    "octahedral": "a finite group of 24 rotations about the origin",
    "O with T(3)": "a finite group of 24 rotations, with all translations",
    "D4": "a finite group of 8 rotations and reflections about the origin",
    "trivial": "the identity alone: no symmetry",
}


@pytest.mark.parametrize("name", MEANINGS)
def test_a_group_is_explained_by_its_elements(name: str) -> None:
    assert group_meaning(parse_group(name)) == MEANINGS[name]


def test_a_plane_of_translations_is_named() -> None:
    kept = E(3).keeping_height((0.0, 0.0, 1.0))
    assert group_meaning(kept).endswith("with translations perpendicular to the z axis")
    assert group_meaning(T(3).keeping_height((1.0, 0.0, 0.0))) == "translations perpendicular to the x axis"


def test_a_space_is_explained_with_the_size_of_its_grid() -> None:
    grid = "features at every point for each orientation of a grid"
    assert space_meaning("R3") == "scalar features at every point, no orientations"
    assert space_meaning("R3xS2", {12, 8}) == f"{grid} of 8 or 12 on the sphere"
    assert space_meaning("R2xS1") == f"{grid} on the circle"
    assert [space_meaning(name) for name in ("rows", "R3xS1", "R4", "")] == [""] * 4


def test_every_output_explains_what_occurs_and_no_more(write_study: WriteStudy) -> None:
    records, design = make_study()
    directory = write_study(records, design)
    summary = summarize(read_study(directory))
    found = symbols(summary)
    assert [symbol.name for symbol in found] == ["E(3)", "SO(3)", "O(3)", "T(3)", "R3xS2", "R3"]
    page = write_report(directory).read_text(encoding="utf-8")
    terminal, table = " ".join(terminal_table(summary).split()), (directory / "table.md").read_text(encoding="utf-8")
    text = publish(directory, directory / "x.rst")[0].read_text(encoding="utf-8")
    for symbol in found:
        assert f"<dt>{symbol.name}</dt><dd>{symbol.meaning}</dd>" in page
        assert f"{symbol.name}: {symbol.meaning}" in terminal
        assert f"- {symbol.name}: {symbol.meaning}" in table
        assert symbol.meaning in text
    assert page.index("<dt>E(3)</dt>") < page.index("<figure")  # before the first plot
    assert "grid of 12" in terminal


def test_a_group_of_another_package_and_broken_configurations_are_left_out() -> None:
    record = small_record("a", 0, 1.0, symmetry={"layers": "shifts(6)", "effective": "SE(3)", "oracle": False})
    record["config"]["variant"] |= {"model": {"space": ["R3"], "num_orientations": "many"}, "methods": [{"group": 3}]}
    assert [symbol.name for symbol in symbols(summarize(study_of([record])))] == ["SE(3)"]
