"""Registered sections of a report: drawn in the terminal, on the page and in Markdown, each by the same text."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rapidash.registry import SECTIONS
from rapidash.report._chart_types import Drawing, XYChart
from rapidash.report._svg import xy_svg
from rapidash.study import StudySummary, shortened

Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Args:
        title: its heading.
        text: one paragraph.
        head, rows: of a table, lists or tuples of text; every row is as long as the head.
        notes: lines below it, a list or tuple.
        charts: plots, which stand on the page only.
        drawings: other pictures, on the page only.
    Raises: TypeError for something else than text, or than lists and tuples of it; ValueError for a row of another
        length than the head, rows without a head, or text that UTF-8 cannot hold. Both name the section.
    """

    title: str
    text: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    charts: Sequence[XYChart] = ()
    drawings: Sequence[Drawing] = ()

    def __post_init__(self) -> None:
        self._check("title", self.title, str)
        self._check("text", self.text, str)
        for name, members, kind in (
            ("head", self.head, str),
            ("notes", self.notes, str),
            ("charts", self.charts, XYChart),
            ("drawings", self.drawings, Drawing),
        ):
            self._check_each(name, members, kind)
        for chart in self.charts:
            self._check("slug of each of charts", chart.slug, str)
        for drawing in self.drawings:
            for part in ("slug", "title", "lead", "svg"):
                self._check(f"{part} of each of drawings", getattr(drawing, part), str)
        self._check("rows", self.rows, list | tuple)
        for row in self.rows:
            self._check_each("rows", row, str)
            if len(row) != len(self.head):
                raise ValueError(f"rows of the section {self.title!r} need {len(self.head)} cells, got {list(row)}")
        if self.rows and not self.head:
            raise ValueError(f"rows of the section {self.title!r} need a head, got none")

    def _check_each(self, name: str, members: Any, kind: Any) -> None:
        self._check(name, members, list | tuple)
        for member in members:
            self._check(f"each of {name}", member, kind)

    def _check(self, name: str, value: Any, kind: Any) -> None:
        if not isinstance(value, kind):
            expected = {str: "text", XYChart: "an XYChart", Drawing: "a Drawing"}.get(kind, "a list or tuple")
            found = shortened(f"{type(value).__name__}: {value!r}")
            raise TypeError(f"{name} of the section {self.title!r}: expected {expected}, got {found}")
        if isinstance(value, str) and writable(value) != value:
            raise ValueError(f"{name} of the section {self.title!r}: expected text for UTF-8, got {value!r}")


def writable(text: str) -> str:
    """A text with lone surrogates, which no file can hold, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def registered_sections(summary: StudySummary) -> tuple[tuple[Section, ...], tuple[str, ...]]:
    """The sections that the functions in ``rapidash.registry.SECTIONS`` make of a study, and why some failed."""
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
            for chart in found.charts:
                xy_svg(chart)
            sections.append(found)
        except (Exception, SystemExit) as error:  # whatever another package does: the rest of the report stands
            faults.append(_fault(f"{name!r}{whose}", error))
    return tuple(sections), tuple(faults)


def drawn(sections: Iterable[Section], draw: Callable[[Section], Drawn]) -> tuple[list[Drawn], list[str]]:
    """The drawing that a function makes of each section, and a sentence for each section that it fails on."""
    made, faults = [], []
    for section in sections:
        try:
            made.append(draw(section))
        except Exception as error:  # a fault in one section leaves the others
            faults.append(_fault(repr(section.title), error))
    return made, faults


def _fault(name: str, error: BaseException) -> str:
    try:
        reason = str(error)
    except Exception:  # an error of another package need not know its own text
        reason = "no reason given"
    return writable(f"The section {name} is left out: {type(error).__name__}: {shortened(reason)}")
