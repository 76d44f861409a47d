"""The section on what broken symmetry costs each model of a study: three sentences on the best, and a row for each."""

from rapidash.report import _format as fmt
from rapidash.report._cost_sentences import CostFigures, cost_sentences
from rapidash.report._phrases import metric_with_unit
from rapidash.report._sections import Section
from rapidash.study import Estimate, Run, StudySummary, VariantSummary, error_estimate

_HEAD = (
    "variant",
    "over",
    "predictions move by",
    "error",
    "averaging removes",
    "share",
    "in their pose",
    "broken symmetry",
)
_NEEDED = ("moved", "error", "cost", "share", "own_pose")


def cost_section(summary: StudySummary) -> Section | None:
    """The section on every variant whose records say what its broken symmetry costs; None where none does."""
    found = {variant.name: figures for variant in summary.variants if (figures := _figures(summary, variant))}
    if not found:
        return None
    best = summary.best if summary.best is not None and summary.best.name in found else None
    name = best.name if best is not None else next(iter(found))
    sentences = " ".join(cost_sentences(found[name], _remedy(summary, found, name)))
    rows = [
        (
            f"{summary[variant].letter} {variant}",
            one.group,
            f"{fmt.number(one.moved)} {fmt.unit(one.moved_unit) if one.moved_unit != '1' else ''}".strip(),
            fmt.number(one.error),
            fmt.number(one.cost),
            f"{fmt.percent(one.share)}{_bounds(one)}",
            fmt.number(one.own),
            one.judgment,
        )
        for variant, one in found.items()
    ]
    over = "seeds" if any(one.over == "seeds" for one in found.values()) else "clouds"
    note = (
        f"Error: {metric_with_unit(summary)} on 64 validation samples, the mean over 16 elements of the group (all, if "
        "it has no more); in their pose: as the data are. The share is that of this error which averaging the "
        f"predictions over the group would remove, with its 95 % interval over {over}. It is negligible where the "
        "interval ends below 5 %, matters where it begins above 5 %, and dominates above 50 %."
    )
    title = "Does the broken symmetry matter?"
    return Section(title, f"{summary[name].letter} {name}: {sentences}", _HEAD, rows, (note,))


def _figures(summary: StudySummary, variant: VariantSummary) -> CostFigures | None:
    """Means over the seeds that measured the same group, the interval over seeds, or over clouds where it is one."""
    runs = [run for run in variant.finished if _is_whole(run)]
    runs = [run for run in runs if run.text("symmetry_cost", "group") == runs[0].text("symmetry_cost", "group")]
    if not runs:
        return None
    means = {name: found for name in (*_NEEDED, "relative") if (found := _over_seeds(runs, name)) is not None}
    plain = {
        "relative": None,
        **{name: found.mean for name, found in means.items()},
        "group": runs[0].text("symmetry_cost", "group"),
        "low": runs[0].number("symmetry_cost", "low") if len(runs) == 1 else means["share"].low,
        "high": runs[0].number("symmetry_cost", "high") if len(runs) == 1 else means["share"].high,
        "pose_helps": all(run.get("symmetry_cost", "pose_helps") is True for run in runs),
        "complete": runs[0].get("symmetry_cost", "complete") is True,
        "squared": runs[0].get("symmetry_cost", "squared") is True,
        "elements": round(runs[0].number("symmetry_cost", "elements") or 0),
    }
    return CostFigures.of(
        plain,
        moved_unit=runs[0].text("symmetry_cost", "moved_unit"),
        metric=summary.metric,
        unit=summary.unit,
        over="clouds" if len(runs) == 1 else "seeds",
    )


def _is_whole(run: Run) -> bool:
    numbers = all(run.number("symmetry_cost", name) is not None for name in (*_NEEDED, "elements"))
    return numbers and bool(run.text("symmetry_cost", "group"))


def _over_seeds(runs: list[Run], name: str) -> Estimate | None:
    return error_estimate({run.seed: value for run in runs if (value := run.number("symmetry_cost", name)) is not None})


def _remedy(summary: StudySummary, found: dict[str, CostFigures], name: str) -> str:
    """The best variant whose predictions do not move, with both test errors; empty where all such are clearly worse."""
    test = summary[name].test
    exact = [
        variant
        for variant in summary.ranked
        if variant.name in found and found[variant.name].judgment == "exact" and not variant.oracle
    ]
    best = min(exact, key=lambda variant: variant.test.mean if variant.test else float("inf"), default=None)
    if best is None or best.test is None or test is None:
        return ""
    to_best = summary.to_best.get(best.name)
    if to_best is not None and to_best.is_clear:
        return ""
    errors = f"test error {fmt.number(best.test.mean)} against {fmt.number(test.mean)}"
    return f"{best.name}, which is exactly symmetric ({errors})"


def _bounds(one: CostFigures) -> str:
    return "" if one.low is None or one.high is None else f" [{fmt.percent(one.low)}, {fmt.percent(one.high)}]"
