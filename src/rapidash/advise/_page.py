"""The page of an advice: one file that opens without a network, drawn with the parts of the report."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rapidash._files import atomic_write
from rapidash._version import __version__
from rapidash.advise._advice import Advice, Row
from rapidash.advise._finding import CLEAR, Finding
from rapidash.advise._gain import Estimate
from rapidash.advise._numbers import duration, unit_words
from rapidash.advise._outlook import Curve, Range
from rapidash.advise._recommend import LONGER
from rapidash.advise._settings import as_yaml
from rapidash.advise._words import in_words
from rapidash.groups import parse_group
from rapidash.report import parts

PAGE: Final = "advice.html"
_Z: Final = parts.Scale(-4.0, 16.0, False)  # standard errors above the value without the property
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ANSWERS: Final = {"yes": 0, "no": 7, "cannot tell": 5, "not asked": 7}  # colors
_DEFINITIONS: Final = (
    (
        "Expected error",
        "Of the validation clouds, after a training as long as the last ones of the race and on all training clouds. "
        "A variant that left earlier keeps its ratio to those of the last round, with more uncertainty for every round "
        "that it missed.",
    ),
    (
        "Interval",
        "95 % of 2,000 draws, in which validation clouds are drawn anew, the same for all variants, and every training "
        "varies as much as trainings with other seeds did. No error at all counts as half of the least that a single "
        "cloud had, and the upper end of such a rate is one that these clouds do not exclude.",
    ),
    ("Probability of being best", "The share of these draws in which the variant has the least error."),
    (
        "Error against data or time",
        "A power law through three sizes (at half the length of the last trainings) or three lengths (with all data). "
        "The interval of what lies ahead has the draws above and the deviation of the points from the law.",
    ),
    (
        "Answers about the data",
        "A figure three standard errors above its value for data without the property, and above 1 % of the variance "
        "where it is a share of it, is a yes. It stands beside two controls: the same figure of the same data with the "
        "property taken away (turned or mirrored at random, or shuffled), and with it planted at half the variance of "
        "the target. A no needs the planted one to be a yes. Shares of variance are of held-out clouds, by kernel "
        "ridge regression.",
    ),
    (
        "Equal time",
        "Costs of a step, of a look at the validation clouds and of the beginning are measured first; every training "
        "of a round then takes as many steps as fit into the same time.",
    ),
)


def write_page(advice: Advice, folder: Path | str) -> Path:
    """Write ``advice.html`` into a folder.

    Raises: ImportError naming the extra to install; OSError if the file cannot be written.
    """
    path = Path(folder) / PAGE
    atomic_write(path, page(advice))
    return path


def page(advice: Advice) -> str:
    """The page as one string.

    Raises: ImportError naming the extra to install.
    """
    environment = parts.page_environment("rapidash.advise")
    from markupsafe import Markup

    charts = [error_chart(advice), question_chart(advice.findings)]
    curves = [chart for chart in (data_chart(advice), time_chart(advice)) if chart is not None]
    settings = as_yaml(advice.settings, "rapidash train --config train.yaml")
    advice_json = json.dumps(advice.to_dict(), indent=1)
    files = {"train.yaml": settings, "advice.json": advice_json}
    files |= {f"{chart.slug}.svg": parts.row_svg(chart) for chart in charts}
    files |= {f"{chart.slug}.svg": parts.xy_svg(chart) for chart in curves}
    text: str = environment.get_template("advice.html.j2").render(
        version=__version__,
        advice=advice,
        about=about(advice),
        title=f"{about(advice)}: how much symmetry? Advice",
        meaning=meaning(advice[advice.variant]),
        facts=_facts(advice),
        errors=charts[0],
        questions=charts[1],
        curves=curves,
        legend=[_item(index, row) for index, row in enumerate(advice.rows) if row.expected is not None],
        rows=[_table_row(advice, index, row) for index, row in enumerate(advice.rows)],
        rounds=[f"{100 * share:.0f} % of the data" for share in advice.rounds],
        settings=settings,
        files=files,
        definitions=(
            *_DEFINITIONS,
            ("Figures about the data", figures(advice.findings)),
            ("The rule", _rule_words(advice)),
        ),
        style=Markup(parts.template_text("style.css")),
        script=Markup(parts.template_text("script.js")),
        embedded=Markup(parts.json_in_page(files)),
        records=Markup(parts.json_in_page(advice.to_dict())),
    )
    return text


def meaning(row: Row) -> str:
    """The motions that a variant keeps, in words; empty where its group has no name."""
    try:
        found = parts.group_meaning(parse_group(row.group))
    except ValueError:
        return ""
    return f"It keeps {row.group}: {found}." if found else ""


def about(advice: Advice) -> str:
    """The task, or of a user's files their names."""
    files = [Path(file).name for file in dict(advice.settings.get("task_options", {})).get("files", ())]
    return f"{advice.target} of {parts.listed(files)}" if files else advice.task


