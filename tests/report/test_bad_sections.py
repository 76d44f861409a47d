"""A section of another package that is not what it must be is named; every form of the report stands."""

import html
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rapidash.registry import SECTIONS
from rapidash.report import Section, export, terminal_table, write_report
from rapidash.report._chart_types import Point, RowChart, Series, XYChart
from rapidash.report._markdown import markdown_table
from rapidash.report._scale import Scale
from rapidash.study import StudySummary, read_study, summarize
from tests.report._studies import WriteStudy, small_record

AXIS = Scale(0.0, 1.0, False)
CHART = XYChart(
    "mine", "Mine", "", (Series(0, "A", "a", "v", points=(Point(1.0, 2.0, 3.0, 4.0, "p"),)),), AXIS, AXIS, "x", "y"
)
Draw = Callable[[StudySummary], Any]
ANY: Any = Section  # the type checker would refuse what these tests give it

REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a title": (lambda: ANY(None), TypeError, "title of the section None: expected text, got NoneType: None"),
    "a text": (lambda: ANY("T", 3), TypeError, "text of the section 'T': expected text, got int: 3"),
    "a head": (lambda: ANY("T", head="ab"), TypeError, "head of .* 'T': expected a list or tuple, got str: 'ab'"),
    "cells": (lambda: ANY("T", head=("a",), rows=[(1,)]), TypeError, "each of rows of .*: expected text, got int: 1"),
    "no cell": (lambda: ANY("T", head=("a",), rows=[(None,)]), TypeError, "each of rows .* got NoneType: None"),
    "a row": (lambda: ANY("T", head=("a",), rows=["b"]), TypeError, "rows .* a list or tuple, got str: 'b'"),
    "a stream": (lambda: ANY("T", rows=(c for c in "ab")), TypeError, "rows .* list or tuple, got generator"),
    "no head": (lambda: ANY("T", rows=[(), ()]), ValueError, "rows of the section 'T' need a head, got none"),
    "notes": (lambda: ANY("T", notes="abc"), TypeError, "notes of .* expected a list or tuple, got str: 'abc'"),
    "a note": (lambda: ANY("T", notes=(1,)), TypeError, "each of notes of .* expected text, got int: 1"),
    "a chart": (lambda: ANY("T", charts=("no",)), TypeError, "each of charts .* expected an XYChart, got str: 'no'"),
    "rows": (lambda: ANY("T", charts=[RowChart("x", "X", "", (), AXIS, "", ())]), TypeError, "charts .* got RowChart"),
    "a slug": (lambda: ANY("T", charts=[replace(CHART, slug=ANY)]), TypeError, "slug of each of charts .* text, got"),
    "a surrogate": (lambda: ANY("T", "\ud800"), ValueError, r"text of .* expected text for UTF-8, got '\\ud800'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_section_of_other_types_is_refused(case: str) -> None:
    make, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        make()
    assert Section("T", "", ["a"], [["1"]], ["n"], [CHART]).rows == [["1"]]


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


def mute(summary: StudySummary) -> Section:
    raise Mute


BROKEN: dict[str, tuple[Draw, str]] = {
    **{name: (lambda summary, make=make: make(), "'bad' of another package") for name, (make, *_) in REFUSED.items()},
    "raises": (lambda summary: 1 / 0, "ZeroDivisionError: division by zero"),
    "leaves": (lambda summary: sys.exit(3), "SystemExit: 3"),
    "mute": (mute, "Mute: no reason given"),
    "chart of text": (lambda summary: Section("T", charts=[replace(CHART, series=ANY)]), "is left out: TypeError"),
    "surrogate": (lambda summary: {}["\ud800"], r"KeyError: '\ud800'"),
}  # fmt: skip


def forms_of(write_study: WriteStudy, tmp_path: Any) -> dict[str, str]:
    directory = write_study([small_record(name, seed, 1.0 + seed) for name in "AB" for seed in (0, 1)])
    summary = summarize(read_study(directory))
    page = html.unescape(write_report(directory).read_text(encoding="utf-8"))
    export(directory, tmp_path / "out")
    return {"terminal": terminal_table(summary), "page": page, "Markdown": markdown_table(summary)}


@pytest.mark.parametrize("case", BROKEN)
def test_every_form_of_the_report_stands(
    monkeypatch: pytest.MonkeyPatch, write_study: WriteStudy, tmp_path: Any, case: str
) -> None:
    draw, reason = BROKEN[case]
    good = Section("The good one", "It stands.", ("a",), [("1",)], ("A note.",), (CHART,))
    monkeypatch.setattr(SECTIONS, "_entries", {"bad": draw, "good": lambda summary: good})
    for form, text in forms_of(write_study, tmp_path).items():
        said = " ".join(text.replace("\\\\", "\\").split())
        assert "The section 'bad' of another package is left out" in said, form
        assert reason in said, form
        assert "It stands." in said, form


def test_what_fails_on_the_page_only_is_left_out_there(
    monkeypatch: pytest.MonkeyPatch, write_study: WriteStudy, tmp_path: Any
) -> None:
    """Values under the pointer that are no JSON, and a title that no file can hold."""
    for chart in (replace(CHART, readout={"x": object()}), replace(CHART, title="\ud800")):
        entries = {
            "bad": lambda summary, chart=chart: Section("Half", "Of it.", charts=(chart,)),
            "good": lambda summary: Section("The good one", "It stands."),
        }
        monkeypatch.setattr(SECTIONS, "_entries", entries)
        page = forms_of(write_study, tmp_path)["page"]
        assert re.search(r"The section 'Half' is left out: (TypeError|UnicodeEncodeError): ", page)
        assert "<p>Of it.</p>" not in page
        assert "<p>It stands.</p>" in page
