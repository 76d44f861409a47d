"""The parts of a report of a study: its words, its plots, and the files that can be saved by themselves."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from rapidash._files import atomic_write
from rapidash.report import _charts as charts
from rapidash.report import _tables as tables
from rapidash.report._chart_types import Drawing, RowChart, XYChart
from rapidash.report._latex import latex_table
from rapidash.report._methods_text import bibtex, methods_text
from rapidash.report._robustness import RobustnessSection, robustness_section
from rapidash.report._svg import row_svg, xy_svg
from rapidash.report._symbols import Symbol, symbols
from rapidash.report._verdict import Verdict, verdict
from rapidash.study import StudySummary, read_study, shortened, summarize

Given = TypeVar("Given")
Made = TypeVar("Made")
PAPER_TABLE: Final = "table.tex"
METHODS: Final = "methods.txt"
CITATION: Final = "citation.bib"


@dataclass(frozen=True)
class Contents:
    """The parts of a report; one that could not be made is empty, and ``faults`` says why.

    Args:
        verdict: the study in words.
        symbols: the names of groups and spaces that occur.
        error, learning, data: charts, None where there is nothing to draw.
        by_row, factors, costs: further charts.
        robustness: errors under corruptions.
        files: by name, what can be saved: figures (``.svg``), tables (``.csv``, ``.tex``), and text for a paper.
        faults: a sentence for every part that raised an error.
    """

    verdict: Verdict
    symbols: tuple[Symbol, ...]
    error: RowChart | None
    by_row: tuple[RowChart, ...]
    learning: XYChart | None
    data: XYChart | None
    factors: tuple[XYChart, ...]
    costs: tuple[XYChart, ...]
    robustness: RobustnessSection | None
    files: dict[str, str]
    faults: tuple[str, ...]


def contents(summary: StudySummary) -> Contents:
    """All parts of the report of a study; a fault in one leaves the others as they are."""
    parts = _Parts()
    found = verdict(summary)
    error = parts.made("The figure of the test errors", charts.error_chart, summary)
    by_row = (
        parts.made("The figure of what one knob does", charts.difference_chart, summary),
        parts.made("The figure of rotated test data", charts.rotation_chart, summary),
        parts.made("The figure of the equivariance errors", charts.equivariance_chart, summary),
    )
    learning = parts.made("The figure of the learning curves", charts.learning_chart, summary)
    data = parts.made("The figure of the data efficiency", charts.data_chart, summary)
    factors = parts.made("The figure of the factors", charts.factor_charts, summary) or ()
    costs = parts.made("The figure of the costs", charts.cost_charts, summary) or ()
    robustness = parts.made("The section on corruptions", robustness_section, summary)
    curves = [learning, data, *factors, *costs]
    curves += [robustness.mean_curve, *robustness.panels] if robustness is not None else []
    curves += [chart for section in found.sections for chart in section.charts]
    for row_chart in (error, *by_row, robustness.chart if robustness is not None else None):
        if row_chart is not None:
            parts.add(svg_name(row_chart), row_svg, row_chart)
    for curve in curves:
        if curve is not None:
            parts.add(svg_name(curve), xy_svg, curve)
    for drawing in (drawing for section in found.sections for drawing in section.drawings):
        parts.add(svg_name(drawing), lambda given: given.svg, drawing)
    for table in (*_TABLES, *(tables.section_table(section) for section in found.sections)):
        parts.add_table(table, summary)
    for name, text in ((PAPER_TABLE, latex_table), (METHODS, methods_text), (CITATION, bibtex)):
        parts.add(name, text, summary)
    return Contents(
        verdict=found,
        symbols=parts.made("The legend of symbols", symbols, summary) or (),
        error=error,
        by_row=tuple(chart for chart in by_row if chart is not None),
        learning=learning,
        data=data,
        factors=factors,
        costs=costs,
        robustness=robustness,
        files=parts.files,
        faults=tuple(parts.faults),
    )


def svg_name(chart: RowChart | XYChart | Drawing) -> str:
    """The file of a chart."""
    return f"{file_name(chart.slug)}.svg"


def file_name(text: str) -> str:
    """A text as the name of a file, without its ending."""
    return re.sub("[^a-z0-9]+", "-", text.lower())[:60].strip("-") or "unnamed"


class _Parts:
    """The files made so far, and why others could not be made."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.faults: list[str] = []

    def made(self, what: str, make: Callable[[Given], Made], given: Given) -> Made | None:
        """A part of the report, or None and a fault."""
        try:
            return make(given)
        except Exception as error:  # whatever is wrong with one part, the reader gets the others
            fault = shortened(f"{type(error).__name__}: {error}")
            self.faults.append(f"{what} is left out of this report, because making it failed: {fault}")
            return None

    def add(self, name: str, make: Callable[[Given], str], given: Given) -> None:
        """A file."""
        text = self.made(f"The file {name}", make, given)
        if text is not None:
            self.files[name] = text

    def add_table(self, make: Callable[[StudySummary], tables.Table], summary: StudySummary) -> None:
        """A table that has rows."""
        table = self.made("A table", make, summary)
        if table is not None and table.rows:
            self.add(self._free_name(file_name(table.name)), tables.csv_text, table)

    def _free_name(self, name: str) -> str:
        names = (f"{name}.csv", *(f"{name}-{number}.csv" for number in range(2, 1000)))
        return next(name for name in names if name not in self.files)


_TABLES: Final = (
    tables.variants_table,
    tables.comparisons_table,
    tables.figures_table,
    tables.corruptions_table,
    tables.learning_table,
    tables.settings_table,
    tables.runs_table,
)


def export(study_dir: Path, folder: Path) -> list[Path]:
    """Write every figure (SVG), every table (CSV, and for a paper LaTeX), and the text for a paper's methods section.

    Args:
        study_dir: directory of a study.
        folder: where to write; created if it is missing. Files of an earlier report with the same names are replaced.
    Returns: the paths of the files.
    Raises: FileNotFoundError if ``study_dir`` is no study directory; OSError if a file cannot be written.
    """
    found = contents(summarize(read_study(Path(study_dir))))
    paths = [Path(folder) / name for name in found.files]
    for path, text in zip(paths, found.files.values(), strict=True):
        atomic_write(path, text)
    return paths
