"""The study in words: which symmetry wins, by how much, at which cost, and what the reader must not conclude."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from rapidash.report._format import (
    ARROW,
    listed,
    number,
    plural,
    power_of_ten,
    ratio,
    relative_error,
    seconds,
    short_count,
)
from rapidash.report._own_phrases import constant_caution, is_own
from rapidash.report._phrases import fraction_text, has_intervals, metric_with_unit, p_text, size_text
from rapidash.report._sections import Section, registered_sections
from rapidash.report._split_section import split_caution
from rapidash.report._symmetry_ratio import ratio_lead
from rapidash.study import EXACT_LIMIT, Comparison, StudySummary, VariantSummary, shortened, study_of, summarize

ROUNDING: Final = 1e-5  # even a float32 network of many layers rounds to a smaller relative error


@dataclass(frozen=True)
class Finding:
    """A statement under a short title, and the numbers behind it, one per item."""

    title: str
    text: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The verdict on a study: the effect of each knob, the best variant, the findings behind that, and the cautions.

    ``lead`` also has the ratio of symmetry error to model error, where it was measured. Its first ``num_clear`` lines
    are those of clear differences; a page folds the others, which ``rest`` names. ``sections`` are those of other
    packages.
    """

    lead: tuple[str, ...]
    headline: str
    findings: tuple[Finding, ...]
    cautions: tuple[str, ...]
    sections: tuple[Section, ...] = ()
    num_clear: int = 0
    rest: str = ""


def verdict(summary: StudySummary) -> Verdict:
    """The verdict that the records of a study support, in words with numbers."""
    findings = (
        _symmetry_finding(summary),
        _distance_finding(summary),
        _cost_finding(summary),
        _equivariance_finding(summary),
        _rotation_finding(summary),
    )
    sections, faults = registered_sections(summary)
    shown = tuple(finding for finding in findings if finding is not None)
    clear, unclear = _lead(summary)
    ratios = ratio_lead(summary)
    rest = (
        "what made no clear difference" if unclear else "",
        "does broken symmetry limit these models?" if ratios else "",
    )
    return Verdict(
        tuple(filter(None, (clear, unclear, ratios))),
        _headline(summary),
        shown,
        (*_cautions(summary), *faults),
        sections,
        num_clear=1 if clear else 0,
        rest=f"Also: {' and '.join(filter(None, rest))}",
    )


def _lead(summary: StudySummary) -> tuple[str, str]:
    """The effect of each knob on the error, a sentence each, largest first: the clear differences, and the others."""
    compared = [(v, v.to_neighbor) for v in summary.variants if v.to_neighbor is not None]
    compared.sort(key=lambda pair: -abs(pair[1].difference))
    by_knob: dict[tuple[str, str], list[tuple[VariantSummary, Comparison]]] = {}
    for variant, comparison in compared:
        if comparison.p_value is not None:
            by_knob.setdefault((variant.variant, summary[comparison.other].variant), []).append((variant, comparison))
    said: dict[bool, list[str]] = {True: [], False: []}
    for (name, other), pairs in by_knob.items():
        (variant, first), is_clear = pairs[0], any(comparison.is_clear for _, comparison in pairs)
        alone = _knob_sentence(variant, first)
        said[is_clear].append(alone if len(pairs) == 1 else _knob_at_levels(variant.knob, name, other, pairs))
    return " ".join(said[True]), " ".join(said[False])


def _knob_at_levels(knob: str, name: str, other: str, pairs: list[tuple[VariantSummary, Comparison]]) -> str:
    """The effect of a knob at every level of the factors, counted; with the smallest and the largest ratio."""
    clear = [comparison for _, comparison in pairs if comparison.is_clear]
    effects = []
    for verb, found in (
        ("raises", [c for c in clear if c.difference > 0]),
        ("lowers", [c for c in clear if c.difference < 0]),
    ):
        if found:
            ratios = sorted(c.ratio for c in found if c.ratio is not None)
            span = [ratio(ratios[0]), ratio(ratios[-1])] if len(ratios) == len(found) else []
            size = f", {' to '.join(dict.fromkeys(span))}" if span else ""
            effects.append(f"{verb} the error at {len(found)}{size}")
    if len(clear) < len(pairs):
        effects.append(f"no clear difference at {len(pairs) - len(clear)}")
    knob = knob or "one knob"
    return f"{knob[:1].upper()}{knob[1:]} ({other} {ARROW} {name}), of {len(pairs)} levels: {'; '.join(effects)}."


