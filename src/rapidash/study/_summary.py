"""The summary of a study: estimates over seeds, comparisons, costs and symmetry of each variant, as plain values.

The one summary: the terminal, the page, the Markdown table and the published text draw it and compute nothing.
"""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from rapidash.methods import AVERAGED
from rapidash.study._claims import MOMENTS, refutation, refuted, worst_errors
from rapidash.study._earlier_symmetry import modern_symmetry
from rapidash.study._equality import Equality, equality_of
from rapidash.study._estimate import Estimate, error_estimate, figure_estimate, largest_value
from rapidash.study._judge import Comparison, Judgment, judge
from rapidash.study._level import Level, is_number, level_words, row_name
from rapidash.study._recorded_run import Run
from rapidash.study._records import Row, Study

LOST_EQUIVARIANCE, LOST_RATIO = 0.1, 1.1  # equivariance error, and rotated over plain test error
_EQUIVARIANCE: Final = "equivariance error"
_Entry = tuple[int, Mapping[str, Any]]  # seed and measurement


@dataclass(frozen=True)
class ViewSummary:
    """Another view of the variant's model than the one that counts, tested and measured by itself."""

    name: str
    effective: str
    test: Estimate | None
    rotated: Estimate | None
    equivariance: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True)
class FigureSummary:
    """A figure of the records by moment ("before" and "after" training), mean over seeds."""

    name: str
    group: str
    view: str
    unit: str
    better: str
    moments: Mapping[str, Estimate]

    @property
    def title(self) -> str:
        """Name, group, unit and view in words."""
        unit = f" ({self.unit})"
        unit = "" if self.unit in ("", "1") or self.name.endswith(unit) else unit
        view = f" [{self.view}]" if self.view else ""
        return f"{self.name}{unit}{f', {self.group}' if self.group else ''}{view}"


@dataclass(frozen=True)
class VariantSummary:
    """One variant at one level: a row of every table. Estimates are None without a finished run.

    ``name`` is that of the row, the variant with its level in words; ``level`` has the values of the factors beside
    seed and fraction. ``neighbor`` is the row of the neighbor at the same level. ``by_factor`` has, at the row with the
    first value of a factor of numbers, the test error by value of it, all else equal.
    ``view`` is the view of the model that counts, empty where there is one only; ``views`` are the others. ``figures``
    are all measurements of the records that no other field holds; those of another unit than most are left out, and
    ``figure_faults`` says which.
    """

    index: int
    name: str
    knob: str
    neighbor: str
    layers: str
    effective: str
    reasons: tuple[str, ...]
    exact: bool
    oracle: bool
    runs: tuple[Run, ...]
    test: Estimate | None
    rotated: Estimate | None
    equivariance: Mapping[str, Mapping[str, Estimate]]  # group name -> "before" / "after" -> relative error
    parameters: float | None
    seconds_per_step: float | None
    peak_memory: float | None
    to_neighbor: Comparison | None
    by_num_train: Mapping[float, Estimate] = field(default_factory=dict)
    view: str = ""
    views: tuple[ViewSummary, ...] = ()
    figures: tuple[FigureSummary, ...] = ()
    claimed: str = ""  # the group that the ledger claims exactly: all of ``effective``, or its part on the grid
    claim_errors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # of it, the largest over seeds
    exactness: tuple[str, ...] = ()  # those of the reasons that say how exactly the symmetry holds
    keeps: tuple[str, ...] = ()  # "rotations", "reflections": the parts that the effective symmetry has wholly
    is_trivial: bool = False  # nothing is left of the symmetry
    variant: str = ""
    level: Level = field(default_factory=dict)
    by_factor: Mapping[str, Mapping[float, Estimate]] = field(default_factory=dict)
    figure_faults: tuple[str, ...] = ()
    finished: tuple[Run, ...] = ()  # those of ``runs`` that the estimates are of

    @property
    def letter(self) -> str:
        """The mark of this variant in the plots."""
        return letter(self.index)

    @property
    def level_text(self) -> str:
        """The level in words, e.g. ``channels 32``; empty without factors."""
        return ", ".join(level_words(self.level))

    @property
    def rotated_ratio(self) -> float | None:
        """Mean error under rotated test data over the mean test error."""
        if self.test is None or self.rotated is None or self.test.mean <= 0:
            return None
        return self.rotated.mean / self.test.mean

    @property
    def refuted_claim(self) -> str:
        """The errors that refute the exact claim of the ledger, in words; empty where the claim holds or is unmeasured.

        What is exact leaves rounding in float64, before training and after it.
        """
        return refutation(refuted(self.claim_errors))

    @property
    def has_lost_symmetry(self) -> bool:
        """Whether a model that should keep all rotations measurably does not.

        Layers on a grid of orientations keep the rotations of the grid; training may use what that leaves open.
        """
        after = self.after
        if self.exact or self.refuted_claim or "rotations" not in self.keeps or after is None:
            return False
        return after.mean > LOST_EQUIVARIANCE or (self.rotated_ratio or 1.0) > LOST_RATIO

    @property
    def approximation(self) -> str:
        """How a symmetry that is not exact holds, in words."""
        if any("in expectation" in reason for reason in self.reasons):
            return "in expectation"
        return "up to its orientation grid" if any("orientation grid" in r for r in self.reasons) else "approximately"

    @property
    def after(self) -> Estimate | None:
        """The equivariance error after training, under the first group that was measured: of clouds the rotations."""
        return next(iter(self.equivariance.values()), {}).get("after")

    @property
    def is_doubted(self) -> bool:
        """Whether this model does not speak for its effective symmetry."""
        return bool(self.refuted_claim) or self.has_lost_symmetry

    @property
    def symmetry_text(self) -> str:
        """The effective symmetry, and that a measurement refutes it."""
        return f"{self.effective} (not kept)" if self.effective and self.refuted_claim else self.effective


