"""What a study says about each variant: estimates over seeds, comparisons, costs and symmetry, as plain values."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from rapidash.report._format import letter, ratio, relative_error
from rapidash.report._records import Run, Study
from rapidash.study import (
    Verdict,
    false_discovery,
    mean_interval,
    paired_difference,
    paired_t_p_value,
    ratio_interval,
    refutation,
    refuted,
    winner,
    worst_errors,
)

LOST_EQUIVARIANCE, LOST_RATIO = 0.1, 1.1  # equivariance error, and rotated over plain test error


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds with its 95 % interval (None with one seed), and the value of every seed."""

    mean: float
    low: float | None
    high: float | None
    by_seed: Mapping[int, float]

    @property
    def values(self) -> list[float]:
        """Values in the order of their seeds."""
        return [self.by_seed[seed] for seed in sorted(self.by_seed)]


@dataclass(frozen=True)
class Comparison:
    """Error of ``name`` minus error of ``other``, paired by seed; None where one seed allows no interval.

    ``p_value`` is of the paired t-test, ``p_exact`` of the sign-flip permutation test, ``p_adjusted`` the t-test's
    after Benjamini and Hochberg over all comparisons of its family (neighbors, or variants with the best).
    ``is_clear`` says of neighbors that the 95 % interval leaves out zero, and of the best that ``p_adjusted`` is at
    most 0.05: the best was picked by the same values, a neighbor was not.
    """

    name: str
    other: str
    num_seeds: int
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    p_exact: float | None
    p_adjusted: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    is_clear: bool


@dataclass(frozen=True)
class VariantSummary:
    """One variant at the largest data fraction. Estimates are None without a finished run."""

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
    averaged: Estimate | None
    equivariance: Mapping[str, Mapping[str, Estimate]]  # group name -> "before" / "after" -> relative error
    parameters: float | None
    seconds_per_step: float | None
    peak_memory: float | None
    to_neighbor: Comparison | None
    by_num_train: Mapping[float, Estimate] = field(default_factory=dict)
    details: Mapping[str, Estimate] = field(default_factory=dict)  # figures beside the metric, on test data, by name
    claimed: str = ""  # the group that the ledger claims exactly: all of ``effective``, or its part on the grid
    claim_errors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # of it, the largest over seeds

    @property
    def letter(self) -> str:
        """The mark of this variant in the plots."""
        return letter(self.index)

    @property
    def rotated_ratio(self) -> float | None:
        """Mean error under rotated test data over the mean test error."""
        if self.test is None or self.rotated is None or self.test.mean <= 0:
            return None
        return self.rotated.mean / self.test.mean

    @property
    def refuted_claim(self) -> str:
        """How the model has not what its ledger claims exactly, in words; empty where the claim holds or is unmeasured.

        What is exact leaves rounding in float64, before training and after it.
        """
        return refutation(refuted(self.claim_errors))

    @property
    def lost_symmetry(self) -> str:
        """How a model that should keep all rotations measurably does not, in words; empty for any other.

        Layers on a grid of orientations keep the rotations of the grid; training may use what that leaves open.
        """
        has_rotations = self.effective.partition("(")[0] in ("E", "SE", "O", "SO")
        after = next(iter(self.equivariance.values()), {}).get("after")  # rotations come first
        if self.exact or self.refuted_claim or not has_rotations or after is None:
            return ""
        factor = self.rotated_ratio or 1.0
        if after.mean <= LOST_EQUIVARIANCE and factor <= LOST_RATIO:
            return ""
        return f"equivariance error {relative_error(after.mean)}, rotated test data {ratio(factor)} the error"

    @property
    def doubt(self) -> str:
        """Why this model does not speak for its effective symmetry; empty for one that does."""
        return self.refuted_claim or self.lost_symmetry

    @property
    def symmetry_text(self) -> str:
        """The effective symmetry, and that a measurement refutes it."""
        return f"{self.effective} (not kept)" if self.effective and self.refuted_claim else self.effective


