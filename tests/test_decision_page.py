"""The decision page: every line names a result page of this documentation, and its figures stand there.

They stand in the row of a table, or in the sentence, that names the variant of which the line says them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
NUMBER = re.compile(r"(?<![\w.^])(?<!\w\()\d+(?:\.\d+)?(?!\.?\w)")
PAGE = re.compile(r":doc:`(results/\w+)`")
COUNTED = "orientations|elements|labels|transitions|steps|samples|points|images|configurations|data sets|tables"
COUNT = re.compile(rf"(?: and \d+)?(?: training| real)? ({COUNTED})\b")

CALLED = {  # by what the page says, what the rows and sentences of the results call it; of two that end alike the first
    r"samples turned about the field": r"T\(3\) \+ rotations",
    r"transformer with turned samples": r"transformer(, augmented)?",
    r"bare transformer": r"transformer",
    r"turned about the vertical": r"transformer, augmented (by )?z",
    r"MLP with turned samples": r"MLP, augmented",
    r"turned samples": r"T\(\d\) on R\d \+ rotations",
    r"without rotations|without turns": r"T\(\d\) on R\d(xS\d)?",
    r"without orientations|all rotations": r"E\(3\) on R3",
    r"with orientations|six orientations|\bE\(3\) on R3xS2|, on R3xS2": r"E\(3\) on R3xS2",
    r"kernels that see the vertical": r"SO2\(z\) on R3",
    r"frames around T\(3\)": r"T\(3\) on R3, frames",
    r"8 orientations": r"E\(3\) on R3xS2, 8 orientations",
    r"12 orientations": r"E\(3\) on R3xS2, 12 orientations",
    r"with mirrors among the symmetries": r"E\(3\) on R3xS2",
    r"turns about the vertical, on R3|no names": r"SO2\(y\) on R3",
    r"\bT\(3\) on R3": r"T\(3\) on R3",
    r"\bE\(3\) on R3|^R3|on R3": r"E\(3\) on R3",
    r"on R2": r"E\(2\) on R2",
    r"E\(D\) on RDxS": r"E\(2\) on R2xS1",
    r"without them": r"SE\(3\) on R3xS2",
    r"in the data": r"training data",
    r"strict network|strict": r"C4 strict|E\(3\)",
    r"free branches under a prior": r"E\(3\) \+ RPP",
    r"resilient ACE": r"E\(3\) \+ ACE resilient",
    r"relaxed": r"C4 relaxed",
    r"a free one|free ones|a free network": r"free",
    r"give it to the network as numbers": r"SO2\(y\) on R3 \+ height",
    r"without these": r"SO2\(y\) on R3",
    r"frames around a transformer|in frames": r"transformer, frames",
    r"averaged( over 8 elements)?": r"transformer, averaged over 8",
    r"one element a step": r"MLP, averaged over 1",
    r"plain network": r"plain CNN, 22 channels",
    r"keep the turns": r"C4|keep quarter turns",
    r"turns in all layers": r"C4, C4, C4, turns told apart",
    r"up to the second": r"C4, C4, C1, turns told apart",
    r"searched groups": r"(evolution|mixing), turns told apart",
    r"no turns in any layer": r"C1, C1, C1, turns told apart",
    r"pooling by mean and maximum": r"mean \+ max pooling",
    r"weighted sums and monomials": r"weighted-sum II|monomial II",
    r"drawn orders": r"MLP, probabilistic order",
    r"frames of the Laplacian": r"MLP, Laplacian frames",
    r"fixed head": r"fixed head",
    r"EquiTabPFN|real tables|logistic regression|a forest": r"mean of all",
    r"columns": r"columns",
    r"ComBat": r"columns, ComBat",
    r"encoder": r"encoder",
    r"the consistency of a trained network by angle|both": r"consistency by angle|histogram",
    r"fresh": r"fresh weights",
    r"pre-trained": r"VICReg|SIE",
    r"turn by construction": r"split by construction",
    r"learned map": r"SIE(, matrix of g)?",
    r"chance": r"by chance",
} | {name: name for name in ("EGNN", "DGCNN", "PaiNN", "Augerino", "message passing", "two stages")}


class Figure(NamedTuple):
    """A number of a line: the pages on which it may stand, and what the row or sentence with it has to name."""

    value: float
    pages: tuple[str, ...]
    called: str
    is_count: bool = False


def rows() -> list[list[str]]:
    """The cells of all lines of the tables, without their headers."""
    text = (DOCS / "decide.rst").read_text(encoding="utf-8")
    tables = re.split(r"^\.\. list-table::$", text, flags=re.MULTILINE)[1:]
    lines = [line for table in tables for line in re.split(r"^   \* - ", table, flags=re.MULTILINE)[2:]]
    cells = [re.split(r"^     - ", line.split("\n\n")[0], flags=re.MULTILINE) for line in lines]
    return [[plain(" ".join(cell.split())) for cell in line] for line in cells]


def plain(text: str) -> str:
    """The names of groups and spaces as the results write them, and numbers of thousands without a comma."""
    text = re.sub(r":math:`([^`]*)`", r"\1", re.sub(r"(?<=\d),(?=\d{3}\b)", "", text))
    return re.sub(r"\\mathbb R\^(\w)", r"R\1", text).replace(r" \times S^", "xS")


def numbers(text: str) -> set[float]:
    return {float(found) for found in NUMBER.findall(PAGE.sub("", text))}


def figures(cells: list[str]) -> Iterator[Figure]:
    """The numbers of the last two cells of a line; one of which nothing is said is of the variant to start with."""
    start = called(cells[1].split(";")[0], "")
    everywhere = tuple(PAGE.findall(" ".join(cells)))
    for cell in cells[2:]:
        pages, variant, end = everywhere, start, 0
        for found in re.finditer(rf"{PAGE.pattern}|{NUMBER.pattern}", cell):
            if found[1]:
                pages, variant, end = (found[1],), start, found.end()
            elif count := COUNT.match(cell, found.end()):
                yield Figure(float(found[0]), pages, count[1], is_count=True)
            else:
                *ended, clause = re.split(r"[;:.] ", cell[end : found.start()])
                variant, end = called(clause, start if ended else variant), found.end()
                yield Figure(float(found[0]), pages, variant)


def called(text: str, otherwise: str) -> str:
    """How the results call the variant that a text names last."""
    ends = [
        (found.end(), -place, name)
        for place, (said, name) in enumerate(CALLED.items())
        for found in re.finditer(said, text)
    ]
    return max(ends)[2] if ends else otherwise


def places(page: str) -> Iterator[tuple[str, str]]:
    """The rows of tables and the sentences of a result page and of what it includes: what they name, and all of it."""
    path = DOCS / f"{page}.rst"
    text = re.sub(
        r"^\.\. (?:include|literalinclude):: (\S+)$",
        lambda found: (path.parent / found[1]).read_text(encoding="utf-8"),
        path.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    text = re.sub(r"\[[^]\n]*\]|(?<=\d)x\b", "", plain(text))  # without intervals and the sign of a ratio
    for part in re.split(r"\n\s*\n", text):
        if part.lstrip().startswith("* - "):
            for row in re.split(r"^\s*\* - ", part, flags=re.MULTILINE)[1:]:
                yield re.sub(r"^[A-Z]{1,2} ", "", row.splitlines()[0].strip()), row
        elif re.search(r"\S {2,}\S", part):
            yield from ((re.split(r" {2,}", line.strip())[0], line) for line in part.splitlines())
        else:
            sentences = re.split(r"(?<=[.;:])\s", " ".join(part.split()))
            yield from ((sentence, sentence) for sentence in sentences)


def stands(figure: Figure) -> bool:
    """Whether the number is in the row of the variant or a sentence that names it; a count, beside what it counts."""
    for name, place in (found for page in figure.pages for found in places(page)):
        if name == place or figure.is_count:
            is_named = re.search(figure.called, place, re.IGNORECASE)
        else:
            is_named = re.match(rf"(?:{figure.called})(?=$|,)", name)
        if is_named and figure.value in numbers(place):
            return True
    return False


def test_every_line_has_four_cells_and_a_study() -> None:
    assert len(rows()) >= 20
    for cells in rows():
        assert len(cells) == 4, cells
        assert all(cells)
        assert PAGE.search(cells[2]), cells


@pytest.mark.parametrize("cells", rows(), ids=lambda cells: cells[0][:30])
def test_the_figures_of_a_line_stand_with_its_variants(cells: list[str]) -> None:
    missing = [figure for figure in figures(cells) if not stands(figure)]
    assert not missing, f"{cells[0]}: {missing}"


def test_the_check_sees_a_figure_of_another_variant() -> None:
    line = [
        "",
        "E(3) on R3",
        ":doc:`results/qm9`: 167 mD, without rotations 290, EGNN 184, with turned samples 274.",
        "",
    ]
    right = list(figures(line))
    assert [figure.value for figure in right] == [167, 290, 184, 274]
    assert all(map(stands, right))
    assert not stands(right[0]._replace(value=290))  # of the variant without rotations
    assert not stands(right[1]._replace(value=274))
    assert not stands(right[2]._replace(value=182))  # not on the page
    assert not stands(right[2]._replace(value=188))  # the end of its interval
    assert not stands(right[1]._replace(pages=("results/md",)))


def test_a_count_is_one_of_the_same_things() -> None:
    counts = list(figures(["", "E(3) on R3", "", "800 and 300 steps, 128 points; :doc:`results/shapes`"]))
    assert [(figure.value, figure.called) for figure in counts] == [(800, "steps"), (300, "steps"), (128, "points")]
    assert [stands(figure) for figure in counts] == [True, False, True]
    assert numbers("errs on 12.9 %, with 8 orientations; E(3) on R3, ACE2, 0.5x") == {12.9, 8.0}
