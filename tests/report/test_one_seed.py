"""A page of one seed says nothing of intervals between seeds, and one of three does; the symmetry of a single run."""

import re
from typing import Any

import pytest

from rapidash.report import symmetry_of_run, terminal_table, verdict, write_report
from rapidash.study import read_study, summarize
from tests.report._studies import WriteStudy, make_record, make_study

ALONE = "One seed: no interval and no comparison can be given. Run at least three seeds."
OF_SEEDS = re.compile(r"interval|over seeds|by seed|not distinguishable|p allows", re.IGNORECASE)


def text_of(page: str) -> str:
    """The words of a page, without what it embeds for downloads."""
    shown = re.sub(r"<(style|script|pre).*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"<[^>]+>", "\n", shown)


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_a_page_of_one_seed_has_no_words_on_intervals(write_study: WriteStudy, seeds: tuple[int, ...]) -> None:
    directory = write_study(*make_study(seeds=seeds))
    lines = [line.strip() for line in text_of(write_report(directory).read_text()).splitlines() if line.strip()]
    found = [line for line in lines if OF_SEEDS.search(line) and line != ALONE and "median over seeds" not in line]
    methods = [line for line in found if "without interval or test" in line]
    if len(seeds) == 1:
        assert found == methods
        assert len(methods) == 1
        assert ALONE in lines
    else:
        assert len(found) > 10
    assert ("95 %" in terminal_table(summarize(read_study(directory)))) == (len(seeds) > 1)


def test_lines_without_a_clear_difference_are_folded_on_the_page(write_study: WriteStudy) -> None:
    directory = write_study(*make_study())
    found, page = verdict(summarize(read_study(directory))), write_report(directory).read_text()
    clear, unclear = found.lead
    assert (found.num_clear, found.rest) == (1, "Also: what made no clear difference")
    places = [page.index(text[:40]) for text in (clear, found.headline, f"<summary>{found.rest}", unclear)]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("E(3) on R3", {}, "effective symmetry E(3)"),
        ("E(3) on R3xS2", {}, "effective symmetry E(3) (up to its orientation grid)"),
        (
            "E(3) on R3xS2",
            {"equivariance": {"group": "SO(3)", "before": {"mean": 0.02}, "after": {"mean": 0.25}}},
            "effective symmetry E(3), which training has broken (equivariance error 0.25, rotated test data 1.00× the "
            "error)",
        ),
    ],
)
def test_a_run_says_how_its_symmetry_holds(name: str, changes: dict[str, Any], expected: str) -> None:
    record = make_record(name, 0) | changes
    record["symmetry"] |= {"exact": name == "E(3) on R3", "keeps": ["rotations"]}
    assert symmetry_of_run(record) == expected
    assert symmetry_of_run(record | {"schema": 0}) == "effective symmetry E(3)"  # what no report reads