@dataclass(frozen=True)
class StudySummary:
    """All variants at one data fraction and every level of the other factors, and who is best.

    Variants are compared within a level: ``judgments`` has one for each, and ``judgment`` is that of the level whose
    best has the lowest error, of the levels with the most seeds. What is said of "the best" speaks of that level only.
    """

    study: Study
    fraction: float
    variants: tuple[VariantSummary, ...]
    judgment: Judgment
    judgments: tuple[Judgment, ...] = ()
    equality: Equality | None = None

    def __getitem__(self, name: str) -> VariantSummary:
        """The row of that name."""
        return next(variant for variant in self.variants if variant.name == name)

    @cached_property
    def ranked(self) -> tuple[VariantSummary, ...]:
        """Variants with a finished run: the best, then by mean test error, those that may not win last."""
        known = [(variant, variant.test) for variant in self.variants if variant.test is not None]
        fewer = self.judgment.fewer
        known.sort(key=lambda pair: (pair[0] is not self.best, pair[0].oracle or pair[0].name in fewer, pair[1].mean))
        return tuple(variant for variant, _ in known)

    @cached_property
    def best(self) -> VariantSummary | None:
        """The best variant among those that may win; None without a result of any."""
        return None if self.judgment.best is None else self[self.judgment.best]

    @cached_property
    def at_best_level(self) -> tuple[VariantSummary, ...]:
        """Those of ``ranked`` at the level of the best, itself included: no other was compared with it."""
        level = "" if self.best is None else self.best.level_text
        return tuple(variant for variant in self.ranked if variant.level_text == level)

    @cached_property
    def lower_elsewhere(self) -> tuple[VariantSummary, ...]:
        """Variants at other levels with a lower mean than the best, over fewer or other seeds: those do not win."""
        best = self.best
        if best is None or best.test is None:
            return ()
        others = [(v, v.test) for v in self.ranked if v.level_text != best.level_text and not v.oracle]
        return tuple(v for v, test in others if test is not None and test.mean < best.test.mean)

    @cached_property
    def to_best(self) -> Mapping[str, Comparison]:
        """Each other variant against the best, in the order of their errors, where they share seeds."""
        compared = self.judgment.comparisons
        pairs = ((variant.name, str(self.judgment.best)) for variant in self.ranked)
        return {pair[0]: compared[pair] for pair in pairs if pair in compared}

    @cached_property
    def undecided(self) -> tuple[VariantSummary, ...]:
        """Variants that these runs cannot tell from the best; oracles are not in question."""
        return tuple(variant for variant in self.ranked if variant.name in self.judgment.tied)

    @cached_property
    def fewer(self) -> tuple[VariantSummary, ...]:
        """Variants that cannot win, because they have fewer seeds than the best."""
        return tuple(variant for variant in self.ranked if variant.name in self.judgment.fewer)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds with a finished run at the fraction of the main comparison."""
        return tuple(sorted({run.seed for run in self.study.done if run.fraction == self.fraction}))

    @property
    def metric(self) -> str:
        """Name of the test metric."""
        return self.study.first_text("metric") or "test error"

    @property
    def unit(self) -> str:
        """Unit of the test metric; empty if it has none."""
        return self.study.first_text("unit")


def letter(index: int) -> str:
    """A, B, ..., Z, AA, AB, ...: the mark of a variant in every table and plot."""
    return (letter(index // 26 - 1) if index >= 26 else "") + chr(ord("A") + index % 26)


def summarize(study: Study, *, fraction: float | None = None) -> StudySummary:
    """The summary of every variant of a study.

    Args:
        study: as read.
        fraction: share of the training set; None: the largest with a finished run.
    """
    fraction = study.fraction if fraction is None else fraction
    variants = [_summarize_variant(study, index, row, fraction) for index, row in enumerate(study.rows)]
    by_level: dict[str, list[VariantSummary]] = {}
    for variant in variants:
        by_level.setdefault(row_name("", variant.level), []).append(variant)
    judgments = tuple(map(_judge_level, by_level.values())) or (judge({}),)
    compared = {pair: found for judgment in judgments for pair, found in judgment.comparisons.items()}
    rows = tuple(
        replace(v, to_neighbor=compared.get((v.name, v.neighbor)), by_factor=_by_factor(v, variants)) for v in variants
    )
    means = {v.name: v.test.mean for v in variants if v.test is not None}

    def order(judgment: Judgment) -> tuple[int, float]:
        return -judgment.num_seeds, means.get(str(judgment.best), math.inf)

    return StudySummary(study, fraction, rows, min(judgments, key=order), judgments, equality_of(study, fraction))


def _judge_level(variants: Sequence[VariantSummary]) -> Judgment:
    """The best of the variants of one level, and their comparisons."""
    errors = {v.name: v.test.by_seed for v in variants if v.test is not None}
    neighbors = [(v.name, v.neighbor) for v in variants if v.neighbor]
    return judge(errors, neighbors=neighbors, excluded={v.name for v in variants if v.oracle})


def _by_factor(own: VariantSummary, variants: Sequence[VariantSummary]) -> dict[str, dict[float, Estimate]]:
    """By factor of numbers, where this row has the first value of it, the test errors by value."""
    found = {}
    for factor, first in own.level.items():
        alike = [v for v in variants if v.variant == own.variant and {**v.level, factor: first} == own.level]
        pairs = [(v.level[factor], v.test) for v in alike if v.test is not None]
        is_first = alike[0] is own and all(is_number(value) for value, _ in pairs)
        if is_first and len(pairs) > 1:
            found[factor] = {float(value): test for value, test in sorted(pairs, key=lambda pair: pair[0])}
    return found


def _summarize_variant(study: Study, index: int, row: Row, fraction: float) -> VariantSummary:
    name = row.variant
    own = tuple(run for run in study.runs if run.row == row.name)
    runs = tuple(run for run in own if run.is_done and run.fraction == fraction)
    described = runs[0] if runs else own[0] if own else Run({})
    reasons, symmetry = described.get("symmetry", "reasons"), modern_symmetry(described.get("symmetry"))
    planned = study.design.get("variants")
    plan = next((v for v in planned if isinstance(v, dict) and v.get("name") == name), {}) if planned else {}
    exact = described.get("symmetry", "exact") is not False
    neighbor = described.text("config", "variant", "neighbor") or str(plan.get("neighbor") or "")
    knob = described.text("config", "variant", "knob") or str(plan.get("knob") or "")
    if neighbor not in {"", *(other.variant for other in study.rows)}:
        neighbor = knob = ""  # in a part of the study that was not run
    errors = worst_errors([run.raw for run in runs])
    figures, figure_faults = _figures(runs)
    summary = VariantSummary(
        index=index,
        name=row.name,
        variant=name,
        level=row.level,
        knob=knob,
        neighbor=row_name(neighbor, row.level) if neighbor else "",
        layers=described.text("symmetry", "layers"),
        effective=described.text("symmetry", "effective"),
        reasons=tuple(map(str, reasons)) if isinstance(reasons, list) else (),
        exact=exact,
        oracle=described.get("symmetry", "oracle") is True,
        runs=own,
        test=_test_errors(runs, "test_error"),
        rotated=_test_errors(runs, "test_error_rotated"),
        equivariance=_equivariance(runs),
        parameters=_median(runs, "parameters"),
        seconds_per_step=_median(runs, "seconds_per_step"),
        peak_memory=_median(runs, "peak_memory_bytes"),
        to_neighbor=None,
        by_num_train=_by_num_train(own),
        view=_primary(runs),
        views=_views(runs),
        figures=figures,
        figure_faults=figure_faults,
        finished=runs,
        claimed=described.text("exact_symmetry", "group") or (described.text("symmetry", "effective") if exact else ""),
        claim_errors=errors,
        exactness=tuple(map(str, symmetry.get("exactness", ()))),
        keeps=tuple(map(str, symmetry.get("keeps", ()))),
        is_trivial=symmetry.get("is_trivial") is True,
    )
    return _withdrawn(summary) if summary.refuted_claim else summary


def _withdrawn(summary: VariantSummary) -> VariantSummary:
    """The variant without what its ledger says of exactness, which was measured otherwise."""
    reasons = [reason for reason in summary.reasons if reason not in summary.exactness]
    reasons.append(f"measured otherwise: {summary.claimed} leaves an error of {summary.refuted_claim}")
    return replace(summary, reasons=tuple(reasons), exact=False)


def _over_seeds(runs: Iterable[Run], *path: str, most: float | None = None) -> Estimate | None:
    return error_estimate({run.seed: value for run in runs if (value := run.number(*path)) is not None}, most=most)


def _test_errors(runs: Sequence[Run], *path: str) -> Estimate | None:
    return _over_seeds(runs, *path, most=_largest_error(runs[0]) if runs else None)


def _largest_error(run: Run) -> float | None:
    return largest_value(run.text("metric"), run.text("unit"))


def _view_names(runs: Iterable[Run]) -> list[str]:
    """The views of a variant's model, the averaged one too where it was tested."""
    names = dict.fromkeys(str(name) for run in runs for name in run.get("views") or {})
    if any(run.number("test_error_tta") is not None for run in runs):
        names[AVERAGED] = None
    return list(names)