def _knob_sentence(variant: VariantSummary, comparison: Comparison) -> str:
    knob = variant.knob or "one knob"
    effect = _effect(comparison) if comparison.is_clear else "no clear difference"
    turned = f"{knob[:1].upper()}{knob[1:]} ({comparison.other} {ARROW} {comparison.name})"
    return f"{turned}: {effect}, {_evidence(comparison)}."


def _effect(comparison: Comparison) -> str:
    """A clear difference in words."""
    factor, is_worse = comparison.ratio, comparison.difference > 0
    if factor is not None and (factor >= 2 or 0 < factor <= 0.5):
        return "more than doubles the error" if is_worse else "more than halves the error"
    return "raises the error" if is_worse else "lowers the error"


def _evidence(comparison: Comparison) -> str:
    return ", ".join(filter(None, (size_text(comparison), p_text(comparison))))


def _headline(summary: StudySummary) -> str:
    best = summary.best
    if best is None or best.test is None:
        if any(variant.test is not None for variant in summary.variants):
            return "Only oracle variants, which see the answer's pose, have a finished run: nothing can be compared."
        if not summary.study.runs:
            return "No record yet: no run of this study has ended."
        return "No run of this study ended with a finite test error, so there is nothing to compare."
    error = f"{metric_with_unit(summary)} {number(best.test.mean)}"
    if best.test.low is not None:
        error += f" (95 % interval {number(best.test.low)} to {number(best.test.high)})"
    symmetry = f", {symmetry_words(best)}" if best.effective else ""
    elsewhere = f" {text}" if (text := _at_other_fractions(summary, best)) else ""
    if len(summary.ranked) == 1:
        where = f" at {fraction_text(summary)}" if elsewhere else ""
        return f"{best.name} is the only variant with a finished run{where}: {error}{symmetry}.{elsewhere}"
    count = summary.judgment.num_seeds
    if count < 2:
        seed = _seeds(summary).replace("1 ", "one ")
        return (
            f"{best.name} has the lowest error of {seed}: {error}{symmetry}. One seed cannot rank variants.{elsewhere}"
        )
    more = (_fewer(summary), _lower_elsewhere(summary), _best_of_other_problems(summary))
    fewer = "".join(f" {text}" for text in more if text) + elsewhere
    where = " at its level of the factors" if len(summary.judgments) > 1 else ""
    rivals = [variant for variant in summary.at_best_level if variant is not best and not variant.oracle]
    if (tied := summary.undecided) or not rivals:
        others = f"but {listed([variant.name for variant in tied])} cannot be told from it"
        outcome = others if tied else f"there is no other to compare it with{where}"
        lowest = f"the lowest mean{' at its level' if summary.lower_elsewhere else ''}"
        return f"{best.name} has {lowest} over {_seeds(summary)}: {error}{symmetry}; {outcome}.{fewer}"
    share = f" at {fraction_text(summary)}" if elsewhere else ""
    outcome = f"every other variant{where}{share} is clearly worse"
    return f"{best.name} wins over {_seeds(summary)}: {error}{symmetry}; {outcome}.{fewer}"


def _at_other_fractions(summary: StudySummary, best: VariantSummary) -> str:
    """The variants at the level of the best that have runs at other data fractions only, in words."""
    alike = [v for v in summary.variants if v.test is None and v.level_text == best.level_text]
    names = [v.name for v in alike if any(run.is_done for run in v.runs)]
    return f"No finished run at {fraction_text(summary)}, and so not compared: {listed(names)}." if names else ""


def symmetry_words(variant: VariantSummary) -> str:
    """The effective symmetry of a variant, and that it is not kept where that was measured."""
    lost = ", which training has broken" if variant.has_lost_symmetry else ""
    refuted = ", which it measurably does not have" if variant.refuted_claim else ""
    return f"effective symmetry {variant.effective}{lost}{refuted}"


def symmetry_of_run(record: Mapping[str, Any]) -> str:
    """The effective symmetry of one finished run as its record measured it, and how exactly it holds."""
    variant = next(iter(summarize(study_of([record])).variants), None)
    if variant is None:  # no record that counts
        return f"effective symmetry {record['symmetry']['effective']}"
    how = lost_symmetry(variant) or (f"error {variant.refuted_claim}" if variant.refuted_claim else "")
    how = how or ("" if variant.exact else variant.approximation)
    return f"{symmetry_words(variant)}{f' ({how})' if how else ''}"


def _seeds(summary: StudySummary) -> str:
    """The seeds over which the best was chosen."""
    count, best = summary.judgment.num_seeds, summary.best
    is_all = best is None or best.test is None or len(best.test.by_seed) == count
    return plural(count, "seed" if is_all else "common seed")


