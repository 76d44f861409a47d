"""A section of the report: how far the gate of every variant was left open."""

from rapidash.report import Section
from rapidash.study import StudySummary


def openness(summary: StudySummary) -> Section:
    rows = []
    for variant in summary.variants:
        for figure in variant.figures:
            if figure.name == "gate":
                rows.append((variant.name, f"{figure.moments['after'].mean:.3f}"))
    return Section("How open the gates are", "A closed gate is at 0.", ("variant", "gate"), rows, ("The first look.",))


def broken(summary: StudySummary) -> Section:
    raise LookupError("no gate in sight")
