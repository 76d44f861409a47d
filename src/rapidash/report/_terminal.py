"""The table of a study for a terminal."""

from collections.abc import Sequence

from rapidash.report import _format as fmt
from rapidash.report._aligned import aligned, filled
from rapidash.report._phrases import (
    difference_text,
    equality_note,
    equivariance_text,
    estimate_text,
    figure_lines,
    figures_note,
    fraction_note,
    has_intervals,
    metric_with_unit,
    moments_text,
    p_note,
    p_text,
    size_text,
    test_text,
    variant_title,
    view_title,
    views_note,
)
from rapidash.report._sections import Section, drawn
from rapidash.report._symbols import symbols, symbols_text
from rapidash.report._verdict import verdict
from rapidash.study import StudySummary, VariantSummary

_ERRORS = ("variant", "symmetry", "test error", "rotated", "over neighbor", "p")
_COSTS = ("variant", "minus neighbor", "equivariance error", "parameters", "s/step", "memory")


def terminal_table(summary: StudySummary) -> str:
    """The verdict on a study, its tables, all other figures and the cautions, at most 120 characters wide."""
    found = verdict(summary)
    lines = [filled(line) for line in (*found.lead, found.headline)]
    if named := symbols_text(symbols(summary)):
        lines += ["", filled(f"{named}.")]
    if summary.variants:
        errors = [row for variant in summary.variants for row in _error_rows(summary, variant)]
        costs = [row for variant in summary.variants for row in _cost_rows(summary, variant)]
        lines += ["", *aligned([_ERRORS, *errors]), "", *aligned([_COSTS, *costs]), "", *map(filled, _notes(summary))]
    lines += _also_measured(summary)
    sections, faults = drawn(found.sections, _section)
    for section in sections:
        lines += ["", *section]
    if cautions := (*found.cautions, *faults):
        lines += ["", *(filled(f"Read with care: {caution}", "  ") for caution in cautions)]
    return "\n".join(lines) + "\n"


def _error_rows(summary: StudySummary, variant: VariantSummary) -> list[tuple[str, ...]]:
    failed = sum(not run.is_done for run in variant.runs)
    compared = variant.to_neighbor
    row = (
        variant_title(variant) + (f" ({failed} failed)" if failed else ""),
        variant.symmetry_text or fmt.NOTHING,
        test_text(summary, variant),
        fmt.NOTHING if variant.rotated is None else fmt.number(variant.rotated.mean),
        fmt.NOTHING if compared is None else f"{summary[compared.other].letter}: {size_text(compared)}",
        p_text(compared).removeprefix(f"p{fmt.TIE}").removeprefix(f"={fmt.TIE}") or fmt.NOTHING,
    )
    views = (
        (
            f"  {view_title(view.name)}",
            view.effective or fmt.NOTHING,
            fmt.NOTHING if view.test is None else estimate_text(view.test),
            fmt.NOTHING if view.rotated is None else fmt.number(view.rotated.mean),
            "",
            "",
        )
        for view in variant.views
    )
    return [row, *views]


def _cost_rows(summary: StudySummary, variant: VariantSummary) -> list[tuple[str, ...]]:
    compared = variant.to_neighbor
    row = (
        variant_title(variant),
        fmt.NOTHING if compared is None else f"{summary[compared.other].letter}: {difference_text(compared)}",
        equivariance_text(variant.equivariance) or fmt.NOTHING,
        fmt.NOTHING if variant.parameters is None else f"{variant.parameters:,.0f}",
        fmt.NOTHING if variant.seconds_per_step is None else f"{variant.seconds_per_step:.3g}",
        fmt.memory(variant.peak_memory),
    )
    views = (
        (f"  {view_title(view.name)}", "", equivariance_text(view.equivariance) or fmt.NOTHING, "", "", "")
        for view in variant.views
    )
    return [row, *views]


def _notes(summary: StudySummary) -> list[str]:
    interval = " with its 95 % t-interval" if has_intervals(summary) else ""
    text = (
        f"Test error: {metric_with_unit(summary)}, lower is better: mean over {fmt.plural(len(summary.seeds), 'seed')}"
        f"{interval}; rotated: on rotated test data. Difference and ratio to the neighbor, from which a variant "
        "differs in one knob, are paired by seed. Equivariance error: relative, under rotations, before "
        f"{fmt.ARROW} after training. Memory: growth of the process during training."
    )
    notes = text, fraction_note(summary), equality_note(summary), views_note(summary), p_note(summary)
    return [note for note in notes if note]


def _also_measured(summary: StudySummary) -> list[str]:
    lines = []
    for title, found in figure_lines(summary):
        values = (f"{summary[name].letter} {moments_text(figure.moments)}" for name, figure in found.items())
        lines.append(filled(f"  {title}: {'; '.join(values)}", "    "))
    return ["", f"Also measured. {figures_note(summary)}", *lines] if lines else []


def _section(section: Section) -> Sequence[str]:
    title = fmt.one_line(section.title)
    lines = [title, "=" * len(title)]
    lines += [filled(section.text)] if section.text else []
    lines += aligned([section.head, *section.rows]) if section.rows else []
    return [*lines, *map(filled, section.notes)]
