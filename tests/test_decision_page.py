"""The decision page: every line names a result page of this documentation, and its figures stand there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
NUMBER = re.compile(r"(?<![\w.^])\d+(?:\.\d+)?(?!\.?\w)")


def rows() -> list[list[str]]:
    """The cells of all lines of the tables, without their headers."""
    text = (DOCS / "decide.rst").read_text(encoding="utf-8")
    tables = re.split(r"^\.\. list-table::$", text, flags=re.MULTILINE)[1:]
    lines = [line for table in tables for line in re.split(r"^   \* - ", table, flags=re.MULTILINE)[2:]]
    cells = [re.split(r"^     - ", line.split("\n\n")[0], flags=re.MULTILINE) for line in lines]
    return [[" ".join(cell.split()) for cell in line] for line in cells]


def numbers(text: str) -> set[float]:
    return {float(found) for found in NUMBER.findall(re.sub(r":math:`[^`]*`|:doc:`[^`]*`", "", text))}


def figures_of(page: str) -> set[float]:
    """The numbers of a result page, and of the tables that it includes."""
    path = DOCS / f"{page}.rst"
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"\.\. (?:include|literalinclude):: (\S+)", text):
        text += (path.parent / name).read_text(encoding="utf-8")
    return numbers(text)


def test_every_line_has_four_cells_and_a_study() -> None:
    assert len(rows()) >= 20
    for cells in rows():
        assert len(cells) == 4, cells
        assert all(cells)
        assert re.search(r":doc:`results/\w+`", cells[2]), cells


@pytest.mark.parametrize("cells", rows(), ids=lambda cells: cells[0][:30])
def test_the_figures_of_a_line_stand_on_its_pages(cells: list[str]) -> None:
    known: set[float] = set()
    for page in re.findall(r":doc:`(results/\w+)`", " ".join(cells)):
        known |= figures_of(page)
    missing = (numbers(cells[2]) | numbers(cells[3])) - known
    assert not missing, f"{cells[0]}: {sorted(missing)} are not on its pages"


def test_the_check_sees_a_wrong_figure() -> None:
    assert numbers("errs on 12.9 %, with 8 orientations; R^3, ACE2, 0.5x") == {12.9, 8.0}
    assert 12.9 in figures_of("results/invariants_digits")
    assert 12.8 not in figures_of("results/invariants_digits")
