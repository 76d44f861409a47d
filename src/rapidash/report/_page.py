"""The HTML page: what the template shows, as plain values."""

from importlib import resources
from typing import Any, Final, NamedTuple

from rapidash._version import __version__
from rapidash.report import _charts as charts
from rapidash.report import _format as fmt
from rapidash.report import _provenance as provenance
from rapidash.report._contents import CITATION, METHODS, PAPER_TABLE, Contents, file_name, svg_name
from rapidash.report._own_phrases import question, subject
from rapidash.report._phrases import (
    equality_text,
    equivariance_text,
    estimate_text,
    figure_table,
    figures_note,
    fraction_note,
    has_intervals,
    metric_with_unit,
    p_note,
    p_text,
    size_text,
    test_text,
    views_note,
)
from rapidash.report._scale import Scale
from rapidash.report._sections import Section, drawn
from rapidash.study import Comparison, Estimate, StudySummary, VariantSummary, ViewSummary, shortened


class Column(NamedTuple):
    """A column of the table of variants; one with an order is offered for sorting on a narrow page."""

    title: str
    has_order: bool


_COLUMNS: Final = (
    Column("Variant", True),
    Column("Symmetry", False),
    Column("Test error", True),
    Column("Rotated test data", True),
    Column("Against neighbor", False),
    Column("Equivariance error", True),
    Column("Parameters", True),
    Column("Time per step", True),
    Column("Peak memory", True),
)


MEASUREMENT_PAGE: Final = "measure.html"  # in the work folder of a run


