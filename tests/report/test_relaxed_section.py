"""The section on relaxed equivariance, from records: gates beside measured errors, the gap, and curves."""

from typing import Any

import pytest

from rapidash.report import terminal_table
from rapidash.report._chart_types import XYChart
from rapidash.report._contents import contents
from rapidash.report._markdown import markdown_table
from rapidash.report._page import render
from rapidash.report._relaxed_section import is_relaxing, relaxed_section
from rapidash.study import StudySummary, study_of, summarize
from tests.report._studies import small_record

EQUIVARIANCE = {"equivariance": {"group": "SO(3)", "before": {"mean": 0.5}, "after": {"mean": 0.25}}}
EXACT = {"equivariance": {"group": "SO(3)", "before": {"mean": 1e-7}, "after": {"mean": 2e-7}}}


def relaxed(name: str, seed: int, kind: str, rows: list[dict[str, Any]], *, primary: str = "projected") -> dict:
    """A record with two views, of which the primary one has the errors of the record."""
    other = "full" if primary == "projected" else "projected"
    errors = {"full": 0.01, "projected": 0.02}
    measured = {"full": EQUIVARIANCE, "projected": EXACT}
    views = {
        view: {
            "test_error": errors[view],
            "errors_before": {"equivariance": measured[view]["equivariance"]["before"]},
            "errors_after": {"equivariance": {"group": "SO(3)", **measured[view]["equivariance"]["after"]}},
        }
        for view in (primary, other)
    }
    changes = {"history": rows, "views": views, **measured[primary]}
    return small_record(name, seed, errors[primary], variant={"methods": [{"kind": kind}]}, **changes)


def history(gates: list[tuple[float, float]], full: float, projected: float) -> list[dict[str, Any]]:
    return [
        {
            "step": 100 * (place + 1),
            "train_loss": 1.0,
            "loss/ace": 0.5 / (place + 1),
            "val_error": projected,
            "val_error/full": full,
            "value/gate 0": first,
            "value/gate 1": second,
            "value/multiplier 0": 0.1,
            "value/multiplier 1": 0.3,
        }
        for place, (first, second) in enumerate(gates)
    ]


@pytest.fixture
def summary() -> StudySummary:
    plain = [small_record("strict", seed, 0.03, history=[{"step": 100, "val_error": 0.03}]) for seed in (0, 1)]
    opened = [
        relaxed("strict + ACE", 0, "ace", history([(1.0, 1.0), (-0.2, 0.4)], full=0.01, projected=0.02)),
        relaxed("strict + ACE", 1, "ace", history([(1.0, 1.0), (0.1, 0.3)], full=0.01, projected=0.022)),
    ]
    closed = [relaxed("strict + CR", seed, "constraint-relaxation", history([(0.5, 0.5), (0.0, 0.0)], 0.02, 0.02))
              for seed in (0, 1)]  # fmt: skip
    return summarize(study_of([*plain, *opened, *closed]))


def test_the_row_of_a_variant_by_hand(summary: StudySummary) -> None:
    """Gates .3 and .2, so .25; multipliers .2; gaps (.02 - .01) / .01 and (.022 - .01) / .01, so 1.1."""
    section = relaxed_section(summary)
    assert section is not None
    rows = {row[0].split(" ", 1)[1]: row[1:] for row in section.rows}
    assert set(rows) == {"strict + ACE", "strict + CR"}
    gate, multiplier, full, projected, test_full, test_projected, gap = rows["strict + ACE"]
    assert (gate, multiplier) == ("0.250", "0.200")
    assert full.startswith("0.25")
    assert projected.startswith("2")
    assert projected.endswith("10⁻⁷")
    assert test_full.startswith("0.0100")
    assert test_projected.startswith("0.0200")
    assert gap.startswith("1.10")
    assert rows["strict + CR"][0] == rows["strict + CR"][-1].split()[0] == "0"


