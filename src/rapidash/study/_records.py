"""The records of a study as they count: every one that can be read, and the name and reason of each that cannot."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from rapidash.study._belongs import belongs, factors_of, level_of, sequence
from rapidash.study._level import Level, grid, row_name
from rapidash.study._one_metric import metric_faults
from rapidash.study._printable import printable
from rapidash.study._recorded_run import Run
from rapidash.study._store import RECORD_SCHEMA
from rapidash.study._valid import design_fault, record_fault


class Row(NamedTuple):
    """One row of a table: a variant at a level of the factors beside seed and fraction."""

    variant: str
    level: Level

    @property
    def name(self) -> str:
        """The variant with its level in words."""
        return row_name(*self)


@dataclass(frozen=True)
class Study:
    """A study directory as read: its design, its runs in a fixed order, and what is left out of every number.

    ``unreadable`` names every file that does not count, with the reason: not JSON, a key that is not what it must be,
    another metric or unit than the other runs. ``set_aside`` holds readable runs that the design does not contain (an
    earlier setting in the same directory), and those of which a later one of the same (row, seed, fraction) counts.
    """

    directory: Path
    design: Mapping[str, Any]
    runs: tuple[Run, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    set_aside: tuple[Run, ...] = ()

    @property
    def done(self) -> tuple[Run, ...]:
        """The runs with a finite test error."""
        return tuple(run for run in self.runs if run.is_done)

    @property
    def records(self) -> list[dict[str, Any]]:
        """The runs as the functions of `rapidash.study` take them; one without a finite error counts as failed.

        The name of a variant is that of the row: a variant at two levels is two.
        """
        return [
            {
                **run.raw,
                "key": run.text("key"),
                "status": "done" if run.is_done else "failed",
                "config": {
                    **run.raw["config"],
                    "variant": {**run.raw["config"]["variant"], "name": run.row},
                    "fraction": run.fraction,
                },
            }
            for run in self.runs
        ]

    @property
    def fraction(self) -> float:
        """The data fraction that the main comparison uses: the largest one with a finished run."""
        return max((run.fraction for run in self.done), default=1.0)

    @property
    def fractions(self) -> tuple[float, ...]:
        """All data fractions with a finished run, ascending."""
        return tuple(sorted({run.fraction for run in self.done}))

    @property
    def rows(self) -> tuple[Row, ...]:
        """The variants at every level: in the order of the design, then those that only records know."""
        names = [name for name in map(_variant_name, sequence(self.design.get("variants"))) if name]
        planned = [Row(name, level) for level in grid(factors_of(self.design)) for name in names]
        found = [Row(run.variant, run.level) for run in self.runs]
        return tuple({row.name: row for row in (*planned, *found)}.values())

    @property
    def missing(self) -> tuple[tuple[str, int, float], ...]:
        """Planned (row, seed, fraction) without any record; empty where the design does not list them."""
        seeds = [int(seed) for seed in sequence(self.design.get("seeds")) if isinstance(seed, int)]
        fractions = [float(f) for f in sequence(self.design.get("fractions")) if isinstance(f, int | float)] or [1.0]
        names = [name for name in map(_variant_name, sequence(self.design.get("variants"))) if name]
        planned = [row_name(name, level) for level in grid(factors_of(self.design)) for name in names]
        seen = {(run.row, run.seed, run.fraction) for run in self.runs}
        wanted = ((name, seed, fraction) for fraction in fractions for name in planned for seed in seeds)
        return tuple(cell for cell in wanted if cell not in seen)

    @property
    def task(self) -> str:
        """Name of the task."""
        names = [self.design.get("task"), *(run.text("config", "task") for run in self.runs), self.design.get("name")]
        return next((str(name) for name in names if name), self.directory.name)

    def first_text(self, *path: str) -> str:
        """The first non-empty value under nested keys among the runs, in words."""
        return next((text for run in self.runs if (text := run.text(*path))), "")


def read_study(study_dir: Path) -> Study:
    """Read ``study.json`` and ``records/*.json`` of a study directory, in sorted order.

    A file that is truncated, not JSON, of another schema, or with a key of another type than it must have, is named in
    ``Study.unreadable`` and never read as a run; so is a run whose metric or unit is not that of most others.
    A run counts if its variant, seed, fraction, level and training settings are those of the design; of several for one
    (row, seed, fraction) the finished one, then the latest started.

    Raises: FileNotFoundError if the directory is missing or has neither ``study.json`` nor ``records/``.
    """
    study_dir = Path(study_dir)
    records = study_dir / "records"
    if not (study_dir / "study.json").is_file() and not records.is_dir():
        raise FileNotFoundError(
            f"{study_dir} is not a study directory: expected study.json or a folder records/ in it. "
            "Give the directory that `rapidash study` printed, e.g. runs/nbody"
        )
    design: Mapping[str, Any] = {}
    left_out: dict[str, str] = {}
    found: dict[str, Run] = {}
    for path in [study_dir / "study.json", *sorted(records.glob("*.json"))]:
        name = path.relative_to(study_dir).as_posix()
        if not path.is_file():
            continue
        try:
            content = _read_object(path)
            if path.parent == study_dir:
                design = _checked_design(content)
            else:
                found[name] = _checked_run(content)
        except (OSError, ValueError) as error:
            left_out[name] = str(error)
    return _assembled(study_dir, design, found, left_out)


def study_of(records: Iterable[Mapping[str, Any]], design: Mapping[str, Any] | None = None) -> Study:
    """The same of records at hand, as if each lay in ``records/KEY.json``."""
    left_out: dict[str, str] = {}
    found: dict[str, Run] = {}
    for index, record in enumerate(records):
        name = f"records/{record.get('key', index)}.json"
        name = f"{name}, {index + 1}. record" if name in found else name
        try:
            found[name] = _checked_run(printable(dict(record)))
        except ValueError as error:
            left_out[name] = str(error)
    return _assembled(Path(), design or {}, found, left_out)


def _assembled(study_dir: Path, design: Mapping[str, Any], found: Mapping[str, Run], left_out: dict[str, str]) -> Study:
    said = (name for run in found.values() for name in run.get("config", "level") or {})
    factors = dict.fromkeys([*factors_of(design), *said])
    found = {name: replace(run, level=level_of(run, factors)) for name, run in found.items()}
    own = {name: run for name, run in found.items() if belongs(run, design)}
    left_out |= _of_another_metric(own)
    kept = _newest_of_each_cell([run for name, run in own.items() if name not in left_out])
    counted = [*kept, *(run for name, run in found.items() if name in left_out)]
    set_aside = tuple(run for run in found.values() if not any(run is other for other in counted))
    study = Study(study_dir, design, kept, tuple(left_out.items()), set_aside)
    order = {row.name: index for index, row in enumerate(study.rows)}
    return replace(study, runs=tuple(sorted(kept, key=lambda run: (order[run.row], -run.fraction, run.seed))))


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"not a complete JSON file ({error})") from error
    except RecursionError as error:
        raise ValueError("lists or objects are nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, got {type(content).__name__}")
    shown: dict[str, Any] = printable(content)
    return shown


def _checked_run(content: Mapping[str, Any]) -> Run:
    if content.get("schema") != RECORD_SCHEMA:
        raise ValueError(f"record schema {content.get('schema')!r}, this version reads schema {RECORD_SCHEMA}")
    if fault := record_fault(content):
        raise ValueError(fault)
    return Run(content)


def _checked_design(content: Mapping[str, Any]) -> Mapping[str, Any]:
    if fault := design_fault(content):
        raise ValueError(fault)
    return content


def _of_another_metric(runs: Mapping[str, Run]) -> dict[str, str]:
    """The files whose errors cannot be averaged with the others, with the reason."""
    faults = metric_faults([run.raw for run in runs.values()])
    return {name: fault for name, fault in zip(runs, faults, strict=True) if fault}


def _newest_of_each_cell(runs: list[Run]) -> tuple[Run, ...]:
    """One run per (row, seed, fraction): a finished one before others, the latest started among equals."""
    ordered = sorted(runs, key=lambda run: (run.is_done, run.text("started")))
    newest = {(run.row, run.seed, run.fraction): run for run in ordered}
    kept = {id(run) for run in newest.values()}
    return tuple(run for run in runs if id(run) in kept)


def _variant_name(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return str(entry.get("name") or "")
    return entry if isinstance(entry, str) else ""
