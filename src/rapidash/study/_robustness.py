"""Errors under corruptions over seeds, relative to a reference variant: the mean corruption error of every variant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypeGuard

from rapidash.data import relative_errors
from rapidash.study._corruption_plan import CorruptionPlan, read_plan
from rapidash.study._corruption_runs import read_results
from rapidash.study._one_metric import of_one_metric
from rapidash.study._valid import LARGEST

Severities = tuple[float, ...]


@dataclass(frozen=True)
class RobustnessRow:
    """One variant under corruptions.

    Args:
        clean: test error without corruption by seed.
        errors: by corruption and seed, the test error at the severities 1 to 5.
        ce: by corruption and seed, the error over all severities divided by that of the reference with the same seed;
            without the seeds that the reference lacks, or for which its error is 0.
        mce: by seed, the mean of ``ce`` over the corruptions; without the seeds for which one is missing.
    """

    name: str
    clean: Mapping[int, float]
    errors: Mapping[str, Mapping[int, Severities]]
    ce: Mapping[str, Mapping[int, float]]
    mce: Mapping[int, float]

    @property
    def corrupted(self) -> dict[int, float]:
        """By seed, the mean error over corruptions and severities."""
        return {seed: fmean(fmean(rows[seed]) for rows in self.errors.values()) for seed in self.clean}

    def curve(self, corruption: str | None = None) -> dict[int, Severities]:
        """By seed, the error at the severities 0 (clean) to 5 of one corruption, or the mean over all of them."""
        chosen = self.errors.values() if corruption is None else [self.errors[corruption]]
        return {
            seed: (clean, *(fmean(level) for level in zip(*(rows[seed] for rows in chosen), strict=True)))
            for seed, clean in self.clean.items()
        }


@dataclass(frozen=True)
class Robustness:
    """All variants of a study under corruptions, at one data fraction.

    Args:
        reference: the variant whose errors are the unit; without a run of it there are no relative errors.
        corruptions: every model was tested under all of them.
        skipped: corruptions that make no sense for the task, with the reason.
        rows: a row for each variant with a result, in the order of the records.
        num_untested: finished runs that lack a result, or whose errors are not finite: they are in no number.
    """

    reference: str
    corruptions: tuple[str, ...]
    skipped: Mapping[str, str]
    rows: tuple[RobustnessRow, ...]
    num_untested: int


def read_robustness(study_dir: Path | str, records: Sequence[Mapping[str, Any]]) -> Robustness | None:
    """The errors of the runs of a directory under corruptions; None where they were never tested.

    Args:
        study_dir: directory of the study.
        records: of the study; the finished ones at the largest data fraction count, but for those of another metric or
            unit than most. The first one's variant is the reference where none was named.
    """
    plan = read_plan(study_dir)
    done = [record for record in of_one_metric(records) if record["status"] == "done"]
    if plan is None or not done:
        return None
    largest = max(record["config"]["fraction"] for record in done)
    chosen = [record for record in done if record["config"]["fraction"] == largest]
    return compare_robustness(
        chosen, plan, {record["key"]: read_results(study_dir, record["key"]) for record in chosen}
    )


def compare_robustness(
    records: Sequence[Mapping[str, Any]],
    plan: CorruptionPlan,
    results: Mapping[str, Mapping[str, Sequence[float | None]]],
) -> Robustness:
    """The errors of every variant, and relative to those of the reference variant, paired by seed.

    Args:
        records: of finished runs at one data fraction.
        plan: the corruptions and the reference.
        results: by key of a run and corruption, the error at every severity.
    """
    names = list(dict.fromkeys(record["config"]["variant"]["name"] for record in records))
    reference = plan.reference or names[0]
    tested: dict[str, dict[int, tuple[float, dict[str, Severities]]]] = {name: {} for name in names}
    untested = 0
    for record in records:
        errors = _complete(results.get(record["key"], {}), plan.names)
        if errors is None:
            untested += 1
        else:
            config = record["config"]
            tested[config["variant"]["name"]][config["seed"]] = (float(record["test_error"]), errors)
    unit = {seed: errors for seed, (_, errors) in tested.get(reference, {}).items()}
    rows = tuple(_row(name, runs, unit, plan.names) for name, runs in tested.items() if runs)
    return Robustness(reference, plan.names, plan.skipped, rows, untested)


def _complete(errors: Mapping[str, Sequence[float | None]], names: Sequence[str]) -> dict[str, Severities] | None:
    """The errors under all corruptions; None where one is missing, negative or not finite."""
    found = {name: tuple(value for value in errors.get(name, ()) if _is_error(value)) for name in names}
    whole = all(name in errors and len(found[name]) == len(errors[name]) for name in names)
    return found if whole else None


def _is_error(value: float | None) -> TypeGuard[float]:
    return value is not None and 0 <= value < LARGEST


def _row(
    name: str,
    runs: Mapping[int, tuple[float, Mapping[str, Severities]]],
    unit: Mapping[int, Mapping[str, Severities]],
    corruptions: Sequence[str],
) -> RobustnessRow:
    relative = {seed: relative_errors(errors, unit[seed]) for seed, (_, errors) in runs.items() if seed in unit}
    ce = {
        corruption: {seed: value for seed, by_name in relative.items() if _is_error(value := by_name[corruption])}
        for corruption in corruptions
    }
    whole = [seed for seed in relative if all(seed in by_seed for by_seed in ce.values())]
    return RobustnessRow(
        name,
        clean={seed: clean for seed, (clean, _) in runs.items()},
        errors={
            corruption: {seed: errors[corruption] for seed, (_, errors) in runs.items()} for corruption in corruptions
        },
        ce=ce,
        mce={seed: fmean(by_seed[seed] for by_seed in ce.values()) for seed in whole},
    )
