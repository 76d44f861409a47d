"""Levels of factors, and what is equal between variants, as terminal, page and Markdown show them."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from rapidash.report import terminal_table, write_report
from rapidash.report._charts import factor_charts
from rapidash.report._contents import contents
from rapidash.report._markdown import markdown_table
from rapidash.report._phrases import equality_note, p_note
from rapidash.report._provenance import run_cells, settings
from rapidash.study import StudySummary, read_study, study_of, summarize
from rapidash.study._level import value_text
from tests.report._studies import WriteStudy, small_record

ERRORS = {("A", 16): 4.0, ("B", 16): 2.0, ("A", 32): 1.0, ("B", 32): 3.0}
SECONDS = {"A": 0.04, "B": 0.01}


def grid(equal: str = "steps", steps: dict[str, int] | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Records of two variants at two widths, with two seeds each, and their design."""
    steps = steps or {"A": 2000, "B": 2000}
    records = [
        small_record(
            name,
            seed,
            error * (1 + 0.1 * seed),
            key=f"{name}{width}{seed}",
            seconds_per_step=SECONDS[name],
            variant={"neighbor": "A" if name == "B" else None, "model": {"channels": width}},
            config={"level": {"model.channels": width}, "train": {"steps": steps[name]}},
        )
        for (name, width), error in ERRORS.items()
        for seed in (0, 1)
    ]
    variants = [{"name": "A", "model": {"channels": 8}}, {"name": "B", "model": {"channels": 8}}]
    factors = {"model.channels": [32, 16]}
    return records, {"task": "nbody", "variants": variants, "seeds": [0, 1], "factors": factors, "equal": equal}


@pytest.fixture
def summary() -> StudySummary:
    return summarize(study_of(*grid()))


def test_there_is_a_row_for_each_variant_and_level(summary: StudySummary) -> None:
    rows = ["A, channels 16", "B, channels 16", "A, channels 32", "B, channels 32"]
    assert [row.name for row in summary.variants] == rows
    table = terminal_table(summary)
    for letter, name in zip("ABCD", rows, strict=True):
        assert re.search(rf"^{letter} {name} ", table, re.MULTILINE)
    headline = " ".join(table.partition("\n\n")[0].split())
    assert "A, channels 32 wins over 2 seeds: MSE of positions (length²) 1.05" in headline
    assert "every other variant at its level of the factors is clearly worse" in headline
    assert p_note(summary).startswith("p is of a paired t-test")
    assert "adjusted for all comparisons at one level of the factors" in p_note(summary)


def test_a_chart_shows_the_error_against_the_factor(summary: StudySummary) -> None:
    (chart,) = factor_charts(summary)
    assert (chart.title, chart.slug) == ("Error against model.channels", "factor-model-channels")
    assert [series.label for series in chart.series] == ["A", "B"]
    assert [series.value for series in chart.series] == ["16: 4.20, 32: 1.05", "16: 2.10, 32: 3.15"]
    assert [len(series.points) for series in chart.series] == [2, 2]
    assert not factor_charts(summarize(study_of([small_record("A", seed, 1.0) for seed in (0, 1)])))


@pytest.mark.parametrize(
    ("equal", "steps", "expected"),
    [
        ("steps", {"A": 2000, "B": 2000}, "optimizer steps (2 000); time per step differs by up to 4 x"),
        ("steps", {"A": 2000, "B": 500}, "nothing (500 to 2 000 optimizer steps); time per step differs by up to 4 x"),
        (
            "time",
            {"A": 500, "B": 1600},
            "time of training (500 to 1 600 optimizer steps); measured, the time differs by up to 1.2 x",
        ),
        (
            "flops",
            {"A": 500, "B": 1000},
            "floating point operations of training (500 to 1 000 optimizer steps); "
            "measured, the time differs by up to 2 x",
        ),
    ],
)
def test_all_say_what_is_equal(write_study: WriteStudy, equal: str, steps: dict[str, int], expected: str) -> None:
    folder = write_study(*grid(equal, steps))
    summary = summarize(read_study(folder))
    assert " ".join(equality_note(summary).split()) == f"Equal between variants: {expected}."
    page = Path(write_report(folder)).read_text()
    for text in (terminal_table(summary), markdown_table(summary), re.sub(r"<[^>]*>", " ", page)):
        assert expected in " ".join(text.replace("&#39;", "'").split())


