"""The section on data: how the error of every variant falls with the training set, and where its power law leads."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from rapidash.report import _format as fmt
from rapidash.report._phrases import estimate_text, metric_with_unit
from rapidash.report._sections import Section
from rapidash.scale import Interval, extrapolate, fit_power_law
from rapidash.study import Run, StudySummary, VariantSummary

BEYOND: Final = 10  # how far a law is followed, in sizes of the largest training set
LEARNING_TITLE: Final = "How errors fall with data"
_TEXT: Final = (
    "{metric}, {over}, by the number of training samples; every size trains for as many steps. The exponent is that of "
    "error ~ samples^-x, fitted to all runs of a variant, with a 95 % t-interval over runs. The last column says what "
    "that law gives at {beyond}, {times} times the largest size, if it goes on: nothing was trained there, and laws "
    "end where a network is too small or its training too short."
)


def learning_section(summary: StudySummary) -> Section | None:
    """Errors by size of the training set, and their laws; None where no variant has two sizes."""
    known = [variant for variant in summary.variants if variant.by_num_train]
    sizes = sorted({size for variant in known for size in variant.by_num_train})
    if all(len(variant.by_num_train) < 2 for variant in known):  # rows of other data may differ in size
        return None
    beyond = BEYOND * sizes[-1]
    rows = []
    said_of: dict[str, list[str]] = defaultdict(list)  # by what is to be said, the variants
    for variant in known:
        errors = [estimate_text(found) if (found := variant.by_num_train.get(size)) else fmt.NOTHING for size in sizes]
        cells, said = _law(variant, beyond)
        rows.append((f"{variant.letter} {variant.name}", *errors, *cells))
        for one in (*said, *_missing(variant, sizes)):
            said_of[one].append(f"{variant.letter} {variant.name}")
    notes = [f"{fmt.listed(names)}: {one}." for one, names in said_of.items()]
    metric = metric_with_unit(summary)
    is_over_seeds = any(len(found.by_seed) > 1 for variant in known for found in variant.by_num_train.values())
    over = "the mean over seeds with its 95 % interval" if is_over_seeds else "of one seed"
    text = _TEXT.format(metric=f"{metric[:1].upper()}{metric[1:]}", over=over, beyond=fmt.count(beyond), times=BEYOND)
    head = ("variant", *map(fmt.count, sizes), "exponent", f"law at {fmt.count(beyond)}")
    return Section(LEARNING_TITLE, text, head, rows, notes)


def _missing(variant: VariantSummary, sizes: Sequence[float]) -> list[str]:
    """The sizes without a finished run, and those without one of a seed that other sizes have."""
    missing = [fmt.count(size) for size in sizes if size not in variant.by_num_train]
    said = [f"no finished run at {fmt.listed(missing)} samples"] if missing else []
    seeds = sorted({seed for found in variant.by_num_train.values() for seed in found.by_seed})
    for size, found in variant.by_num_train.items():
        if lacking := [str(seed) for seed in seeds if seed not in found.by_seed]:
            named = f"seed{'s' if len(lacking) > 1 else ''} {fmt.listed(lacking)}"
            said.append(f"no finished run of {named} at {fmt.count(size)} samples")
    return said


def _law(variant: VariantSummary, beyond: float) -> tuple[tuple[str, str], list[str]]:
    """The cells of the law of a variant, and what is to be said of it."""
    sizes, errors, zeros = _points(variant.runs)
    said = [f"{fmt.plural(zeros, 'run')} without an error above 0 left out of the law"] if zeros else []
    try:
        law, ahead = fit_power_law(sizes, errors), extrapolate(sizes, errors, beyond)
    except ValueError as error:
        return (fmt.NOTHING, fmt.NOTHING), [*said, f"no law, {error}"]
    if law.exponent.low is None or law.exponent.low <= 0:
        said.append("the error does not clearly fall with data, so the law says nothing of more")
        return (_in_words(law.exponent), fmt.NOTHING), said
    if not _is_monotone(variant):
        said.append("its mean errors do not fall from each size to the next, as those of a law do")
    return (_in_words(law.exponent), _in_words(ahead)), said


def _points(runs: Sequence[Run]) -> tuple[list[float], list[float], int]:
    """Sizes and errors of the finished runs, and how many have an error of 0, which no power law has."""
    points = [(run.number("num_train"), run.number("test_error")) for run in runs if run.is_done]
    known = [(size, error) for size, error in points if size is not None and error is not None]
    kept = [(size, error) for size, error in known if error > 0]
    return [size for size, _ in kept], [error for _, error in kept], len(known) - len(kept)


def _is_monotone(variant: VariantSummary) -> bool:
    means = [found.mean for _, found in sorted(variant.by_num_train.items())]
    return all(later < earlier for earlier, later in pairwise(means))


def _in_words(found: Interval) -> str:
    return f"{fmt.number(found.value)} {fmt.interval(found.low, found.high)}".strip()
