"""The table of a study for a terminal, an issue or a paper's supplement: GitHub's Markdown."""

from rapidash.report import _format as fmt
from rapidash.report._charts import estimate_text
from rapidash.report._robustness import robustness_section
from rapidash.report._summary import StudySummary, VariantSummary
from rapidash.report._verdict import metric_with_unit, verdict

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


def markdown_table(summary: StudySummary) -> str:
    """The verdict, the cautions and one row per variant."""
    found = verdict(summary)
    lines = [f"# Which symmetry does {_escape(summary.study.task)} want?", "", _escape(found.headline), ""]
    if summary.variants:
        rows = [_row(summary, variant) for variant in summary.variants]
        lines += [f"Test error: {_escape(metric_with_unit(summary))}, lower is better.", ""]
        lines += [_line(_HEAD), _line(("---",) * 5 + ("---:",) * 4), *map(_line, rows), ""]
    for finding in found.findings:
        lines.append(f"- {_escape(finding.title)}: {_escape(finding.text)}")
        lines += [f"  - {_escape(item)}" for item in finding.items]
    lines += [f"- Caution: {_escape(caution)}" for caution in found.cautions]
    lines += _robustness(summary)
    return "\n".join(lines).rstrip() + "\n"


def _robustness(summary: StudySummary) -> list[str]:
    """Corruption errors, a column per variant; empty where no model was tested under corruptions."""
    section = robustness_section(summary)
    if section is None or not section.variants:
        return []
    head = ("corruption error", *(f"{variant.letter} {variant.name}" for variant in section.variants))
    rows = [
        (title, *(" ".join(filter(None, (cell.value, cell.interval, f"({cell.error})"))) for cell in cells))
        for title, cells in section.lines
    ]
    lines = ["", "## Under corruptions", "", _escape(section.lead), "", _line(head), _line(("---",) * len(head))]
    return [*lines, *map(_line, rows), "", *(f"- {_escape(note)}" for note in section.notes)]


def _row(summary: StudySummary, variant: VariantSummary) -> tuple[str, ...]:
    comparison = variant.to_neighbor
    difference = fmt.NOTHING
    if comparison is not None:
        parts = (
            fmt.signed(comparison.difference),
            fmt.interval(comparison.low, comparison.high),
            fmt.p_value(comparison.p_value),
            f"vs {summary[comparison.other].letter}",
        )
        difference = " ".join(part for part in parts if part)
    moments = next(iter(variant.equivariance.values()), {})
    oracle = " (oracle)" if variant.oracle else ""
    return (
        f"{variant.letter} {variant.name}{oracle}",
        variant.symmetry_text or fmt.NOTHING,
        estimate_text(variant.test) if variant.test is not None else "no finished run",
        fmt.number(variant.rotated.mean) if variant.rotated is not None else fmt.NOTHING,
        difference,
        f" {fmt.ARROW} ".join(fmt.relative_error(moments[key].mean) for key in ("before", "after") if key in moments)
        or fmt.NOTHING,
        fmt.count(variant.parameters),
        fmt.seconds(variant.seconds_per_step),
        fmt.memory(variant.peak_memory),
    )


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(_escape, cells))} |"


def _escape(text: str) -> str:
    """Text that Markdown shows as it is: no table break, no HTML, no new line."""
    for sign, plain in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("\n", " "), (fmt.TIE, " ")):
        text = text.replace(sign, plain)
    return text