def test_a_point_of_a_factor_has_the_letter_of_its_row(summary: StudySummary) -> None:
    (chart,) = factor_charts(summary)
    assert [[point.letter for point in series.points] for series in chart.series] == [["A", "C"], ["B", "D"]]


def test_values_of_a_factor_keep_their_digits() -> None:
    """A learning rate is no count."""
    rates = {0.0003: 2.0, 0.001: 1.0}
    records = [
        small_record("A", 0, error, key=f"A{rate}", config={"level": {"train.learning_rate": rate}})
        for rate, error in rates.items()
    ]
    (chart,) = factor_charts(summarize(study_of(records)))
    assert [series.value for series in chart.series] == ["0.0003: 2.00, 0.001: 1.00"]


def test_runs_are_named_by_their_rows() -> None:
    records, design = grid()
    records[0] |= {"status": "failed", "error": "out of memory", "test_error": None}
    summary = summarize(study_of(records, design))
    assert "A, channels 16, seed 0" in terminal_table(summary)
    assert run_cells(summary.study.runs[0])[0] == "A, channels 16"
    assert not [key for key in settings(summary.study.runs[0]) if "level" in key]


def test_nothing_is_said_without_steps_on_record() -> None:
    assert equality_note(summarize(study_of([small_record("A", 0, 1.0)]))) == ""


def test_files_hold_every_level_with_its_factor(summary: StudySummary) -> None:
    files = contents(summary).files
    rows = list(csv.DictReader(io.StringIO(files["variants.csv"])))
    assert [(row["variant"], row["model.channels"]) for row in rows] == [
        (variant.name, str(variant.level["model.channels"])) for variant in summary.variants
    ]
    compared = [(row["variant"], row["other"]) for row in csv.DictReader(io.StringIO(files["comparisons.csv"]))]
    assert compared == [(f"B, channels {width}", f"A, channels {width}") for width in (16, 32)]
    assert ">A: 16: 4.20, 32: 1.05<" in files["factor-model-channels.svg"]
    assert "adjusted for all comparisons at one level of the factors" in files["methods.txt"]
    assert {row["variant"] for row in csv.DictReader(io.StringIO(files["runs.csv"]))} == {
        v.name for v in summary.variants
    }


def test_a_text_and_a_number_are_two_levels() -> None:
    values = ("1", 1, "true", True, "null", None, "E(3)", "[1]", [1])
    assert [value_text(value) for value in values] == [
        '"1"', "1", '"true"', "true", '"null"', "null", "E(3)", '"[1]"', "[1]",
    ]  # fmt: skip
    records = [
        small_record("A", seed, error, key=f"{value!r}{seed}", config={"level": {"model.x": value}})
        for value, error in (("1", 1.0), (1, 3.0))
        for seed in (0, 1)
    ]
    summary = summarize(study_of(records))
    assert [(v.name, v.test.mean) for v in summary.variants if v.test] == [('A, x "1"', 1.0), ("A, x 1", 3.0)]


def test_levels_with_different_tests_say_which_has_which() -> None:
    """Two seeds allow a t-test only; of one comparison, six seeds allow the exact test: 2^-5 is below 5 %."""
    records = [
        small_record(
            name,
            seed,
            error + 0.01 * seed * (seed % 2),
            key=f"{name}{width}{seed}",
            config={"level": {"model.channels": width}},
        )
        for name, error in (("A", 2.0), ("B", 1.0))
        for width, count in ((8, 2), (16, 6), (32, 6))
        for seed in range(count)
    ]
    summary = summarize(study_of(records))
    assert [judgment.test for judgment in summary.judgments] == ["t-test", "sign-flip test", "sign-flip test"]
    assert p_note(summary).startswith(
        "p is at channels 8, of a paired t-test by seed, which rests on differences that are normal over seeds; "
        "at channels 16 and channels 32, of an exact sign-flip test by seed, which needs no normality, adjusted for "
        "all comparisons at one level of the factors"
    )
    assert "and with the best of its level" in p_note(summary)
    assert (
        "p-values are of the paired t-test over seeds at channels 8 and exact paired sign-flip test over seeds at "
        "channels 16 and channels 32, adjusted for all comparisons at one level"
    ) in contents(summary).files["methods.txt"]
    one = summarize(study_of([record for record in records if record["config"]["level"]["model.channels"] != 8]))
    assert p_note(one).startswith("p is of an exact sign-flip test by seed, which needs no normality, adjusted for")