def _primary(runs: tuple[Run, ...]) -> str:
    """The view whose error the variant is judged by; empty where the records name no other."""
    names = _view_names(runs)

    def counts(name: str) -> bool:
        return all(run.number("views", name, "test_error") == run.number("test_error") for run in runs)

    def has_the_symmetry(name: str) -> bool:
        return all(
            run.text("views", name, "symmetry", "effective") == run.text("symmetry", "effective") for run in runs
        )

    found = [name for name in names if counts(name)] if len(names) > 1 else []
    found.sort(key=has_the_symmetry, reverse=True)  # of views that are one function in the end, the one that is meant
    return found[0] if found else ""


def _views(runs: tuple[Run, ...]) -> tuple[ViewSummary, ...]:
    """The other views of a variant."""
    primary, names = _primary(runs), _view_names(runs)
    others = [name for name in names if name != primary] if primary or names == [AVERAGED] else []
    return tuple(
        ViewSummary(
            name,
            next((text for run in runs if (text := run.text("views", name, "symmetry", "effective"))), ""),
            _test_errors(runs, *(("test_error_tta",) if name == AVERAGED else ("views", name, "test_error"))),
            _test_errors(runs, "views", name, "test_error_rotated"),
            _equivariance_of_view(runs, name),
        )
        for name in others
    )


