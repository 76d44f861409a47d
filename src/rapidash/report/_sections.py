"""Registered sections of a report: drawn in the terminal, on the page and in Markdown, each by the same text."""

from collections.abc import Sequence
from dataclasses import dataclass

from rapidash.registry import SECTIONS
from rapidash.report._chart_types import XYChart
from rapidash.study import StudySummary


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Args:
        title: its heading.
        text: one paragraph.
        head, rows: of a table; every row is as long as the head.
        notes: lines below it.
        charts: plots, which stand on the page only.
    Raises: ValueError for a row of another length than the head.
    """

    title: str
    text: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    charts: Sequence[XYChart] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"rows of the section {self.title!r} need {len(self.head)} cells, got {list(row)}")


def registered_sections(summary: StudySummary) -> tuple[tuple[Section, ...], tuple[str, ...]]:
    """What the functions in ``rapidash.registry.SECTIONS`` make of a study, and why some make nothing of it."""
    sections, faults = [], []
    for name in SECTIONS:
        whose = " of another package"
        try:
            draw = SECTIONS.get(name)
            if draw.__module__.startswith("rapidash."):
                whose = ""
            found = draw(summary)
            if found is None:  # it has nothing to say of this study
                continue
            if not isinstance(found, Section):
                raise TypeError(f"it returned {type(found).__name__}, expected rapidash.report.Section or None")
            sections.append(found)
        except Exception as error:  # whatever the code of another package does: the rest of the report stands
            faults.append(f"The section {name!r}{whose} is left out: {type(error).__name__}: {error}")
    return tuple(sections), tuple(faults)
