"""From a race and a diagnosis to advice."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from rapidash.advise._advice import Advice, Row
from rapidash.advise._candidates import amount_of_symmetry, kept_group
from rapidash.advise._diagnosis import MOST_ASKED, num_asked, num_points_text
from rapidash.advise._finding import Finding
from rapidash.advise._numbers import number
from rapidash.advise._outlook import (
    Curve,
    Draws,
    Range,
    Values,
    expected_errors,
    interval,
    least_of_race,
    power_curve,
    probability_of_best,
)
from rapidash.advise._race import Raced
from rapidash.advise._rule import Rule, runner_up
from rapidash.advise._settings import settings_of
from rapidash.advise._trial import Parts, Trial
from rapidash.advise._words import (
    APART,
    Said,
    change_by,
    depends_on_place,
    in_words,
    not_told_apart,
    validation_needed,
)
from rapidash.methods import Task, Variant
from rapidash.models import RapidashConfig
from rapidash.study import StudyDesign, largest_value, with_steps

LONGER: Final = 4  # times a training of the last round: what is advised, and how far errors are extrapolated
MORE: Final = (2.0, 4.0)  # times the data, or the time
_FEW_NAMES: Final = 3


def recommend(
    raced: Raced,
    findings: Sequence[Finding],
    *,
    design: StudyDesign,
    task: Task,
    variants: Mapping[str, Variant],
    parts: Parts,
    target: str,
    minutes: float,
    seed: int,
    rule: Rule,
    cautions: Sequence[str] = (),
    constant: float | None = None,
) -> Advice:
    """The variant that the rule names, what to expect of it, and what would change that.

    Args:
        raced, findings: of the data.
        design, task, variants, parts: what was raced.
        target: in words.
        minutes: asked for.
        seed: of the draws and of the training that is advised.
        rule: by which a variant is named.
        cautions: what the data do not allow.
        constant: the error of a prediction that sees no cloud.
    """
    most = largest_value(task.metric, task.unit) or math.inf

    def errors_by(draws: Draws) -> dict[str, Values]:
        errors = expected_errors(raced, draws, rule.transfer)
        return {name: np.minimum(values, math.log(most)) for name, values in errors.items()}

    in_race = errors_by(Draws(raced, seed=seed))
    symmetry = {name: amount_of_symmetry(task, variants[name]) for name in in_race}
    says = {found.key: found.says for found in findings}
    named = rule.name(in_race, symmetry, says, raced.finalists)
    least = least_of_race(raced, task.unit)
    draws = Draws(raced, seed=seed, least=least)
    expected, on_turned = errors_by(draws), errors_by(Draws(raced, seed=seed, turned=True, least=least))
    shares = probability_of_best(expected)
    data_curves, time_curves = _curves(raced, draws, most)
    last = raced.rounds[-1].get(named) or _last_trials(raced, named)
    steps = LONGER * last[0].steps
    rows = _rows(raced, expected, on_turned, shares, task, variants)
    measured = next(row.expected for row in rows if row.name == named)
    assert measured is not None
    own = next((curve for curve in time_curves if curve.variant == named), None)
    train = with_steps(design.train, steps)
    best_turned = min(on_turned, key=lambda name: float(on_turned[name].mean()))
    same = not_told_apart(named, expected)
    second = runner_up(expected, named)
    return Advice(
        task=task.name,
        metric=task.metric,
        unit=task.unit,
        target=target,
        minutes=minutes,
        seconds=raced.seconds,
        num_train=raced.num_train,
        num_val=len(parts.val),
        num_points=num_points_text(parts.train),
        findings=tuple(findings),
        rounds=tuple(next(iter(found.values()))[0].fraction for found in raced.rounds),
        rows=rows,
        variant=named,
        probability=shares[named],
        runner_up=second,
        same=tuple(same),
        measured=measured,
        expected=measured if own is None or own.exponent.value <= 0 else own.ahead[steps],
        train_seconds=raced.costs[named].seconds_of(steps),
        steps=steps,
        best_turned=best_turned,
        data_curves=data_curves,
        time_curves=time_curves,
        changes=tuple(
            _changes(raced, named, second, expected, on_turned, rows, data_curves, time_curves, len(parts.val))
        ),
        cautions=(
            *_on_place(findings),
            *_nothing_learned(named, measured, constant, findings),
            *_no_error(raced, named, len(parts.val), task.unit),
            *cautions,
            *_too_few(findings, raced.num_train, minutes),
            *_cautions(named, own, makes_none=_makes_none(last)),
            _not_raced(design),
        ),
        rule=rule,
        settings=settings_of(design, variants[named], train, seed),
        constant=constant,
    )


def _last_trials(raced: Raced, name: str) -> tuple[Trial, ...]:
    """The trials of the last round that a variant was in."""
    return next(found[name] for found in reversed(raced.rounds) if name in found)


def _range(draws: Values, *, unseen: int = 0) -> Range:
    """The expected error with its interval; of a rate at which so many clouds show no error, with what they allow."""
    found = interval(math.exp(float(draws.mean())), np.exp(draws))
    return Range(found.value, 0.0, max(found.high, 100 * not_excluded(unseen))) if unseen else found


def not_excluded(num: int) -> float:
    """The largest rate at which no error among so many clouds is seen in one case of 40: 1 - 0.025^(1/num)."""
    return 1 - float(0.025 ** (1 / num))


def _makes_none(trials: Sequence[Trial]) -> bool:
    """Whether no validation cloud has an error, in any of these trials."""
    return _unseen([trial.errors for trial in trials]) > 0


def _unseen(errors: Sequence[Sequence[float]]) -> int:
    """The number of clouds if none of them has an error in any trial, else 0."""
    ended = [of_trial for of_trial in errors if of_trial]
    return len(ended[0]) if ended and not any(map(any, ended)) else 0


def _rows(
    raced: Raced,
    expected: Mapping[str, Values],
    on_turned: Mapping[str, Values],
    shares: Mapping[str, float],
    task: Task,
    variants: Mapping[str, Variant],
) -> tuple[Row, ...]:
    """A row for each variant, those that were raced first, the least expected error at the top."""
    rows = []
    for name, variant in variants.items():
        group = kept_group(task, variant)
        made = Row(
            name,
            "" if group is None else group.name,
            amount_of_symmetry(task, variant),
            tuple(_mean(found.get(name, ())) for found in raced.rounds),
            seconds_per_step=raced.costs[name].step,
            note=raced.notes.get(name, ""),
        )
        if name in expected:
            last = _last_trials(raced, name)
            is_rate = task.unit == "%"
            made = replace(
                made,
                expected=_range(expected[name], unseen=is_rate * _unseen([trial.errors for trial in last])),
                probability=shares[name],
                turned=_range(on_turned[name], unseen=is_rate * _unseen([trial.turned for trial in last])),
                steps=last[0].steps,
            )
        rows.append(made)
    return tuple(sorted(rows, key=lambda row: math.inf if row.expected is None else row.expected.value))


def _mean(trials: Sequence[Trial]) -> float | None:
    means = [trial.mean for trial in trials if trial.errors]
    return sum(means) / len(means) if means else None


def _curves(raced: Raced, draws: Draws, most: float) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """The laws of the best variants against clouds and against steps; none of one that makes no error somewhere."""
    by_data, by_time = [], []
    for name, curves in raced.curves.items():
        longest = raced.rounds[-1][name][0].steps
        sizes, steps = (_grouped(curves["data"], "num_train"), _grouped(curves["time"], "steps"))
        ahead = [factor * raced.num_train for factor in MORE]
        by_data.append(_law(name, sizes, draws, ahead, most))
        by_time.append(_law(name, steps, draws, [factor * longest for factor in (2, LONGER)], most))
    return tuple(c for c in by_data if c is not None), tuple(c for c in by_time if c is not None)


def _law(
    name: str, groups: Mapping[float, Sequence[Trial]], draws: Draws, ahead: Sequence[float], most: float
) -> Curve | None:
    """The power law, unless there is no error anywhere: its logarithm would be one that nobody measured."""
    if any(_makes_none(trials) for trials in groups.values()):
        return None
    return power_curve(name, groups, draws, ahead, most)


def _grouped(trials: Sequence[Trial], name: str) -> dict[float, list[Trial]]:
    found: dict[float, list[Trial]] = {}
    for trial in trials:
        found.setdefault(float(getattr(trial, name)), []).append(trial)
    return found


def _changes(
    raced: Raced,
    named: str,
    second: str | None,
    expected: Mapping[str, Values],
    on_turned: Mapping[str, Values],
    rows: Sequence[Row],
    data_curves: Sequence[Curve],
    time_curves: Sequence[Curve],
    num_val: int,
) -> list[Said]:
    """More data, another budget, turned test data, and more validation clouds."""
    all_clouds = {curve.variant: float(raced.num_train) for curve in data_curves}
    longest = {curve.variant: max(curve.at) for curve in time_curves}
    by_data, by_time = (
        change_by(data_curves, named, "data", all_clouds),
        change_by(time_curves, named, "time", longest),
    )
    if _makes_none(_last_trials(raced, named)):
        by_data = by_time = (
            f"{named} makes no error on these validation clouds already: whether more would help, or another variant "
            "be ahead, cannot be seen on them."
        )
    said = [
        Said("More data", by_data),
        Said("More time", by_time + _too_slow(raced)),
        Said("Turned test data", _on_turned(named, on_turned, {row.name: row.turned for row in rows if row.turned})),
    ]
    if second is not None:
        text = _more_validation(named, second, expected, num_val, raced.notes.get(second, ""))
        said.append(Said("More validation clouds", text))
    return said


def _too_slow(raced: Raced) -> str:
    slow = [name for name, note in raced.notes.items() if note.startswith("left out")]
    if not slow:
        return ""
    names = ", ".join(slow) if len(slow) <= _FEW_NAMES else f"{len(slow)} variants"
    return f" Too slow for this time, and not raced: {names}; more --minutes, in another --out, let them in."


def _on_turned(named: str, on_turned: Mapping[str, Values], ranges: Mapping[str, Range]) -> str:
    best = min(on_turned, key=lambda name: float(on_turned[name].mean()))
    own = in_words(ranges[named])
    if len(on_turned) == 1:
        return f"On turned validation clouds {named} has {own}; no other variant was raced."
    if best == named:
        return f"{named} has the least error on turned validation clouds too, {own}."
    difference = on_turned[named] - on_turned[best]
    is_clear = float(difference.mean()) > APART * float(difference.std())
    if not is_clear:
        return f"On turned validation clouds {named} has {own}, and no variant is clearly better."
    return (
        f"If new clouds come in any pose, train {best} instead: on turned validation clouds it has "
        f"{in_words(ranges[best])}, {named} has {own}."
    )


def _more_validation(named: str, second: str, expected: Mapping[str, Values], num_val: int, left: str) -> str:
    """Whether more validation clouds would tell the advice from the runner-up, which left early for a reason or not."""
    difference = expected[named] - expected[second]
    if abs(float(difference.mean())) > APART * float(difference.std()):
        return (
            f"{num_val} validation clouds and these seeds tell {named} from {second}; more would not change the order."
        )
    if left:
        return (
            f"{second}, the next, {left}: what it would have become is a guess, and more --minutes would tell more "
            "than more validation clouds."
        )
    needed = validation_needed(expected[named], expected[second], num_val)
    if needed is None:
        return (
            f"{named} and {second} are so near each other that not even a thousand times as many validation clouds "
            "would tell them apart."
        )
    return (
        f"{named} and {second} cannot be told apart by {num_val} validation clouds; about {needed}, and as many "
        "times the seeds, would tell."
    )


def _on_place(findings: Sequence[Finding]) -> list[str]:
    """A sentence where the absolute position tells about the target."""
    if not depends_on_place(findings):
        return []
    return [
        "The absolute position tells about the target, and no variant of the race sees it: all errors are of networks "
        "that cannot use it. A network of yours can, if the coordinates are given to it as numbers beside the "
        "positions (in the documentation: Ask for advice, A position that matters)."
    ]


def _nothing_learned(named: str, measured: Range, constant: float | None, findings: Sequence[Finding]) -> list[str]:
    """A sentence where the variant is not clearly better than a prediction that sees no cloud."""
    if constant is None or measured.high < constant:
        return []
    helps = " More --minutes may help, or more clouds; or the clouds do not tell about this target."
    helps = "" if depends_on_place(findings) else helps
    return [
        f"Nothing is clearly learned: a prediction that sees no cloud has the error {number(constant)}, and {named} "
        f"has {in_words(measured)}. Which variant is ahead of another then says little.{helps}"
    ]


def _no_error(raced: Raced, named: str, num_val: int, unit: str) -> list[str]:
    """A sentence where the variant makes no error on the validation clouds."""
    if not _makes_none(_last_trials(raced, named)):
        return []
    bound = f", and up to {number(100 * not_excluded(num_val))} % are not excluded" if unit == "%" else ""
    return [
        f"{named} makes no error on the {num_val} validation clouds. On new clouds it will make some{bound}: only more "
        "validation clouds would tell how many."
    ]


def _too_few(findings: Sequence[Finding], num: int, minutes: float) -> list[str]:
    """A sentence on the questions that the clouds are too few for."""
    few = [each.question for each in findings if each.says == "cannot tell"]
    if not few:
        return []
    asked = num_asked(num, minutes)
    whole = f"The {num} training clouds" if asked == num else f"{asked} of the {num} training clouds, which were asked,"
    more = " More --minutes ask more of them." if asked < min(num, MOST_ASKED) else ""
    return [f"{whole} are too few to answer: {' '.join(few)}{more}"]


def _cautions(named: str, own: Curve | None, *, makes_none: bool) -> list[str]:
    """The limits of the race."""
    found = [
        "Errors are those of validation clouds that also chose the better of two looks at every training: a little "
        "optimistic, for all variants alike. Test data were not read."
    ]
    if own is None and not makes_none:
        found.append(
            f"{named} was not followed against time: its expected error is that of the race, not of a longer run."
        )
    elif own is not None and own.exponent.low <= 0:
        found.append("The error does not clearly fall with time: what is expected of a longer training is uncertain.")
    return found


def _not_raced(design: StudyDesign) -> str:
    """A sentence on the networks of other kinds."""
    others = [variant.name for variant in design.variants if not isinstance(variant.model, RapidashConfig)]
    trains = f"; rapidash study {design.task} trains {', '.join(others)} too" if others else ""
    return (
        "Only networks of Rapidash are raced. How EGNN, PaiNN, a transformer or a network of yours would do on these "
        f"data is not known{trains}."
    )