def _fewer(summary: StudySummary) -> str:
    counts = [f"{v.name} ({plural(len(v.test.by_seed), 'seed')})" for v in summary.fewer if v.test is not None]
    return f"Fewer seeds, and so no winner whatever the mean: {listed(counts)}." if counts else ""


def _lower_elsewhere(summary: StudySummary) -> str:
    """The variants with a lower mean at another level than the one that the headline speaks of, in words."""
    lower = [
        f"{v.name} ({number(v.test.mean)}, {plural(len(v.test.by_seed), 'seed')})"
        for v in summary.lower_elsewhere
        if v.test is not None
    ]
    return f"Lower at another level, but over fewer or other seeds, and so no winner: {listed(lower)}." if lower else ""


def _best_of_other_problems(summary: StudySummary) -> str:
    """The best variants at the other levels, where a factor changes the task: their errors compare with no other."""
    best = summary.best
    if best is None or not any(name.startswith("task.") for name in best.level):
        return ""
    others = [judged.best for judged in summary.judgments if judged.best is not None and judged.best != best.name]
    means = [f"{name} ({number(v.test.mean)})" for name in others if (v := summary[name]).test is not None]
    return f"At other levels, which are other problems, the lowest means are those of {listed(means)}." if means else ""


def lost_symmetry(variant: VariantSummary) -> str:
    """Figures of a model that should keep all rotations and measurably does not, in words; empty for any other."""
    after = variant.after
    if not variant.has_lost_symmetry or after is None:
        return ""
    factor = ratio(variant.rotated_ratio or 1.0)
    return f"equivariance error {relative_error(after.mean)}, rotated test data {factor} the error"


def _symmetry_finding(summary: StudySummary) -> Finding | None:
    """The finding on symmetry at the level of the best, with the other levels that say otherwise."""
    found, others = _symmetry_at_best_level(summary), _other_levels(summary)
    return found if found is None or not others else replace(found, items=(*found.items, *others))


def _other_levels(summary: StudySummary) -> list[str]:
    """The levels whose best model has another symmetry than the best of all."""
    found = []
    for judgment in summary.judgments:
        own = summary[judgment.best] if judgment.best is not None else None
        if own is None or not own.effective or own.is_doubted or summary.best is None:
            continue
        if own.level_text != summary.best.level_text and own.effective != summary.best.effective:
            rivals = {summary[name].effective for name in judgment.tied} - {own.effective}
            note = ", not clearly" if rivals else ""
            is_alone = [v for v in summary.ranked if v.level_text == own.level_text and not v.oracle] == [own]
            which = "only" if is_alone else "best"
            found.append(
                f"Otherwise at {own.level_text}: the {which} model there, {own.name}, has {own.effective}{note}"
            )
    return found


def _symmetry_at_best_level(summary: StudySummary) -> Finding | None:
    """The best variant of every effective symmetry against the best of all, at its level."""
    best = summary.best
    if best is None or not best.effective:
        return None
    if best.refuted_claim:
        text = (
            f"The best model, {best.name}, is said to have {best.effective} and has not (error {best.refuted_claim}): "
            "these runs do not say which symmetry the task wants."
        )
        return Finding("Which symmetry", text)
    if best.has_lost_symmetry:
        text = (
            f"The best model, {best.name}, was built for {best.effective} and lost it in training "
            f"({lost_symmetry(best)}): these runs do not say which symmetry the task wants."
        )
        return Finding("Which symmetry", text)
    leaders: dict[str, VariantSummary] = {best.effective: best}
    # what may be as good as the best speaks for its symmetry
    for variant in (*summary.undecided, *summary.at_best_level):
        if variant.effective and not variant.oracle and not variant.is_doubted:
            leaders.setdefault(variant.effective, variant)
    is_split = len(summary.judgments) > 1
    if len(leaders) == 1:
        others = any(variant.effective != best.effective or variant.is_doubted for variant in summary.at_best_level)
        where = f" at {best.level_text}" if is_split else ""
        text = (
            f"No other symmetry than {best.effective} has a model that keeps it{where}."
            if others
            else f"All variants with a result{where} have effective symmetry {best.effective}."
        )
        return Finding("Which symmetry", text, (_because(best),))
    items = []
    for leader in leaders.values():
        comparison = summary.to_best.get(leader.name)
        outcome = (
            f": {size_text(comparison)} the error of the best" if comparison is not None and comparison.ratio else ""
        )
        items.append(f"{leader.effective}: {leader.name}{outcome}")
    undecided = {variant.name for variant in summary.undecided}
    rivals = [symmetry for symmetry, leader in leaders.items() if leader.name in undecided]
    if rivals:
        text = f"These runs do not decide between {listed([best.effective, *rivals])}. Best model of each:"
    else:
        ran = f" and was run at {fraction_text(summary)}" if _at_other_fractions(summary, best) else ""
        text = f"The task wants {best.effective}: every model that keeps another symmetry{ran} is clearly worse."
    if is_split:
        text = f"At {best.level_text}, {text[:1].lower()}{text[1:]}"
    return Finding("Which symmetry", text, tuple(items))


