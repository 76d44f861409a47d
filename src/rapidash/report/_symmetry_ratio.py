"""The ratio of symmetry error to model error: does broken symmetry limit a model, in one number?"""

import math
from collections.abc import Mapping
from typing import Final, Literal

from rapidash.measure import SymmetryCost
from rapidash.report import _format as fmt
from rapidash.study import Estimate, Run, StudySummary, VariantSummary, error_estimate

WELL_BELOW: Final = 0.3  # of a squared error, in random poses: averaging would take less than 0.3^2 / 2 = 5 % off it
_ROUNDING: Final = 1e-6
_MANY: Final = 5  # models that are named one by one

RatioJudgment = Literal["exact", "below", "between", "above", "untold"]
_IS: Final[Mapping[RatioJudgment, str]] = {
    "exact": "0 (to rounding, or no label changes)",
    "below": "well below 1",
    "between": "neither well below nor above 1",
    "above": "above 1",
    "untold": "not judged, from one seed,",
}


def judge_ratio(mean: float, low: float | None, high: float | None) -> RatioJudgment:
    """A ratio and its 95 % interval in words.

    It is exact below 1e-6; well below 1 where the interval ends below 0.3; above 1 where it begins there; else between,
    and untold without an interval.
    """
    if mean < _ROUNDING:
        return "exact"
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "untold"
    return "below" if high < WELL_BELOW else "above" if low > 1 else "between"


def variant_ratio(variant: VariantSummary) -> Estimate | None:
    """The ratio of a variant over seeds; None where no record has it."""
    return error_estimate({run.seed: ratio for run in variant.finished if (ratio := run_ratio(run)) is not None})


def run_ratio(run: Run) -> float | None:
    """Symmetry error over test error, both roots where the error is squared; None where a record does not have both."""
    moved, error = run.number("symmetry_cost", "symmetry_error"), run.number("test_error")
    if moved is None or error is None or not error > 0:
        return None
    return moved / (math.sqrt(error) if run.get("symmetry_cost", "squared") is True else error)


def ratio_lead(summary: StudySummary) -> str:
    """The ratios of all variants in a sentence; empty where none was measured."""
    sorted_: dict[RatioJudgment, dict[str, Estimate]] = {name: {} for name in _IS}
    for variant in summary.variants:
        if (found := variant_ratio(variant)) is not None:
            sorted_[judge_ratio(found.mean, found.low, found.high)][variant.name] = found
    said = [
        f"{_IS[judgment]} for {_named(models, with_values=judgment != 'exact')}{_meaning(judgment, len(models))}"
        for judgment, models in sorted_.items()
        if models
    ]
    return f"{_what(_groups(summary))} is {'; '.join(said)}." if said else ""


def ratio_sentence(cost: SymmetryCost) -> str:
    """The ratio of one model on the samples that were measured, with its interval; empty where there is none."""
    if not math.isfinite(cost.ratio):
        return ""
    low, high = cost.ratio_interval
    judgment = judge_ratio(cost.ratio, low, high)
    if judgment == "exact":
        return f"{_what(cost.group)} is {_IS[judgment]}{_meaning(judgment, 1)}."
    bounds = f" [{fmt.number(low)}, {fmt.number(high)}], 95 % over clouds" if math.isfinite(low) else ""
    return f"{_what(cost.group)} is {fmt.number(cost.ratio)}{bounds}, {_IS[judgment]}{_meaning(judgment, 1)}."


def _what(group: str) -> str:
    moved = f"how far predictions move under {group}, over how far they are from the truth"
    return f"Symmetry error over model error ({moved})"


def _meaning(judgment: RatioJudgment, number: int) -> str:
    """Why the number matters."""
    model = "this model" if number == 1 else "these models"
    match judgment:
        case "below":
            return f": symmetry error is not what limits {model}"
        case "between":
            return f": symmetry error may be a part of what limits {model}"
        case "above":
            return ": predictions move by more than they are wrong"
        case "exact" | "untold":
            return ""


def _named(models: Mapping[str, Estimate], *, with_values: bool) -> str:
    if len(models) > _MANY:
        means = sorted(found.mean for found in models.values())
        return f"{len(models)} variants" + (
            f" ({fmt.number(means[0])} to {fmt.number(means[-1])})" if with_values else ""
        )
    return fmt.listed([f"{name} ({_value(found)})" if with_values else name for name, found in models.items()])


def _value(found: Estimate) -> str:
    return f"{fmt.number(found.mean)} {fmt.interval(found.low, found.high)}".strip()


def _groups(summary: StudySummary) -> str:
    names = [run.text("symmetry_cost", "group") for variant in summary.variants for run in variant.finished]
    return fmt.listed(list(dict.fromkeys(filter(None, names))))
