"""A section of the report: how far the gate of every variant was left open."""

from rapidash.report import Section
from rapidash.study import StudySummary


def openness(summary: StudySummary) -> Section:
    gates = [(variant.name, figure) for variant in summary.variants for figure in variant.figures]
    rows = [(name, f"{figure.moments['after'].mean:.3f}") for name, figure in gates if figure.name == "gate"]
    return Section("How open the gates are", "A closed gate is at 0.", ("variant", "gate"), rows, ("The first look.",))


def broken(summary: StudySummary) -> Section:
    raise LookupError("no gate in sight")