def _distance_finding(summary: StudySummary) -> Finding | None:
    """The differences of all other variants from the best, with a note on those that are not told apart from it."""
    if summary.best is None or not summary.to_best:
        return None
    compared = sorted(summary.to_best.items(), key=lambda pair: pair[1].difference)
    if not has_intervals(summary):
        text = f"Error relative to {summary.best.name}, of one seed:"
        return Finding("By how much", text, tuple(f"{name}: {_evidence(found)}" for name, found in compared))
    items = [
        f"{name}: {_evidence(comparison)}{'' if comparison.is_clear else ', not distinguishable'}"
        for name, comparison in compared
    ]
    text = f"Error relative to {summary.best.name}, each with its own 95 % interval"
    note = '; "not distinguishable" allows for the number of comparisons' if summary.undecided else ""
    return Finding("By how much", f"{text}{note}:", tuple(items))


def _cost_finding(summary: StudySummary) -> Finding | None:
    timed = [variant for variant in summary.ranked if variant.seconds_per_step]
    best = summary.best
    if best is None or not best.seconds_per_step or len(timed) < 2:
        return None
    fastest = min(timed, key=lambda variant: variant.seconds_per_step or 0.0)
    text = f"{best.name} takes {seconds(best.seconds_per_step)} per training step with {_parameters(best)}"
    if fastest is best:
        slowest = max(timed, key=lambda variant: variant.seconds_per_step or 0.0)
        factor = (slowest.seconds_per_step or 0.0) / best.seconds_per_step
        return Finding("At which cost", f"{text}; it is the fastest. {slowest.name} takes {ratio(factor)} as long.")
    factor = best.seconds_per_step / (fastest.seconds_per_step or 1.0)
    comparison = summary.to_best.get(fastest.name)
    price = f", which has {size_text(comparison)} the error" if comparison is not None and comparison.ratio else ""
    return Finding(
        "At which cost",
        f"{text}: {ratio(factor)} as long as the fastest, {fastest.name} "
        f"({seconds(fastest.seconds_per_step)}, {_parameters(fastest)}){price}.",
    )


def _equivariance_finding(summary: StudySummary) -> Finding | None:
    """The measured equivariance error after training, the smallest first, and what it was before."""
    rows = []
    for variant in summary.ranked:
        group, moments = next(iter(variant.equivariance.items()), ("", {}))
        if "after" in moments:
            rows.append((moments["after"].mean, group, variant, moments.get("before")))
    if not rows:
        return None
    rows.sort(key=lambda row: row[0])
    items = []
    for after, _, variant, before in rows:
        start = f", {relative_error(before.mean)} before" if before is not None else ""
        note = " (rounding only)" if after <= ROUNDING else ""
        if variant.has_lost_symmetry:
            note = f" ({variant.effective} was lost in training)"
        if variant.refuted_claim:
            note = f" ({variant.effective} is claimed, and not kept)"
        note = note or ("" if variant.exact else f" ({variant.effective} {variant.approximation})")
        items.append(f"{variant.name}: {relative_error(after)} after training{start}{note}")
    return Finding("How equivariant", f"Relative error under {rows[0][1]}, 0 if exact:", tuple(items))


def _rotation_finding(summary: StudySummary) -> Finding | None:
    known = [(v.rotated_ratio, v) for v in summary.ranked if v.rotated_ratio is not None]
    if not known:
        return None
    worst_ratio, worst = max(known, key=lambda pair: pair[0])
    if worst_ratio < 1.1:
        return Finding(
            "Rotated test data", f"No variant loses more than 10 %: the largest factor is {ratio(worst_ratio)}."
        )
    stable = [variant.name for factor, variant in known if abs(factor - 1) < 0.05]
    rotated = worst.rotated.mean if worst.rotated is not None else None
    text = f"{worst.name} loses most: its error grows {ratio(worst_ratio)} to {number(rotated)}."
    if stable:
        text += f" Within 5 % of their plain test error: {listed(stable)}."
    return Finding("Rotated test data", text)


