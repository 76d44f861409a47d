"""Comparisons and figures in words, the same wherever they stand."""

from collections.abc import Mapping, Sequence

from rapidash.generate import CONTROL
from rapidash.report import _format as fmt
from rapidash.study import Comparison, Estimate, FigureSummary, StudySummary, VariantSummary
from rapidash.study.measures.split_distance import FIGURES

_TESTS = {
    "t-test": "a paired t-test by seed, which rests on differences that are normal over seeds",
    "sign-flip test": "an exact sign-flip test by seed, which needs no normality",
}


_EQUAL = {"time": "time of training", "flops": "floating point operations of training"}


def estimate_text(estimate: Estimate) -> str:
    """Mean and interval of an estimate."""
    return f"{fmt.number(estimate.mean)} {fmt.interval(estimate.low, estimate.high)}".strip()


def size_text(comparison: Comparison) -> str:
    """A factor with its interval; a difference where a factor makes no sense."""
    if comparison.ratio is None:
        return difference_text(comparison)
    return f"{fmt.ratio(comparison.ratio)} {fmt.interval(comparison.ratio_low, comparison.ratio_high)}".strip()


def difference_text(comparison: Comparison) -> str:
    """A difference with its interval."""
    return f"{fmt.signed(comparison.difference)} {fmt.interval(comparison.low, comparison.high)}".strip()


def p_text(comparison: Comparison | None) -> str:
    """The adjusted p-value; empty without one."""
    return "" if comparison is None else fmt.p_value(comparison.p_adjusted)


def test_text(summary: StudySummary, variant: VariantSummary) -> str:
    """The test error of a variant, or that it has none at the data fraction of the summary."""
    if variant.test is not None:
        return estimate_text(variant.test)
    elsewhere = any(run.is_done and run.fraction != summary.fraction for run in variant.runs)
    return f"no finished run{f' at {fraction_text(summary)}' if elsewhere else ''}"


def fraction_text(summary: StudySummary) -> str:
    """The share of the training set that the runs of the summary had."""
    return f"{100 * summary.fraction:g} % of the training data"


def fraction_note(summary: StudySummary) -> str:
    """A note on the data of the numbers of a table; empty where all runs had the same share."""
    return f"All numbers are at {fraction_text(summary)}." if len(summary.study.fractions) > 1 else ""


def p_note(summary: StudySummary) -> str:
    """A note that names the test behind every p of a study; empty where no comparison has one."""
    by_level = tests_by_level(summary)
    if not by_level:
        return ""
    if len(by_level) == 1:
        tests = f"of {_TESTS[next(iter(by_level))]}"
    else:
        tests = "; ".join(f"at {levels}, of {_TESTS[test]}" for test, levels in by_level.items())
    best = "the best" if len(summary.judgments) == 1 else "the best of its level"
    return (
        f"p is {tests}, adjusted for {family_text(summary)} (false-discovery rate): of each variant with its neighbor, "
        f"and with {best}. A difference is clear if p is at most 0.05."
    )


def tests_by_level(summary: StudySummary) -> dict[str, str]:
    """Every test that gave a p-value, and the levels at which it did, in words; empty where no comparison has one."""
    found: dict[str, list[str]] = {}
    for judgment in summary.judgments:
        names = [pair[0] for pair, c in judgment.comparisons.items() if c.p_adjusted is not None]
        if names:
            found.setdefault(judgment.test, []).append(summary[names[0]].level_text)
    return {test: fmt.listed(levels) for test, levels in found.items()}


def family_text(summary: StudySummary) -> str:
    """The comparisons whose p-values are adjusted together."""
    if len(summary.judgments) > 1:
        return "all comparisons at one level of the factors"
    compared = summary.judgment.comparisons.items()
    pairs = {frozenset(pair) for pair, found in compared if found.p_adjusted is not None}
    return f"all {len(pairs)} comparisons of the study" if len(pairs) > 1 else "the one comparison of the study"