def _equivariance_of_view(runs: tuple[Run, ...], view: str) -> dict[str, dict[str, Estimate]]:
    found: dict[str, dict[str, Estimate]] = {}
    entries = dict.fromkeys(str(entry) for run in runs for entry in run.get("views", view, "errors_after") or {})
    for entry in entries:
        group = next((text for run in runs if (text := run.text("views", view, "errors_after", entry, "group"))), entry)
        for moment in MOMENTS:
            if (value := _over_seeds(runs, "views", view, f"errors_{moment}", entry, "mean")) is not None:
                found.setdefault(group, {})[moment] = value
    return found


def _figures(runs: tuple[Run, ...]) -> tuple[tuple[FigureSummary, ...], tuple[str, ...]]:
    """All measurements that no column shows, in the order of the records, and which values are not of one kind."""
    entries: dict[tuple[str, str, str], list[_Entry]] = {}
    for run in runs:
        for entry in run.measurements:
            own = entries.setdefault((entry["name"], entry["group"], entry["view"]), [])
            if entry["value"] is not None and not _has_column(run, entry):
                own.append((run.seed, entry))
    views, primary = {view for _, _, view in entries}, _primary(runs)
    found, faults = [], []
    for (name, group, view), known in entries.items():
        shown = "" if len(views) == 1 or view == primary else view
        of_unit, unit, other_unit = _of_one_kind(known, "unit")
        kept, better, other_better = _of_one_kind(of_unit, "better")
        figure = FigureSummary(name, group, shown, unit, better, {})
        faults += [f"{figure.title}: {fault}" for fault in (other_unit, other_better) if fault]
        values: dict[str, dict[int, float]] = {moment: {} for moment in MOMENTS}
        for seed, measured in kept:
            values.setdefault(measured["moment"], {})[seed] = measured["value"]
        estimates = {moment: figure_estimate(by_seed, name, unit) for moment, by_seed in values.items()}
        moments = {moment: value for moment, value in estimates.items() if value is not None}
        if moments:
            found.append(replace(figure, moments=moments))
    return tuple(found), tuple(faults)