def _cautions(summary: StudySummary) -> tuple[str, ...]:
    study = summary.study
    cautions = []
    num_seeds = len(summary.seeds)
    if num_seeds == 1:
        cautions.append("One seed: no interval and no comparison can be given. Run at least three seeds.")
    elif 1 < num_seeds < 5:
        cautions.append(
            f"{num_seeds} seeds: the intervals rest on {plural(num_seeds - 1, 'degree')} of freedom and are wide; "
            "a difference that is not clear here may be real."
        )
    cautions += [
        f"{variant.name} was built for {variant.effective}, but training has broken it between the rotations of its "
        f"grid: {lost_symmetry(variant)}. It speaks for no symmetry here."
        for variant in summary.ranked
        if variant.has_lost_symmetry
    ]
    cautions += [_refuted_caution(variant) for variant in summary.variants if variant.refuted_claim]
    setting = str(study.design.get("setting") or "")
    if study.design.get("full") is False or setting.startswith("quick"):
        tells_apart = any(c.is_clear for judgment in summary.judgments for c in judgment.comparisons.values())
        ranks = "it ranks the variants, but its" if tells_apart else "its"
        full = "errors are those of short trainings of small networks. For longer ones of wider networks,"
        if not is_own(study):
            full = "errors are not comparable with published ones. For the benchmark's setting,"
        changed = setting.partition("changed: ")[2]
        but = f" but for {listed(changed.split(', '))}" if changed else ""
        cautions.append(f"Quick setting{but}{_steps(summary)}: {ranks} {full} add --full to the command")
    failed = [run for run in study.runs if not run.is_done]
    if failed:
        cautions.append(
            f"{plural(len(failed), 'run')} failed or diverged and {'is' if len(failed) == 1 else 'are'} left out of "
            f"every mean: {listed([f'{run.row}, seed {run.seed}' for run in failed[:6]])}"
            f"{' and others' if len(failed) > 6 else ''}."
        )
    if study.missing:
        cautions.append(
            f"{plural(len(study.missing), 'planned run')} without a record: the study has not finished"
            f"{_parts_of_a_study(summary)}. Start the same command again to resume it."
        )
    uneven = {len(v.test.by_seed) for v in summary.variants if v.test is not None}
    if len(uneven) > 1:
        cautions.append(
            "The variants have different numbers of finished seeds: comparisons use the seeds that both have, and a "
            "variant with fewer seeds than another cannot win."
        )
    if study.unreadable:
        named = "; ".join(f"{name} ({shortened(reason, 160)})" for name, reason in study.unreadable[:3])
        others = "; the others are in the provenance section" if len(study.unreadable) > 3 else ""
        cautions.append(f"{plural(len(study.unreadable), 'file')} left out: {named}{others}.")
    cautions += [
        f"Left out of a figure of {variant.name}: {fault}."
        for variant in summary.variants
        for fault in variant.figure_faults
    ]
    cautions += filter(None, (split_caution(summary), constant_caution(summary)))
    if any(variant.oracle for variant in summary.variants):
        cautions.append("Variants marked as oracle see the pose of the test data; they cannot win.")
    commits = {run.text("commit") for run in study.done}
    if len(commits) > 1:
        cautions.append(f"The runs come from {len(commits)} different commits of the code; see the provenance section.")
    if any(commit.endswith("+dirty") for commit in commits):
        cautions.append("Some runs were made from a working tree with changes that no commit holds.")
    return tuple(cautions)


def _parts_of_a_study(summary: StudySummary) -> str:
    """Where a study has several data fractions or levels, that it may have been run for some variants only."""
    is_whole = len(summary.study.fractions) < 2 and len(summary.judgments) < 2
    return "" if is_whole else ", or some variants were not meant for every data fraction and level"


def _refuted_caution(variant: VariantSummary) -> str:
    """A claim of exact symmetry that the measurement refutes."""
    return (
        f"{variant.name} claims {variant.claimed} to rounding, and has not: equivariance error in float64 "
        f"{variant.refuted_claim}, where rounding leaves less than {power_of_ten(EXACT_LIMIT, 0)}. It speaks for no "
        "symmetry here: look for an input that the ledger does not know."
    )


def _steps(summary: StudySummary) -> str:
    steps = {steps for run in summary.study.done if (steps := run.number("config", "train", "steps")) is not None}
    return f" ({steps.pop():.0f} optimizer steps)" if len(steps) == 1 else ""


def _because(variant: VariantSummary) -> str:
    reasons = f" ({'; '.join(reason.rstrip('.') for reason in variant.reasons)})" if variant.reasons else ""
    return f"{variant.effective}{reasons}: {variant.name}"


def _parameters(variant: VariantSummary) -> str:
    return f"{short_count(variant.parameters)} parameters"