def test_a_large_gap_is_named_and_a_small_one_not(summary: StudySummary) -> None:
    section = relaxed_section(summary)
    assert section is not None
    few = summarize(study_of([run.raw for run in summary.study.runs if run.seed == 0]))
    alone = relaxed_section(few)
    assert alone is not None
    assert list(alone.notes) == ["strict + ACE: the gap is 1.00: the data ask for what its symmetric part cannot do."]
    assert not any("CR" in note for note in section.notes)
    rows = [{key: value for key, value in row.items() if key != "loss/ace"} for row in history([(1.0, 1.0)], 0.1, 0.9)]
    free = relaxed_section(summarize(study_of([relaxed("free", 0, "rpp", rows)])))
    assert free is not None
    assert free.rows[0][-1].startswith("8")
    assert not free.notes  # nothing holds its branches back


def test_curves_of_gates_multipliers_and_terms(summary: StudySummary) -> None:
    """The mean over blocks and seeds of the sizes of gates, 1 and then .25; the band holds both seeds."""
    section = relaxed_section(summary)
    assert section is not None
    charts = {chart.title: chart for chart in section.charts if isinstance(chart, XYChart)}
    assert set(charts) == {"Gate", "Multiplier", "Ace"}
    series = {curve["name" if "name" in curve else 0]: curve for curve in map(_named, charts["Gate"].readout["series"])}
    assert series["B"]["values"] == [[100.0, 1.0], [200.0, pytest.approx(0.25)]]
    assert series["C"]["values"] == [[100.0, 0.5], [200.0, 0.0]]
    assert charts["Gate"].series[0].band
    assert charts["Ace"].readout["series"][0][2] == [[100.0, 0.5], [200.0, 0.25]]
    assert len({chart.slug for chart in section.charts}) == 3


def _named(row: list) -> dict[str, Any]:
    return {"name": row[0], "values": row[2]}


def test_it_stands_in_every_report_and_only_where_something_was_relaxed(summary: StudySummary) -> None:
    for text in (terminal_table(summary), markdown_table(summary), page := render(summary, contents(summary))):
        assert "Relaxed equivariance" in text
        assert "A gate is not a measure" in " ".join(text.split())
    assert 'id="chart-relaxed-value-gate"' in page
    plain = summarize(study_of([run.raw for run in summary.study.runs if run.variant == "strict"]))
    assert relaxed_section(plain) is None
    for text in (terminal_table(plain), markdown_table(plain), render(plain, contents(plain))):
        assert "Relaxed equivariance" not in text
        assert "left out" not in text


def test_which_methods_relax() -> None:
    assert is_relaxing("ace")
    assert is_relaxing("rpp")
    assert not is_relaxing("augment")
    assert not is_relaxing("of a package that is not there")


def test_the_full_view_may_be_the_one_that_counts() -> None:
    """Then the columns of the history are the other way around."""
    rows = [
        {"step": 100 * k, "val_error": 0.01, "val_error/projected": 0.015, "value/gate": 1.0, "train_loss": 1.0}
        for k in (1, 2)
    ]
    section = relaxed_section(summarize(study_of([relaxed("a", 0, "rpp", rows, primary="full")])))
    assert section is not None
    assert section.rows[0][-1] == "0.500"
    assert "multiplier" not in section.head


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    """A penalty has no gates, and no view without them."""
    rows = [{"step": 100 * k, "val_error": 0.01, "value/latent error": 0.5, "train_loss": 1.0} for k in (1, 2)]
    record = small_record("a", 0, 0.01, variant={"methods": [{"kind": "latent-equivariance"}]}, history=rows)
    section = relaxed_section(summarize(study_of([record | EQUIVARIANCE])))
    assert section is not None
    assert section.head == ("variant", "equivariance error, full", "test error, full")
    assert section.rows == [("A a", "0.25", "0.0100")]


def test_of_two_views_that_are_one_function_in_the_end_the_one_that_is_meant_counts() -> None:
    """A gate that was closed leaves equal errors: the symmetry of the record tells which view it is about."""
    record = relaxed("a", 0, "constraint-relaxation", history([(1.0, 1.0), (0.0, 0.0)], 0.02, 0.02))
    for name, symmetry in (("full", "T(3)"), ("projected", "E(3)")):
        record["views"][name] |= {"test_error": record["test_error"], "symmetry": {"effective": symmetry}}
    record["views"] = {name: record["views"][name] for name in ("full", "projected")}
    (variant,) = summarize(study_of([record])).variants
    assert variant.view == "projected"
    assert [view.name for view in variant.views] == ["full"]
