"""The table of a study for a terminal, an issue or a paper's supplement: GitHub's Markdown."""

from collections.abc import Sequence

from rapidash.report import _format as fmt
from rapidash.report._contents import Contents, contents
from rapidash.report._own_phrases import question
from rapidash.report._phrases import (
    difference_text,
    equality_note,
    equivariance_text,
    estimate_text,
    figure_table,
    figures_note,
    fraction_note,
    metric_with_unit,
    p_note,
    p_text,
    test_text,
    variant_title,
    view_title,
    views_note,
)
from rapidash.report._robustness import RobustnessSection
from rapidash.report._sections import Section, drawn
from rapidash.study import StudySummary, VariantSummary

_HEAD = (
    "variant",
    "effective symmetry",
    "test error [95 % interval]",
    "rotated test data",
    "difference to neighbor [95 % interval]",
    f"equivariance error, before {fmt.ARROW} after training",
    "parameters",
    "time per step",
    "peak memory",
)


def markdown_table(summary: StudySummary, contained: Contents | None = None) -> str:
    """The verdict, the cautions, one row per variant and view, and every other figure.

    Args:
        summary: of a study.
        contained: its `contents`, where they are at hand.
    """
    contained = contents(summary) if contained is None else contained
    found = contained.verdict
    lines = [
        f"# {_escape(question(summary.study))}",
        "",
        *(f"{_escape(line)}\n" for line in found.lead),
        _escape(found.headline),
        "",
    ]
    lines += [f"- {_escape(symbol.name)}: {_escape(symbol.meaning)}" for symbol in contained.symbols]
    lines += [""] if contained.symbols else []
    if summary.variants:
        rows = [row for variant in summary.variants for row in _rows(summary, variant)]
        lines += [f"Test error: {_escape(metric_with_unit(summary))}, lower is better.", ""]
        lines += [_line(_HEAD), _line(("---",) * 5 + ("---:",) * 4), *map(_line, rows), ""]
        notes = fraction_note(summary), equality_note(summary), views_note(summary), p_note(summary)
        lines += [f"{_escape(note)}\n" for note in notes if note]
    for finding in found.findings:
        lines.append(f"- {_escape(finding.title)}: {_escape(finding.text)}")
        lines += [f"  - {_escape(item)}" for item in finding.items]
    sections, faults = drawn(found.sections, _section)
    lines += [f"- Caution: {_escape(caution)}" for caution in (*found.cautions, *contained.faults, *faults)]
    lines += _robustness(contained.robustness)
    head, figures = figure_table(summary)
    if figures:
        lines += ["", "## Also measured", "", figures_note(summary), "", *_table(head, figures)]
    for section in sections:
        lines += ["", *section]
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section) -> list[str]:
    lines = [f"## {_escape(section.title)}", "", *([_escape(section.text), ""] if section.text else [])]
    lines += [*_table(section.head, section.rows), ""] if section.rows else []
    return [*lines, *(f"- {_escape(note)}" for note in section.notes)]


def _robustness(section: RobustnessSection | None) -> list[str]:
    """Corruption errors, a column per variant; empty where no model was tested under corruptions."""
    if section is None or not section.variants:
        return []
    head = ("corruption error", *(f"{variant.letter} {variant.name}" for variant in section.variants))
    rows = [
        (title, *(" ".join(filter(None, (cell.value, cell.interval, f"({cell.error})"))) for cell in cells))
        for title, cells in section.lines
    ]
    lines = ["", "## Under corruptions", "", _escape(section.lead), "", *_table(head, rows)]
    return [*lines, "", *(f"- {_escape(note)}" for note in section.notes)]


def _rows(summary: StudySummary, variant: VariantSummary) -> list[tuple[str, ...]]:
    comparison = variant.to_neighbor
    difference = fmt.NOTHING
    if comparison is not None:
        parts = (
            difference_text(comparison),
            p_text(comparison),
            f"vs {summary[comparison.other].letter}",
        )
        difference = " ".join(part for part in parts if part)
    row = (
        variant_title(variant),
        variant.symmetry_text or fmt.NOTHING,
        test_text(summary, variant),
        fmt.number(variant.rotated.mean) if variant.rotated is not None else fmt.NOTHING,
        difference,
        equivariance_text(variant.equivariance) or fmt.NOTHING,
        fmt.count(variant.parameters),
        fmt.seconds(variant.seconds_per_step),
        fmt.memory(variant.peak_memory),
    )
    views = (
        (
            view_title(view.name),
            view.effective or fmt.NOTHING,
            estimate_text(view.test) if view.test is not None else fmt.NOTHING,
            fmt.number(view.rotated.mean) if view.rotated is not None else fmt.NOTHING,
            "",
            equivariance_text(view.equivariance) or fmt.NOTHING,
            *("",) * 3,
        )
        for view in variant.views
    )
    return [row, *views]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(head), _line(("---",) * len(head)), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escape, cells))} |"


def _escape(text: str) -> str:
    """Text that Markdown shows as it is: no table break, no HTML, no new line."""
    text = fmt.one_line(text)
    for sign, plain in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), (fmt.TIE, " ")):
        text = text.replace(sign, plain)
    return text