def render(summary: StudySummary, found: Contents) -> str:
    """The whole page as one string without references to anything outside it.

    Raises: ImportError naming the extra to install if Jinja2 is missing.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise ImportError("the report needs Jinja2: pip install 'rapidash[study]'") from error
    environment = Environment(
        loader=PackageLoader("rapidash.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    context = _context(summary, found)
    macros: Any = environment.get_template("section.html.j2").module

    def draw(section: Section) -> str:
        text: str = macros.drawn_section(section, found.files, svg_name)
        text.encode()  # what no file can hold is a fault of the section, not of the page
        return text

    context["sections"], faults = drawn(found.verdict.sections, draw)
    context["cautions"] = (*context["cautions"], *faults)
    for name, source in (("style", "style.css"), ("script", "script.js")):
        context[name] = Markup(_asset(source))
    context["records"] = Markup(provenance.records_json(summary.study))
    context["embedded"] = Markup(provenance.json_in_page(context["files"]))
    return environment.get_template("report.html.j2").render(context)


def _asset(name: str) -> str:
    return resources.files("rapidash.report").joinpath("templates", name).read_text(encoding="utf-8")


def _portraits(summary: StudySummary) -> list[tuple[str, int, str]]:
    """Variant, seed and measurement page of the first run of each variant that has been measured."""
    found = []
    for variant in summary.variants:
        for run in sorted(variant.runs, key=lambda run: run.seed):
            page = summary.study.directory / "work" / run.text("key") / MEASUREMENT_PAGE
            if run.text("key") and page.is_file():
                found.append((f"{variant.letter} {variant.name}", run.seed, page.read_text(encoding="utf-8")))
                break
    return found


def _context(summary: StudySummary, found: Contents) -> dict[str, Any]:
    study = summary.study
    configured, differing, shared = provenance.compare_settings(summary)
    scales = _TableScales.of(found)
    return {
        "version": __version__,
        "title": f"{subject(study)}: which symmetry? Symmetry study",
        "portraits": _portraits(summary),
        "question": question(study),
        "verdict": found.verdict,
        "cautions": (*found.verdict.cautions, *found.faults),
        "symbols": found.symbols,
        "files": found.files,
        "file_prefix": file_name(study.task),
        "svg_name": svg_name,
        "legend": _legend(summary, found),
        "methods": found.files.get(METHODS, ""),
        "citation": found.files.get(CITATION, ""),
        "latex": found.files.get(PAPER_TABLE, ""),
        "facts": _facts(summary),
        "columns": _COLUMNS,
        "table_note": _table_note(summary),
        "rows": [_table_row(summary, variant, scales, variant.name in configured) for variant in summary.variants],
        "error_chart": found.error,
        "row_charts": found.by_row,
        "learning": found.learning,
        "data": found.data,
        "factors": found.factors,
        "costs": found.costs,
        "robustness": found.robustness,
        "figures": figure_table(summary),
        "figures_note": figures_note(summary),
        "differing": differing if len(configured) > 1 else [],
        "shared": shared,
        "definitions": provenance.definitions(has_intervals=has_intervals(summary)),
        "unreadable": study.unreadable,
        "missing": study.missing,
        "run_columns": provenance.RUN_COLUMNS,
        "runs": [{"cells": provenance.run_cells(run), "is_done": run.is_done} for run in study.runs],
        "set_aside": [provenance.run_cells(run) for run in study.set_aside],
        "failures": [
            {"name": f"{shortened(run.row)}, seed {run.seed}", "problem": run.problem, "error": run.text("error")}
            for run in study.runs
            if not run.is_done
        ],
    }


def _legend(summary: StudySummary, found: Contents) -> list[VariantSummary]:
    """The variants that occur in a plot without their names."""
    panels = (found.robustness.mean_curve, *found.robustness.panels) if found.robustness is not None else ()
    curves = [chart for chart in (found.learning, found.data, *found.costs, *panels) if chart is not None]
    shown = {series.color for chart in curves for series in chart.series}
    return [variant for variant in summary.variants if variant.index in shown]


def _facts(summary: StudySummary) -> list[tuple[str, str]]:
    study = summary.study
    total = len(study.runs) + len(study.missing)
    sizes = sorted({size for run in study.done if (size := run.number("num_train")) is not None})
    steps = sorted({step for run in study.done if (step := run.number("config", "train", "steps")) is not None})
    started = sorted(text for run in study.runs if (text := run.text("started")))
    facts = [
        ("Metric, lower is better", metric_with_unit(summary)),
        ("Finished runs", f"{len(study.done)} of {total}"),
        ("Seeds", ", ".join(map(str, summary.seeds)) or "none"),
        ("Setting", str(study.design.get("setting") or "not stated")),
        ("Training samples", ", ".join(map(fmt.count, sizes))),
        ("Optimizer steps", ", ".join(map(fmt.count, steps))),
        ("Equal between variants", equality_text(summary)),
        ("Device", " / ".join(sorted({text for run in study.done if (text := run.text("device"))}))),
        ("Started", started[0][:16].replace("T", " ") if started else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _table_note(summary: StudySummary) -> str:
    over = "mean over seeds with its 95 % interval; a dot is a seed" if has_intervals(summary) else "of one seed"
    note = f"{metric_with_unit(summary)}: {over}. "
    note += f"{text} " if (text := fraction_note(summary)) else ""
    if any(variant.neighbor for variant in summary.variants):
        note += "The neighbor of a variant is the one from which it differs in a single knob. "
    note += "".join(f"{text} " for text in (views_note(summary), p_note(summary)) if text)
    note += (
        "The dots of a column share one axis. Symmetry is that of the whole model with its inputs, and below it what "
    )
    return note + "its layers alone keep; open one for its reason."


class _TableScales(NamedTuple):
    """The common axes of the small plots in the table."""

    test: Scale | None
    equivariance: Scale | None

    @classmethod
    def of(cls, found: Contents) -> "_TableScales":
        equivariance = next((chart.scale for chart in found.by_row if chart.slug == "equivariance"), None)
        return cls(found.error.scale if found.error else None, equivariance)


def _table_row(
    summary: StudySummary, variant: VariantSummary, scales: _TableScales, configured: bool
) -> dict[str, Any]:
    test_lines = []
    to_best = summary.to_best.get(variant.name)
    if variant.test is not None and variant.test.low is not None:
        test_lines.append(fmt.interval(variant.test.low, variant.test.high))
    if to_best is not None and to_best.ratio is not None:
        test_lines.append(f"{fmt.ratio(to_best.ratio)} the best {fmt.interval(to_best.ratio_low, to_best.ratio_high)}")
        test_lines += [p_text(to_best)] if p_text(to_best) else []
    return {
        "color": variant.index,
        "letter": variant.letter,
        "name": variant.name,
        "configured": configured,
        "tags": _tags(summary, variant),
        "knob": f"{variant.knob} (neighbor: {variant.neighbor})" if variant.neighbor else variant.knob,
        "view": variant.view if variant.views else "",
        "views": [_view_row(view) for view in variant.views],
        "layers": variant.layers,
        "exactness": _exactness(variant),
        "effective": variant.symmetry_text,
        "reasons": variant.reasons,
        "test": charts.small_row(variant, scales.test, variant.test),
        "test_text": test_text(summary, variant),
        "test_lines": test_lines,
        "test_sort": _sort(variant.test),
        "rotated": fmt.number(variant.rotated.mean) if variant.rotated is not None else fmt.NOTHING,
        "rotated_ratio": fmt.ratio(variant.rotated_ratio) if variant.rotated_ratio is not None else "",
        "rotated_sort": _sort(variant.rotated),
        **_neighbor_cells(summary, variant.to_neighbor),
        "equivariance": charts.small_equivariance_rows(variant, scales.equivariance),
        "equivariance_sort": _sort(variant.after),
        "parameters": fmt.count(variant.parameters),
        "parameters_sort": _blank(variant.parameters),
        "seconds": fmt.seconds(variant.seconds_per_step),
        "seconds_sort": _blank(variant.seconds_per_step),
        "memory": fmt.memory(variant.peak_memory),
        "memory_sort": _blank(variant.peak_memory),
    }


def _view_row(view: ViewSummary) -> dict[str, str]:
    """The row of another view of the model, below that of its variant."""
    return {
        "name": view.name,
        "effective": view.effective or fmt.NOTHING,
        "test": estimate_text(view.test) if view.test is not None else fmt.NOTHING,
        "rotated": fmt.number(view.rotated.mean) if view.rotated is not None else fmt.NOTHING,
        "equivariance": equivariance_text(view.equivariance) or fmt.NOTHING,
    }


def _neighbor_cells(summary: StudySummary, comparison: Comparison | None) -> dict[str, Any]:
    if comparison is None:
        return {"neighbor": "", "neighbor_clear": False, "neighbor_lines": [], "neighbor_sort": ""}
    bounds = fmt.interval(comparison.low, comparison.high)
    lines = [bounds, p_text(comparison), size_text(comparison) if comparison.ratio is not None else ""]
    return {
        "neighbor": f"{fmt.signed(comparison.difference)} vs {summary[comparison.other].letter}",
        "neighbor_clear": comparison.is_clear,
        "neighbor_lines": [line.strip() for line in lines if line.strip()],
        "neighbor_sort": comparison.difference,
    }


def _tags(summary: StudySummary, variant: VariantSummary) -> list[dict[str, str]]:
    best = summary.best
    tags = []
    if best is not None and variant is best and len(summary.at_best_level) > 1:
        where = f" at {best.level_text}" if len(summary.judgments) > 1 else ""
        tags.append({"kind": "good", "text": f"lowest mean{where}"})
    comparison = summary.to_best.get(variant.name)
    if comparison is not None and comparison.p_adjusted is not None and variant in summary.undecided:
        tags.append({"kind": "mute", "text": "not distinguishable"})
    if variant.refuted_claim:
        tags.append({"kind": "bad", "text": "symmetry not kept"})
    if variant.oracle:
        tags.append({"kind": "mute", "text": "oracle"})
    failed = sum(not run.is_done for run in variant.runs)
    if failed:
        tags.append({"kind": "bad", "text": f"{failed} failed"})
    if variant.test is not None and len(variant.test.by_seed) < len(summary.seeds):
        tags.append({"kind": "mute", "text": fmt.plural(len(variant.test.by_seed), "seed")})
    return tags


def _exactness(variant: VariantSummary) -> str:
    """Whether the symmetry was claimed to rounding, or how else, and what was measured of the claim."""
    worst = max((error for moments in variant.claim_errors.values() for error in moments.values()), default=None)
    if variant.refuted_claim:
        return f"claimed, measured otherwise: {fmt.relative_error(worst)}"
    if not variant.exact:
        measured = f"; exact for its {variant.claimed}: {fmt.power_of_ten(worst)}" if worst is not None else ""
        return f"{variant.approximation}{measured}"
    if not variant.effective or variant.is_trivial:
        return ""
    return "exactness not measured" if worst is None else f"exact: {fmt.power_of_ten(worst)}"


def _sort(estimate: Estimate | None) -> str:
    return "" if estimate is None else repr(estimate.mean)


def _blank(value: float | None) -> str:
    return "" if value is None else repr(value)
