"""The records of a study as one row per variant: error over seeds, difference to the neighbor, cost, symmetry."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from rapidash.study._claims import refuted, worst_errors
from rapidash.study._one_metric import of_one_metric
from rapidash.study._statistics import (
    Interval,
    PairedDifference,
    Verdict,
    false_discovery,
    mean_interval,
    paired_difference,
    ratio_interval,
    winner,
)
from rapidash.study._store import Record


@dataclass(frozen=True)
class VariantRow:
    """One variant at one data fraction. What no finished run gives is None.

    Args:
        errors: test error by seed; ``test``, ``rotated`` and ``averaged`` are its mean and interval, plain, on rotated
            test data, and with test-time averaging.
        difference, ratio: to the neighbor, over common seeds; ``p_adjusted`` among all such comparisons of the study.
        before, after: equivariance error (mean over elements and seeds) under rotations.
        seconds_per_step, peak_memory_bytes: median over seeds.
        num_failed: runs that ended with an error.
        details: figures that the task reports beside its metric, on test data, by name.
        refuted: by part of the group that the ledger claims exactly ("rotations", "reflections", "translations"), the
            largest error before and after training where it is more than rounding.
    """

    name: str
    knob: str
    neighbor: str | None
    errors: dict[int, float]
    test: Interval | None
    rotated: Interval | None
    averaged: Interval | None
    layers: str
    effective: str
    oracle: bool
    before: float | None
    after: float | None
    parameters: int | None
    seconds_per_step: float | None
    peak_memory_bytes: float | None
    num_failed: int
    difference: PairedDifference | None = None
    ratio: Interval | None = None
    p_adjusted: float | None = None
    details: dict[str, Interval] = field(default_factory=dict)
    refuted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def compare_variants(records: Sequence[Record], *, fraction: float | None = None) -> list[VariantRow]:
    """A row for each variant, in the order in which they occur.

    Args:
        records: of one study, finished and failed; those of another metric or unit than most are left out.
        fraction: share of the training set; None: the largest with a finished run.
    """
    records = of_one_metric(records)
    if fraction is None:
        fractions = [record["config"]["fraction"] for record in records if record["status"] == "done"]
        fraction = max(fractions, default=1.0)
    chosen = [record for record in records if record["config"]["fraction"] == fraction]
    names = dict.fromkeys(record["config"]["variant"]["name"] for record in chosen)
    rows = {name: _row([r for r in chosen if r["config"]["variant"]["name"] == name]) for name in names}
    compared = {name: _with_difference(row, rows.get(row.neighbor or "")) for name, row in rows.items()}
    adjusted = false_discovery([row.difference.p_value if row.difference else None for row in compared.values()])
    return [replace(row, p_adjusted=p_value) for row, p_value in zip(compared.values(), adjusted)]


def find_winner(rows: Iterable[VariantRow]) -> Verdict | None:
    """The verdict among the rows; an oracle, which sees the pose of the test data, cannot win."""
    return winner({row.name: row.errors for row in rows if not row.oracle})


def _row(records: Sequence[Record]) -> VariantRow:
    done = [record for record in records if record["status"] == "done"]
    variant = records[0]["config"]["variant"]
    symmetry = done[0].get("symmetry") or {} if done else {}
    return VariantRow(
        name=variant["name"],
        knob=variant.get("knob") or "",
        neighbor=variant.get("neighbor"),
        errors={record["config"]["seed"]: record["test_error"] for record in done},
        test=_interval(done, "test_error"),
        rotated=_interval(done, "test_error_rotated"),
        averaged=_interval(done, "test_error_tta"),
        layers=symmetry.get("layers", ""),
        effective=symmetry.get("effective", ""),
        oracle=bool(symmetry.get("oracle")),
        before=_over(_mean, (_mean_error(record, "before") for record in done)),
        after=_over(_mean, (_mean_error(record, "after") for record in done)),
        parameters=done[0].get("parameters") if done else None,
        seconds_per_step=_over(median, (record.get("seconds_per_step") for record in done)),
        peak_memory_bytes=_over(median, (record.get("peak_memory_bytes") for record in done)),
        num_failed=len(records) - len(done),
        details=_details(done),
        refuted=refuted(worst_errors(done)),
    )


def _mean_error(record: Record, moment: str) -> float | None:
    measured = (record.get("equivariance") or {}).get(moment) or {}
    return measured.get("mean")


def _with_difference(row: VariantRow, neighbor: VariantRow | None) -> VariantRow:
    if neighbor is None or not set(row.errors) & set(neighbor.errors):
        return row
    difference = paired_difference(row.errors, neighbor.errors)
    common = [neighbor.errors[seed] for seed in row.errors if seed in neighbor.errors]
    ratio = ratio_interval(row.errors, neighbor.errors) if sum(common) else None
    return replace(row, difference=difference, ratio=ratio)


def _interval(records: Sequence[Record], name: str) -> Interval | None:
    values = [record[name] for record in records if record.get(name) is not None]
    return mean_interval(values) if values else None


def _details(records: Sequence[Record]) -> dict[str, Interval]:
    names = dict.fromkeys(name for record in records for name in record.get("test_details") or {})
    found = {name: _interval([record.get("test_details") or {} for record in records], name) for name in names}
    return {name: interval for name, interval in found.items() if interval is not None}


def _over(statistic: Callable[[list[Any]], Any], values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return statistic(known) if known else None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
