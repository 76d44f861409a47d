"""Studies whose variants were not all run at every data fraction: what a table shows, and what was not compared."""

import re
from typing import Any

import pytest

from rapidash.report import publish, terminal_table, write_report
from rapidash.report._latex import latex_table
from rapidash.report._markdown import markdown_table
from rapidash.report._verdict import verdict
from rapidash.study import read_study, summarize
from tests.report._studies import VARIANTS, WriteStudy, make_design, make_record

NAMES = list(VARIANTS)
FRACTIONS = [0.1, 0.3, 1.0]
FEW = NAMES[:3]


def mixed(*, at_all: bool, seeds: tuple[int, ...] = (0, 1, 2)) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Three variants at all fractions; the others at the largest only (at_all), or at all but the largest."""
    records = [
        make_record(name, seed, fraction)
        for name in NAMES
        for seed in seeds
        for fraction in FRACTIONS
        if name in FEW or (fraction == 1.0) == at_all
    ]
    return records, make_design(list(seeds), FRACTIONS, NAMES, setting="full")


def test_a_winner_over_some_variants_names_the_others(write_study: WriteStudy) -> None:
    found = verdict(summarize(read_study(write_study(*mixed(at_all=False)))))
    assert "every other variant at 100 % of the training data is clearly worse." in found.headline
    others = "T(3) on R3, T(3) on R3 + rotations and E(3) on R3xS2 + global frame"
    assert found.headline.endswith(f" No finished run at 100 % of the training data, and so not compared: {others}.")
    keep = "every model that keeps another symmetry and was run at 100 % of the training data is clearly worse."
    assert keep in next(one.text for one in found.findings if one.title == "Which symmetry")
    whole = verdict(summarize(read_study(write_study(*mixed(at_all=True)))))
    assert "not compared" not in whole.headline


def test_one_seed_and_a_variant_alone_name_the_others_too(write_study: WriteStudy) -> None:
    records, design = mixed(at_all=False, seeds=(0,))
    assert ", and so not compared: " in verdict(summarize(read_study(write_study(records, design)))).headline
    alone = [r for r in records if r["config"]["fraction"] < 1 or r["config"]["variant"]["name"] == NAMES[0]]
    headline = verdict(summarize(read_study(write_study(alone, design)))).headline
    assert "is the only variant with a finished run at 100 % of the training data: " in headline
    assert ", and so not compared: " in headline


@pytest.mark.parametrize("at_all", [True, False])
def test_every_table_says_of_which_fraction_it_is(write_study: WriteStudy, at_all: bool) -> None:
    directory = write_study(*mixed(at_all=at_all))
    summary = summarize(read_study(directory))
    text, _ = publish(directory, directory / "table.rst")
    page = write_report(directory).read_text(encoding="utf-8")
    published = text.read_text(encoding="utf-8")
    terminal = " ".join(terminal_table(summary).split())  # its cells are broken into lines
    shown = [one.replace("\\%", "%") for one in (published, page, markdown_table(summary), latex_table(summary))]
    for one in (*shown, terminal):
        assert "All numbers are at 100 % of the training data." in one
    for one in shown[1:]:
        count = one.count("no finished run at 100 % of the training data")
        assert count == 0 if at_all else count >= 3  # the page has the table for a paper too
    (*_, note) = [line for line in published.splitlines() if line.startswith("Without finished runs")] or [""]
    missing = r"D T\(3\) on R3; E T\(3\) on R3 \+ rotations; F E\(3\) on R3xS2 \+ global frame\."
    expected = "" if at_all else rf"Without finished runs at 100 % of the training data: {missing}"
    assert re.fullmatch(expected, note)
    assert "MSE of positions (length²); lower is better. All numbers are at 100 % of the training data." in published


def test_runs_that_were_left_out_on_purpose_are_not_called_unfinished_only(write_study: WriteStudy) -> None:
    cautions = " ".join(verdict(summarize(read_study(write_study(*mixed(at_all=True))))).cautions)
    assert (
        "18 planned runs without a record: the study has not finished, or some variants were not meant for" in cautions
    )
    records, design = mixed(at_all=True)
    whole = design | {"fractions": [1.0]}
    one = [record for record in records if record["config"]["fraction"] == 1.0][1:]
    cautions = " ".join(verdict(summarize(read_study(write_study(one, whole)))).cautions)
    assert "1 planned run without a record: the study has not finished. Start the same command again" in cautions
    plain, _ = publish(write_study(one, whole), write_study(one, whole) / "table.rst")
    assert "of the training data" not in plain.read_text(encoding="utf-8")
