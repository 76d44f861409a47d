"""The section of a study of pooled sites: errors at the sites of the test, and what representations tell of a site."""

from collections.abc import Mapping, Sequence

from rapidash.report import _format as fmt
from rapidash.report._phrases import estimate_text
from rapidash.report._sections import Section
from rapidash.represent.pooling import (
    ADVERSARY_C_ONLY,
    ANSWERERS,
    CONDITIONAL,
    COVARIATE,
    COVARIATE_ANYHOW,
    DISCREPANCY,
    LEAK,
    error_name,
)
from rapidash.study import Estimate, StudySummary, VariantSummary, error_estimate, estimate

_FIGURES = (LEAK, COVARIATE, COVARIATE_ANYHOW, DISCREPANCY, CONDITIONAL)
_LARGEST = {COVARIATE: 1.0, COVARIATE_ANYHOW: 1.0}  # shares of the variance
_NON_COMMERCIAL = "ABIDE I is licensed CC BY-NC-SA: no commercial use, and these figures are under the same terms."
ByUnit = Mapping[str, float]  # seed, or site, or group of sites, and the value


def pooling_section(summary: StudySummary) -> Section | None:
    """A row for each variant, over all groups of sites that were held out; None for a study that did not measure it."""
    levels: dict[str, list[VariantSummary]] = {}
    for variant in summary.variants:
        if any(figure.name == LEAK for figure in variant.figures):
            levels.setdefault(variant.variant, []).append(variant)
    if not levels:
        return None
    is_held_out = any("task.held_out" in variant.level for rows in levels.values() for variant in rows)
    errors = {name: {who: _errors(rows, who, is_held_out) for who in ANSWERERS} for name, rows in levels.items()}
    figures = {name: {figure: _figure(rows, figure) for figure in _FIGURES} for name, rows in levels.items()}
    table = [
        (
            name,
            *(_cell(errors[name][who], 100.0) for who in ANSWERERS),
            *(_cell(figures[name][one], _LARGEST.get(one)) for one in _FIGURES),
        )
        for name in levels
    ]
    units = "sites, each its mean over seeds" if is_held_out else "seeds"
    return Section(
        "Sites and covariate",
        f"Errors on test rows, per cent, mean and 95 % interval over {units}: of the model's own classifier, and of "
        "heads of scikit-learn on its representation, whose penalty is chosen by an inner cross-validation. Then, on "
        "validation rows of the sites that were pooled, over "
        f"{'groups of sites held out' if is_held_out else 'seeds'}: how much better a network guesses the site from "
        "representation and covariate than from the covariate alone (the leak; 0 is best), the share of the "
        "covariate's variance that a linear map and a perceptron read off the representation, and the squared "
        "discrepancy of sites, over all rows and within bins of the covariate.",
        ("variant", *(f"error of {who} (%)" for who in ANSWERERS), *_FIGURES),
        table,
        _notes(summary, levels, errors, is_held_out),
    )


def _after(variant: VariantSummary) -> dict[str, Estimate]:
    return {f.name: f.moments["after"] for f in variant.figures if not f.view and "after" in f.moments}


def _errors(rows: Sequence[VariantSummary], who: str, is_held_out: bool) -> ByUnit:
    """The error at each site that was held out, else of each seed."""
    if not is_held_out:
        return _by_seed(rows[0], error_name(who))
    start = error_name(who, " ").rstrip() + " "
    return {
        name.removeprefix(start): found.mean
        for variant in rows
        for name, found in _after(variant).items()
        if name.startswith(start)
    }


def _figure(rows: Sequence[VariantSummary], name: str) -> ByUnit:
    """A figure of each group of sites that was held out, or of each seed where there is one."""
    if len(rows) == 1:
        return _by_seed(rows[0], name)
    return {variant.level_text: found.mean for variant in rows if (found := _after(variant).get(name)) is not None}


def _by_seed(variant: VariantSummary, name: str) -> ByUnit:
    found = _after(variant).get(name)
    return {} if found is None else {str(seed): value for seed, value in found.by_seed.items()}


def _cell(values: ByUnit, most: float | None = None) -> str:
    """Mean and interval; ``most`` is the largest value of a share."""
    by_place = dict(enumerate(values.values()))
    found = estimate(by_place) if most is None else error_estimate(by_place, most=most)
    return fmt.NOTHING if found is None else estimate_text(found)


def _paired(mine: ByUnit, its: ByUnit) -> str:
    """The mean difference over the sites or seeds that both have, with its interval."""
    shared = sorted(mine.keys() & its.keys())
    found = estimate({place: mine[key] - its[key] for place, key in enumerate(shared)})
    return "" if found is None else f"{fmt.signed(found.mean)} {fmt.interval(found.low, found.high)}".strip()


def _notes(
    summary: StudySummary,
    levels: Mapping[str, Sequence[VariantSummary]],
    errors: Mapping[str, Mapping[str, ByUnit]],
    is_held_out: bool,
) -> list[str]:
    notes = []
    alone = [value for rows in levels.values() for v in rows for value in _by_seed(v, ADVERSARY_C_ONLY).values()]
    if alone:
        notes.append(
            f"The covariate alone gives away the site of {fmt.number(min(alone))} to {fmt.number(max(alone))} of rows."
        )
    unit = "site" if is_held_out else "seed"
    for name, rows in levels.items():
        other = next((v.variant for v in summary.variants if v.name == rows[0].neighbor), "")
        if other not in errors:
            continue
        found = {who: _paired(errors[name][who], errors[other][who]) for who in ANSWERERS}
        differences = "; ".join(f"{who} {text}" for who, text in found.items() if text)
        if differences:
            notes.append(f"Error of {name} less that of {other}, points, paired by {unit}: {differences}.")
    if summary.study.first_text("config", "task_options", "table") == "abide":
        notes.append(_NON_COMMERCIAL)
    return notes