def equality_text(summary: StudySummary) -> str:
    """The quantity that is equal between the variants, and by how much the rest differs; empty where no record says."""
    found = summary.equality
    if found is None:
        return ""
    low, high = map(fmt.count, found.steps)
    steps = low if low == high else f"{low} to {high}"
    if found.what != "steps":
        equal = _EQUAL.get(found.what, found.what)
        text, spread, what = f"{equal} ({steps} optimizer steps)", found.time_spread, "measured, the time"
    elif found.steps_spread == 1:
        text, spread, what = f"optimizer steps ({steps})", found.step_time_spread, "time per step"
    else:
        text, spread, what = f"nothing ({steps} optimizer steps)", found.step_time_spread, "time per step"
    return text if spread is None else f"{text}; {what} differs by up to {spread:.2g} x"


def equality_note(summary: StudySummary) -> str:
    """The same as a sentence."""
    text = equality_text(summary)
    return f"Equal between variants: {text}." if text else ""


def metric_with_unit(summary: StudySummary) -> str:
    """Name of the metric with its unit in brackets."""
    return f"{summary.metric} ({fmt.unit(summary.unit)})" if summary.unit not in ("", "1") else summary.metric


def figure_lines(summary: StudySummary) -> list[tuple[str, Mapping[str, FigureSummary]]]:
    """The figures that no column shows: title, and by name of the variant what was measured of it.

    Those of data with known errors, and of the split, are left to their own tables.
    """
    lines: dict[str, dict[str, FigureSummary]] = {}
    for variant in summary.variants:
        for figure in (one for one in variant.figures if not one.name.startswith(CONTROL) and one.name not in FIGURES):
            lines.setdefault(figure.title, {})[variant.name] = figure
    return list(lines.items())


def moments_text(moments: Mapping[str, Estimate]) -> str:
    """Means before and after training."""
    return f" {fmt.ARROW} ".join(fmt.number(found.mean) for found in moments.values())


def equivariance_text(equivariance: Mapping[str, Mapping[str, Estimate]]) -> str:
    """The relative error under the first group before and after training."""
    moments = next(iter(equivariance.values()), {})
    return f" {fmt.ARROW} ".join(fmt.relative_error(moments[key].mean) for key in ("before", "after") if key in moments)


def view_title(name: str) -> str:
    """The title of the row of another view, in place of the variant's name."""
    return f"\N{RIGHTWARDS ARROW WITH HOOK} {name}"


def views_note(summary: StudySummary) -> str:
    """A note that explains the rows of views; empty where there are none."""
    if not any(variant.views for variant in summary.variants):
        return ""
    sign = view_title("").strip()
    return f"{sign} is another view of the same trained model, tested by itself; the variant is judged by its own row."


def variant_title(variant: VariantSummary) -> str:
    """Letter and name, the view that counts, and whether it is an oracle."""
    view = f" [{variant.view}]" if variant.view and variant.views else ""
    return f"{variant.letter} {variant.name}{view}{' (oracle)' if variant.oracle else ''}"


def has_intervals(summary: StudySummary) -> bool:
    """Whether there are seeds to have an interval over."""
    return len(summary.seeds) != 1


def means(summary: StudySummary) -> str:
    """The beginning of a sentence on the numbers of a table."""
    return "Means over seeds with 95 % intervals" if has_intervals(summary) else "Of one seed"


def figures_note(summary: StudySummary) -> str:
    """A note on the table of figures."""
    start = "Means over seeds" if has_intervals(summary) else "Of one seed"
    return f"{start}, before {fmt.ARROW} after training where there are two."


def figure_table(summary: StudySummary) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Head and rows of the table of figures, a column per variant that has one."""
    lines = figure_lines(summary)
    shown = [variant for variant in summary.variants if any(variant.name in found for _, found in lines)]
    rows: list[Sequence[str]] = [
        (title, *(moments_text(found[v.name].moments) if v.name in found else fmt.NOTHING for v in shown))
        for title, found in lines
    ]
    return ("figure", *(f"{variant.letter} {variant.name}" for variant in shown)), rows