def figures(findings: Sequence[Finding]) -> str:
    """The name of every figure, its value without the property, and the numbers of the questions that have it."""
    numbers: dict[str, list[str]] = {}
    for place, found in enumerate(findings, start=1):
        if found.value is not None:
            numbers.setdefault(f"{found.figure} ({found.null:g} without the property)", []).append(str(place))
    if not numbers:
        return "No question was asked."
    return "O" + "; ".join(f"of {parts.listed(places)}: {name}" for name, places in numbers.items())[1:] + "."


def _unit(advice: Advice) -> str:
    unit = unit_words(advice.unit)
    return f" ({unit})" if unit else ""


def _facts(advice: Advice) -> list[tuple[str, str]]:
    raced = sum(row.expected is not None for row in advice.rows)
    return [
        ("Asked", advice.target),
        ("Metric, lower is better", advice.metric + _unit(advice)),
        ("Training clouds", f"{parts.count(advice.num_train)}, of {advice.num_points} points"),
        ("Validation clouds", parts.count(advice.num_val)),
        ("Variants raced", f"{raced} of {len(advice.rows)}"),
        ("Time", f"{duration(advice.seconds)} of {advice.minutes:g} min"),
        ("Test clouds read", "none"),
    ]


def _item(index: int, row: Row) -> dict[str, Any]:
    return {"index": index, "letter": _LETTERS[index % 26], "name": row.name}


def error_chart(advice: Advice) -> parts.RowChart:
    """The expected error of every variant that was raced, and on turned clouds."""
    known = [(index, row, row.expected) for index, row in enumerate(advice.rows) if row.expected is not None]
    ends = [end for _, _, found in known for end in (found.value, found.low, found.high) if end > 0]
    ends += [row.turned.value for _, row, _ in known if row.turned is not None and row.turned.value > 0]
    ends += [advice.constant] if advice.constant else []
    scale = parts.scale_for(ends)
    rows = []
    for index, row, found in known:
        marks = [parts.Mark(scale(found.value), "mean", f"expected {in_words(found)}")]
        if row.turned is not None:
            marks.append(parts.Mark(scale(row.turned.value), "hollow", f"on turned clouds {in_words(row.turned)}"))
        value = f"{in_words(found)}, best with probability {row.probability:.2f}"
        note = "advised" if row.name == advice.variant else row.note or "raced to the end"
        span = parts.Span(
            scale(found.low), scale(found.high), "interval", found.low < scale.low, found.high > scale.high
        )
        rows.append(parts.Row(index, _LETTERS[index % 26], row.name, value, tuple(marks), (span,), note))
    lead = (
        "On new clouds, after a training as long as the last ones of the race on all training clouds; the training "
        f"that is advised is {LONGER} times as long. Lower is better."
    )
    if advice.constant:
        lead += f" The line is a prediction that sees no cloud, with {parts.number(advice.constant)}."
    return parts.RowChart(
        "errors",
        "Expected errors",
        lead,
        tuple(rows),
        scale,
        f"{advice.metric}{_unit(advice)}" + (", logarithmic" if scale.is_log else ""),
        (("mean", "expected error"), ("interval", "95 % interval"), ("hollow", "the same clouds, turned")),
        zero=scale(advice.constant) if advice.constant else None,
    )


def question_chart(findings: Sequence[Finding]) -> parts.RowChart:
    """Every question: the figure and its controls, in standard errors above the value without the property."""
    rows = []
    for number, found in enumerate(findings, start=1):
        marks = []
        for kind, name, estimate in (
            ("seed", "with the property taken away", found.without),
            ("hollow", "with the property planted", found.planted),
            ("mean", "these data", found.value),
        ):
            if estimate is not None:
                marks.append(parts.Mark(_Z(_above(estimate, found.null)), kind, f"{name}: {_figure(estimate)}"))
        value = "not asked"
        if found.value is not None:
            value = f"{found.says}: {_figure(found.value)}"
        rows.append(
            parts.Row(_ANSWERS[found.says], str(number), found.question, value, tuple(marks), (), f"{found.sentence}.")
        )
    return parts.RowChart(
        "questions",
        "What the training clouds say",
        "Each figure in standard errors above its value for clouds without the property; right of the line it is a "
        "yes. The dot is the same figure with the property taken away, the circle with it planted: where the circle is "
        "left of the line, these clouds are too few to tell. What lies beyond the axis is drawn at its end.",
        tuple(rows),
        _Z,
        "standard errors above the value without the property",
        (("mean", "these clouds"), ("seed", "property taken away"), ("hollow", "property planted")),
        zero=_Z(CLEAR),
    )


def _above(estimate: Estimate, null: float) -> float:
    z = Estimate(estimate.value - null, estimate.standard_error).z
    return min(max(z, _Z.low), _Z.high) if math.isfinite(z) else math.copysign(_Z.high, z)


def _figure(estimate: Estimate) -> str:
    return f"{parts.number(estimate.value)} ± {parts.number(estimate.standard_error, 2)}"