def _of_one_kind(entries: list[_Entry], key: str) -> tuple[list[_Entry], str, str]:
    """The entries that say of ``key`` what most say, or nothing; what that is; and in words why others are left out."""
    said = Counter(entry[key] for _, entry in entries if entry[key])
    expected = said.most_common(1)[0][0] if said else ""
    kept = [(seed, entry) for seed, entry in entries if entry[key] in ("", expected)]
    if len(kept) == len(entries):
        return kept, expected, ""
    others = " or ".join(repr(value) for value in said if value != expected)
    seeds = ", ".join(map(str, sorted({seed for seed, entry in entries if entry[key] not in ("", expected)})))
    return kept, expected, f"expected {key} {expected!r}, as its other values have, found {others} with seed {seeds}"


def _has_column(run: Run, entry: Mapping[str, Any]) -> bool:
    """Whether the row of the variant or of one of its views shows a measurement."""
    first = run.text("equivariance", "group")
    shown = (f"test error, {run.text('metric')}", f"test error on moved data, {run.text('metric')}")
    return entry["name"] in shown or (entry["name"] == _EQUIVARIANCE and entry["group"] == first)


def _median(runs: Iterable[Run], *path: str) -> float | None:
    values = [value for run in runs if (value := run.number(*path)) is not None]
    return statistics.median(values) if values else None


def _equivariance(runs: tuple[Run, ...]) -> dict[str, dict[str, Estimate]]:
    """Relative equivariance error by group and moment; a group is there if some run measured it."""
    found: dict[str, dict[str, Estimate]] = {}
    for entry, fallback in (
        ("equivariance", "rotations"),
        ("equivariance_reflections", "reflections"),
        ("equivariance_translations", "translations"),
    ):
        group = next((text for run in runs if (text := run.text(entry, "group"))), fallback)
        moments = {moment: _over_seeds(runs, entry, moment, "mean") for moment in ("before", "after")}
        present = {moment: value for moment, value in moments.items() if value is not None}
        if present:
            found[group] = present
    return found


def _by_num_train(runs: Iterable[Run]) -> dict[float, Estimate]:
    """Test error by the number of training samples."""
    by_size: dict[float, dict[int, float]] = {}
    most = None
    for run in runs:
        size, error = run.number("num_train"), run.number("test_error")
        if run.is_done and size is not None and error is not None:
            by_size.setdefault(size, {})[run.seed] = error
            most = _largest_error(run)
    estimates = {size: error_estimate(by_size[size], most=most) for size in sorted(by_size)}
    return {size: found for size, found in estimates.items() if found is not None}
