"""The section on learned ranges, from records: half-widths and shares by hand, notes, and a chart of the bins."""

import math
from typing import Any

import pytest

from rapidash.report._contents import contents
from rapidash.report._learned_section import learned_section
from rapidash.report._page import render
from rapidash.study import StudySummary, study_of, summarize
from tests.report._studies import small_record

BINS = [-math.pi / 2, -0.2, 0.0, 0.2, math.pi / 2, math.pi]


def learned(name: str, seed: int, method: dict[str, Any], *rows: dict[str, float]) -> dict:
    history = [
        {"step": 100 * (k + 1), "val_error": 0.1, **{f"value/{key}": value for key, value in row.items()}}
        for k, row in enumerate(rows)
    ]
    return small_record(name, seed, 0.1, variant={"methods": [method]}, history=history)


def widths(rotation: float, scaling: float) -> dict[str, float]:
    return {"half-width of rotation": rotation, "half-width of scaling": scaling}


@pytest.fixture
def summary() -> StudySummary:
    augerino = {"kind": "augerino", "init_width": [0.2, 0.1], "max_width": 5.0, "learns": True}
    shares = {f"share of rotation by {u:.4g}": (0.01 if abs(u) == 0.2 else 0.245) for u in BINS}
    return summarize(
        study_of(
            [
                *(small_record("plain", seed, 0.1, history=[{"step": 100, "val_error": 0.1}]) for seed in (0, 1)),
                learned("box", 0, augerino, widths(0.4, 0.1), widths(0.7, 0.1)),
                learned("box", 1, augerino, widths(0.4, 0.1), widths(0.9, 6.0)),
                learned("fixed", 0, {**augerino, "learns": False}, widths(0.7, 0.7)),
                *(learned("bins", seed, {"kind": "group-histogram"}, shares) for seed in (0, 1)),
            ]
        )
    )


def test_the_rows_by_hand(summary: StudySummary) -> None:
    section = learned_section(summary)
    assert section is not None
    rows = {(row[0].split(" ", 1)[1], row[1]): row[2:] for row in section.rows}
    assert set(rows) == {("box", "rotation"), ("box", "scaling"), ("bins", "rotation")}
    start, end, elements = rows["box", "rotation"]
    assert (start, elements) == ("0.200", "—") or start == "0.200"
    assert end.startswith("0.800")  # the mean of 0.7 and 0.9
    size = math.exp(-2 * 0.01 * math.log(0.01) - 4 * 0.245 * math.log(0.245))
    assert rows["bins", "rotation"][2].startswith(f"{size:.2f}")


def test_notes_name_large_shares_and_a_box_that_was_left(summary: StudySummary) -> None:
    section = learned_section(summary)
    assert section is not None
    (left,) = [note for note in section.notes if "safe box" in note]
    assert "scaling has left the safe box in seed 1: how wide it is from there on says nothing" in left
    rows = {(row[0].split(" ", 1)[1], row[1]): row for row in section.rows}
    assert rows["box", "scaling"][3] == "at least 2.55"  # 0.1, and the end of the box, 5
    (large,) = [note for note in section.notes if "bins" in note]
    assert "alike" in large  # of six bins none has a third of the whole
    (chart,) = section.charts
    assert chart.slug == "learned-shares-rotation"
    assert "Learned ranges" in render(summary, contents(summary))


def test_a_study_without_learned_ranges_has_no_section(summary: StudySummary) -> None:
    plain = [run.raw for run in summary.study.runs if run.get("config", "variant", "name") in ("plain", "fixed")]
    assert learned_section(summarize(study_of(plain))) is None


def test_a_half_width_outside_the_box_in_every_seed_is_no_number() -> None:
    method = {"kind": "augerino", "init_width": 0.1, "max_width": 5.0}
    ends = ({"half-width of translation along y": 5.0 + seed} for seed in (0, 1))
    found = learned_section(summarize(study_of([learned("a", seed, method, end) for seed, end in enumerate(ends)])))
    assert found is not None
    assert found.rows[0][3] == "beyond the box (at least 5 length units)"


@pytest.mark.parametrize(("at_the_ends", "reach", "said"), [(0.4, 1.0, True), (0.2, 1.0, False), (0.4, 2.0, False)])
def test_a_histogram_with_shares_at_its_ends_says_that_more_was_not_asked(
    at_the_ends: float, reach: float, said: bool
) -> None:
    """Three elements with a mean share of 1/3: 0.4 is above 3/4 of it and 0.2 is not; others end at a period."""
    shares = {"share of scaling by -1": at_the_ends, "share of scaling by 0": 0.2, "share of scaling by 1": at_the_ends}
    method = {"kind": "group-histogram", "reach": reach}
    found = learned_section(summarize(study_of([learned("a", seed, method, shares) for seed in (0, 1)])))
    assert found is not None
    assert any("up to the ends of its range, 1.00 each way" in note for note in found.notes) == said