def data_chart(advice: Advice) -> parts.XYChart | None:
    """Errors of the best variants against the number of training clouds, with what lies ahead."""
    return _curve_chart(advice, advice.data_curves, "data", "Error against data", "training clouds", parts.count)


def time_chart(advice: Advice) -> parts.XYChart | None:
    """The same against the seconds of the training."""
    return _curve_chart(advice, advice.time_curves, "time", "Error against time", "seconds of training", parts.number)


def _curve_chart(
    advice: Advice, curves: Sequence[Curve], slug: str, title: str, axis: str, show: Any
) -> parts.XYChart | None:
    if not curves:
        return None
    places = {row.name: index for index, row in enumerate(advice.rows)}
    pace = {row.name: row.seconds_per_step if slug == "time" else 1.0 for row in advice.rows}
    every = [at * pace[curve.variant] for curve in curves for at in (*curve.at, *curve.ahead)]
    errors = [error for curve in curves for error in curve.errors]
    errors += [end for curve in curves for found in curve.ahead.values() for end in (found.low, found.high)]
    x, y = parts.scale_for(every, log=True), parts.scale_for([error for error in errors if error > 0], log=True)
    series = []
    for curve in curves:
        index, factor = places[curve.variant], pace[curve.variant]
        points = [
            parts.Point(
                x(at * factor),
                100 - y(error),
                100 - y(error),
                100 - y(error),
                f"{show(at * factor)}, measured {error:.3g}",
            )
            for at, error in zip(curve.at, curve.errors, strict=True)
        ]
        points += [
            parts.Point(
                x(at * factor), 100 - y(found.value), 100 - y(found.low), 100 - y(found.high),
                f"{show(at * factor)}, expected {in_words(found)}",
            )
            for at, found in curve.ahead.items()
        ]  # fmt: skip
        line = parts.path_data([(point.x, point.y) for point in points])
        ahead = [(at, found) for at, found in curve.ahead.items()]
        last = (curve.at[-1], Range(curve.errors[-1], curve.errors[-1], curve.errors[-1]))
        upper = [(x(at * factor), 100 - y(found.high)) for at, found in (last, *ahead)]
        lower = [(x(at * factor), 100 - y(found.low)) for at, found in reversed((last, *ahead))]
        falls = "falls" if curve.exponent.value > 0 else "does not fall: it goes"
        text = f"error {falls} with the power {in_words(curve.exponent)}"
        series.append(
            parts.Series(
                index,
                _LETTERS[index % 26],
                curve.variant,
                text,
                line,
                parts.path_data(upper + lower) + "Z",
                tuple(points),
            )
        )
    lead = "Measured, and by the fitted power law what lies ahead, with its 95 % interval."
    of_errors = f"{advice.metric}{_unit(advice)}, logarithmic"
    return parts.XYChart(slug, title, lead, parts.apart(series), x, y, f"{axis}, logarithmic", of_errors)


def _table_row(advice: Advice, index: int, row: Row) -> dict[str, Any]:
    return {
        "color": index,
        "letter": _LETTERS[index % 26],
        "name": row.name,
        "is_advised": row.name == advice.variant,
        "is_same": row.name in advice.same,
        "group": row.group,
        "rounds": [parts.number(value) for value in row.by_round],
        "expected": parts.number(row.expected.value) if row.expected else "–",
        "interval": parts.interval(row.expected.low, row.expected.high) if row.expected else "",
        "probability": f"{row.probability:.2f}" if row.expected else "–",
        "turned": parts.number(row.turned.value) if row.turned else "–",
        "step": parts.seconds(row.seconds_per_step) if row.seconds_per_step else "–",
        "note": row.note,
    }


def _rule_words(advice: Advice) -> str:
    rule = advice.rule
    when = {
        "never": "never",
        "uniform": "where the clouds stand in no preferred pose",
        "silent": "where neither pose nor vertical tell about the target",
        "always": "always",
    }[rule.prefers]
    return (
        "The variant with the least expected error is named. Another one of the last round that is at most "
        f"{rule.ties:g} standard errors behind, and keeps more symmetry, is named in its place {when}. Coefficients: "
        f"{rule.fitted_on}."
    )


def terminal_advice(advice: Advice) -> str:
    """The advice for a terminal: the headline, a table, what would change it, and what to read with care."""
    width = max(len(row.name) for row in advice.rows)
    lines = [advice.headline, "", f"{'variant':<{width}}  {'symmetry':<8}  {'best':>5}  expected {advice.metric}"]
    for row in advice.rows:
        told = in_words(row.expected) if row.expected is not None else row.note
        share = f"{row.probability:.2f}" if row.expected is not None else "–"
        lines.append(f"{row.name:<{width}}  {row.group:<8}  {share:>5}  {told}")
    lines += ["", *(f"{said.title}: {said.text}" for said in advice.changes)]
    found = [f"{each.question} {each.says}" for each in advice.findings if each.says in ("yes", "no")]
    lines += ["", *found, "", *(f"Read with care: {text}" for text in advice.cautions)]
    return "\n".join(lines)
