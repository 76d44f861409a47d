"""From a race and a diagnosis to advice."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from rapidash.advise._advice import Advice, Row
from rapidash.advise._candidates import amount_of_symmetry, kept_group
from rapidash.advise._diagnosis import num_points_text
from rapidash.advise._finding import Finding
from rapidash.advise._outlook import (
    Curve,
    Draws,
    Range,
    Values,
    expected_errors,
    interval,
    power_curve,
    probability_of_best,
)
from rapidash.advise._race import Raced
from rapidash.advise._rule import Rule, runner_up
from rapidash.advise._settings import settings_of
from rapidash.advise._trial import Parts, Trial
from rapidash.advise._words import APART, Said, change_by, in_words, not_told_apart, validation_needed
from rapidash.methods import Task, Variant
from rapidash.study import StudyDesign, largest_value, with_steps

LONGER: Final = 4  # times a training of the last round: what is advised, and how far errors are extrapolated
MORE: Final = (2.0, 4.0)  # times the data, or the time


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
    """
    draws = Draws(raced, seed=seed)
    most = largest_value(task.metric, task.unit) or math.inf
    of_turned = Draws(raced, seed=seed, turned=True)
    expected, on_turned = (
        {
            name: np.minimum(values, math.log(most))
            for name, values in expected_errors(raced, each, rule.transfer).items()
        }
        for each in (draws, of_turned)
    )
    symmetry = {name: amount_of_symmetry(task, variants[name]) for name in expected}
    says = {found.key: found.says for found in findings}
    named = rule.name(expected, symmetry, says, raced.finalists)
    shares = probability_of_best(expected)
    data_curves, time_curves = _curves(raced, draws, most)
    last = raced.rounds[-1].get(named) or _last_trials(raced, named)
    steps = LONGER * last[0].steps
    measured = _range(expected[named])
    own = next((curve for curve in time_curves if curve.variant == named), None)
    train = with_steps(design.train, steps)
    rows = _rows(raced, expected, on_turned, shares, task, variants)
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
        changes=tuple(_changes(raced, named, second, expected, on_turned, data_curves, time_curves, len(parts.val))),
        cautions=(*cautions, *_cautions(raced, findings, named, expected, len(parts.val), own, minutes)),
        rule=rule,
        settings=settings_of(design, variants[named], train, seed),
    )


def _last_trials(raced: Raced, name: str) -> tuple[Trial, ...]:
    """The trials of the last round that a variant was in."""
    return next(found[name] for found in reversed(raced.rounds) if name in found)


def _range(draws: Values) -> Range:
    return interval(math.exp(float(draws.mean())), np.exp(draws))


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
            made = replace(
                made,
                expected=_range(expected[name]),
                probability=shares[name],
                turned=_range(on_turned[name]),
                steps=_last_trials(raced, name)[0].steps,
            )
        rows.append(made)
    return tuple(sorted(rows, key=lambda row: math.inf if row.expected is None else row.expected.value))


def _mean(trials: Sequence[Trial]) -> float | None:
    means = [trial.mean for trial in trials if trial.errors]
    return sum(means) / len(means) if means else None


def _curves(raced: Raced, draws: Draws, most: float) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """The laws of the best variants against clouds and against steps."""
    by_data, by_time = [], []
    for name, curves in raced.curves.items():
        longest = raced.rounds[-1][name][0].steps
        sizes, steps = (_grouped(curves["data"], "num_train"), _grouped(curves["time"], "steps"))
        ahead = [factor * raced.num_train for factor in MORE]
        by_data.append(power_curve(name, sizes, draws, ahead, most))
        by_time.append(power_curve(name, steps, draws, [factor * longest for factor in (2, LONGER)], most))
    return tuple(c for c in by_data if c is not None), tuple(c for c in by_time if c is not None)


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
    data_curves: Sequence[Curve],
    time_curves: Sequence[Curve],
    num_val: int,
) -> list[Said]:
    """More data, another budget, turned test data, and more validation clouds."""
    all_clouds = {curve.variant: float(raced.num_train) for curve in data_curves}
    longest = {curve.variant: max(curve.at) for curve in time_curves}
    said = [
        Said("More data", change_by(data_curves, named, "data", all_clouds)),
        Said("More time", change_by(time_curves, named, "time", longest) + _too_slow(raced)),
        Said("Turned test data", _on_turned(named, on_turned)),
    ]
    if second is not None:
        said.append(Said("More validation clouds", _more_validation(named, second, expected, num_val)))
    return said


def _too_slow(raced: Raced) -> str:
    slow = [name for name, note in raced.notes.items() if note.startswith("left out")]
    if not slow:
        return ""
    return f" Too slow for this budget, and not raced: {', '.join(slow)}; a longer --minutes lets them in."


def _on_turned(named: str, on_turned: Mapping[str, Values]) -> str:
    best = min(on_turned, key=lambda name: float(on_turned[name].mean()))
    own = in_words(_range(on_turned[named]))
    if best == named:
        return f"{named} is the best on turned validation clouds too, with {own}."
    difference = on_turned[named] - on_turned[best]
    is_clear = float(difference.mean()) > APART * float(difference.std())
    if not is_clear:
        return f"On turned validation clouds {named} has {own}, and no variant is clearly better."
    return (
        f"If new clouds come in any pose, train {best} instead: on turned validation clouds it has "
        f"{in_words(_range(on_turned[best]))}, {named} has {own}."
    )


def _more_validation(named: str, second: str, expected: Mapping[str, Values], num_val: int) -> str:
    difference = expected[named] - expected[second]
    if abs(float(difference.mean())) > APART * float(difference.std()):
        return (
            f"{num_val} validation clouds and these seeds tell {named} from {second}; more would not change the order."
        )
    needed = validation_needed(expected[named], expected[second], num_val)
    if needed is None:
        return (
            f"{named} and {second} have the same expected error: no number of validation clouds would tell them apart."
        )
    return (
        f"{named} and {second} cannot be told apart by {num_val} validation clouds; about {needed}, with as many seeds "
        "more, would tell."
    )


def _cautions(
    raced: Raced,
    findings: Sequence[Finding],
    named: str,
    expected: Mapping[str, Values],
    num_val: int,
    own: Curve | None,
    minutes: float,
) -> list[str]:
    """The limits of the race."""
    found = [
        "Errors are those of validation clouds that also chose the better of two looks at every training: a little "
        "optimistic, for all variants alike. Test data were not read."
    ]
    same = not_told_apart(named, expected)
    if len(same) == len(expected) - 1 and same:
        found.insert(0, f"No variant can be told from another by {num_val} validation clouds in {minutes:g} minutes.")
    few = [each.question for each in findings if each.says == "cannot tell"]
    if few:
        found.append(f"The training clouds are too few to answer: {' '.join(few)}")
    if own is None:
        found.append(
            f"{named} was not followed against time: its expected error is that of the race, not of a longer run."
        )
    elif own.exponent.low <= 0:
        found.append("The error does not clearly fall with time: what is expected of a longer training is uncertain.")
    if any(found_.key == "place" and found_.says == "yes" for found_ in findings):
        found.append("Absolute positions tell about the target, and no variant of the race sees them.")
    return found