@dataclass(frozen=True)
class StudySummary:
    """All variants, the best one, and the comparison of every other variant with it."""

    study: Study
    variants: tuple[VariantSummary, ...]

    def __getitem__(self, name: str) -> VariantSummary:
        """The variant of that name."""
        return next(variant for variant in self.variants if variant.name == name)

    @cached_property
    def ranked(self) -> tuple[VariantSummary, ...]:
        """Variants with a finished run by mean test error, those that may not win last."""
        known = [(variant, variant.test) for variant in self.variants if variant.test is not None]
        known.sort(key=lambda pair: (not self._may_win(pair[0]), pair[1].mean))
        return tuple(variant for variant, _ in known)

    @cached_property
    def best(self) -> VariantSummary | None:
        """The variant of the lowest mean test error among those that may win."""
        return self[self._verdict.best] if self._verdict is not None else None

    @cached_property
    def to_best(self) -> Mapping[str, Comparison]:
        """Each other variant against the best, paired by seed, where they share seeds."""
        found = {}
        for variant in self.ranked:
            if self.best is None or self._verdict is None or variant is self.best:
                continue
            if (comparison := compare(variant, self.best)) is not None:
                if variant.name in self._verdict.p_values:
                    adjusted, is_clear = self._verdict.p_values[variant.name], variant.name not in self._verdict.tied
                    comparison = replace(comparison, p_adjusted=adjusted, is_clear=is_clear)
                found[variant.name] = comparison
        return found

    @property
    def undecided(self) -> tuple[VariantSummary, ...]:
        """Variants that these runs cannot tell from the best; oracles are not in question."""
        others = (variant for variant in self.ranked if variant is not self.best and not variant.oracle)
        return tuple(v for v in others if v.name not in self.to_best or not self.to_best[v.name].is_clear)

    @cached_property
    def _verdict(self) -> Verdict | None:
        return winner({v.name: v.test.by_seed for v in self.variants if v.test is not None and self._may_win(v)})

    def _may_win(self, variant: VariantSummary) -> bool:
        """Not an oracle, and not a single seed where another variant has two."""
        counts = {v.name: len(v.test.by_seed) for v in self.variants if v.test is not None and not v.oracle}
        return counts.get(variant.name, 0) >= min(2, max(counts.values(), default=0)) and variant.name in counts

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds with a finished run at the fraction of the main comparison."""
        return tuple(sorted({run.seed for run in self.study.done if run.fraction == self.study.fraction}))

    @property
    def metric(self) -> str:
        """Name of the test metric."""
        return self.study.first_text("metric") or "test error"

    @property
    def unit(self) -> str:
        """Unit of the test metric; empty if it has none."""
        return self.study.first_text("unit")


def estimate(values: Mapping[int, float]) -> Estimate | None:
    """Mean and 95 % interval of a value per seed; None without values."""
    return Estimate(*mean_interval([values[seed] for seed in sorted(values)]), dict(values)) if values else None


def compare(variant: VariantSummary, other: VariantSummary) -> Comparison | None:
    """``variant`` minus ``other``, paired by the seeds they share; None where they share none."""
    if variant.test is None or other.test is None:
        return None
    first, second = variant.test.by_seed, other.test.by_seed
    shared = first.keys() & second.keys()
    if not shared:
        return None
    found = paired_difference(first, second)
    factor = ratio_interval(first, second) if all(second[seed] > 0 for seed in shared) else None
    return Comparison(
        name=variant.name,
        other=other.name,
        num_seeds=len(shared),
        difference=found.mean,
        low=found.low,
        high=found.high,
        p_value=paired_t_p_value(first, second),
        p_exact=found.p_value,
        p_adjusted=None,
        ratio=factor.mean if factor is not None else None,
        ratio_low=factor.low if factor is not None else None,
        ratio_high=factor.high if factor is not None else None,
        is_clear=found.low is not None and found.high is not None and (found.low > 0 or found.high < 0),
    )


def summarize(study: Study) -> StudySummary:
    """The summary of every variant of ``study``, at the largest data fraction with a finished run."""
    variants = [_summarize_variant(study, index, name) for index, name in enumerate(study.variants)]
    by_name = {variant.name: variant for variant in variants}
    compared = _adjusted(
        {v.name: compare(v, by_name[v.neighbor]) for v in variants if v.neighbor in by_name and v.neighbor != v.name}
    )
    return StudySummary(study, tuple(replace(v, to_neighbor=compared.get(v.name)) for v in variants))


def _adjusted(comparisons: Mapping[str, Comparison | None]) -> dict[str, Comparison]:
    """The comparisons that exist, as one family: each with its p-value adjusted for the others."""
    known = {name: comparison for name, comparison in comparisons.items() if comparison is not None}
    adjusted = false_discovery([comparison.p_value for comparison in known.values()])
    return {name: replace(c, p_adjusted=p) for (name, c), p in zip(known.items(), adjusted, strict=True)}


def _summarize_variant(study: Study, index: int, name: str) -> VariantSummary:
    own = tuple(run for run in study.runs if run.variant == name)
    runs = tuple(run for run in own if run.is_done and run.fraction == study.fraction)
    described = runs[0] if runs else own[0] if own else Run({})
    reasons = described.get("symmetry", "reasons")
    planned = study.design.get("variants")
    plan = next((v for v in planned if isinstance(v, dict) and v.get("name") == name), {}) if planned else {}
    exact = described.get("symmetry", "exact") is not False
    errors = worst_errors([run.raw for run in runs])
    summary = VariantSummary(
        index=index,
        name=name,
        knob=described.text("config", "variant", "knob") or str(plan.get("knob") or ""),
        neighbor=described.text("config", "variant", "neighbor") or str(plan.get("neighbor") or ""),
        layers=described.text("symmetry", "layers"),
        effective=described.text("symmetry", "effective"),
        reasons=tuple(map(str, reasons)) if isinstance(reasons, list) else (),
        exact=exact,
        oracle=described.get("symmetry", "oracle") is True,
        runs=own,
        test=_over_seeds(runs, "test_error"),
        rotated=_over_seeds(runs, "test_error_rotated"),
        averaged=_over_seeds(runs, "test_error_tta"),
        equivariance=_equivariance(runs),
        parameters=_median(runs, "parameters"),
        seconds_per_step=_median(runs, "seconds_per_step"),
        peak_memory=_median(runs, "peak_memory_bytes"),
        to_neighbor=None,
        by_num_train=_by_num_train(own),
        details=_details(runs),
        claimed=described.text("exact_symmetry", "group") or (described.text("symmetry", "effective") if exact else ""),
        claim_errors=errors,
    )
    return _withdrawn(summary) if summary.refuted_claim else summary


def _withdrawn(summary: VariantSummary) -> VariantSummary:
    """The variant without what its ledger says of exactness, which was measured otherwise."""
    reasons = [reason for reason in summary.reasons if "exact" not in reason]
    reasons.append(f"measured otherwise: {summary.claimed} leaves an error of {summary.refuted_claim}")
    return replace(summary, reasons=tuple(reasons), exact=False)


def _over_seeds(runs: Iterable[Run], *path: str) -> Estimate | None:
    return estimate({run.seed: value for run in runs if (value := run.number(*path)) is not None})


def _details(runs: Iterable[Run]) -> dict[str, Estimate]:
    entries = [found for run in runs if isinstance(found := run.get("test_details"), dict)]
    names = dict.fromkeys(str(name) for entry in entries for name in entry)
    found = {name: _over_seeds(runs, "test_details", name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


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
    for run in runs:
        size, error = run.number("num_train"), run.number("test_error")
        if run.is_done and size is not None and error is not None:
            by_size.setdefault(size, {})[run.seed] = error
    return {size: found for size in sorted(by_size) if (found := estimate(by_size[size])) is not None}
