"""The records of a study as they count: every one that can be read, and the name and reason of each that cannot."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rapidash.methods import modern_variant
from rapidash.study._one_metric import metric_faults
from rapidash.study._printable import printable
from rapidash.study._store import RECORD_SCHEMA
from rapidash.study._valid import design_fault, record_fault
from rapidash.train import WITHOUT_EFFECT

_WORDS: Final = ("neighbor", "knob")  # parts of a variant that describe it and change no result


@dataclass(frozen=True)
class Run:
    """One record: what was run, and what came of it. ``raw`` is the record as it lies on the disk."""

    raw: Mapping[str, Any]

    def get(self, *path: str) -> Any:
        """The value under nested keys, or None where a key is missing."""
        value: Any = self.raw
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def number(self, *path: str) -> float | None:
        """The finite number under nested keys; None where it is missing, not a number, NaN or infinite."""
        value = self.get(*path)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return float(value)

    def text(self, *path: str) -> str:
        """The value under nested keys in words, and the empty string where it is missing."""
        value = self.get(*path)
        return "" if value is None else str(value)

    @property
    def variant(self) -> str:
        """Name of the variant."""
        return self.text("config", "variant", "name")

    @property
    def seed(self) -> int:
        """Seed of the run."""
        seed = self.get("config", "seed")
        return seed if isinstance(seed, int) else 0

    @property
    def fraction(self) -> float:
        """Share of the training set that was used; 1 where the record does not say."""
        fraction = self.number("config", "fraction")
        return 1.0 if fraction is None else fraction

    @property
    def is_done(self) -> bool:
        """Whether the run ended with a finite test error."""
        return self.get("status") == "done" and self.number("test_error") is not None

    @property
    def problem(self) -> str:
        """Why the run gives no number, in one line; empty for a run that does."""
        if self.is_done:
            return ""
        if self.get("status") == "done":
            return "diverged: its test error is not a finite number"
        lines = self.text("error").strip().splitlines()
        return shortened(lines[-1]) if lines else f"status {self.text('status') or 'unknown'}"

    @property
    def measurements(self) -> list[dict[str, Any]]:
        """The figures of the run, each with its name, value, unit, group, moment, view and what is better.

        Records of earlier versions have those that the task reports beside its metric.
        """
        entries = self.get("measurements")
        if entries is None:
            entries = [{"name": name, "value": value} for name, value in (self.get("test_details") or {}).items()]
        plain = {"unit": "", "group": "", "moment": "after", "view": "", "better": "", "value": None}
        named = (entry for entry in entries if entry.get("name"))
        return [plain | {key: value for key, value in entry.items() if value is not None} for entry in named]

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """Rows of the learning curve; empty where the record has none."""
        rows = self.get("history")
        return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


@dataclass(frozen=True)
class Study:
    """A study directory as read: its design, its runs in a fixed order, and what is left out of every number.

    ``unreadable`` names every file that does not count, with the reason: not JSON, a key that is not what it must be,
    another metric or unit than the other runs. ``set_aside`` holds readable runs that the design does not contain (an
    earlier setting in the same directory), and those of which a later one of the same (variant, seed, fraction) counts.
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
        """The runs as the functions of `rapidash.study` take them; one without a finite error counts as failed."""
        return [
            {
                **run.raw,
                "key": run.text("key"),
                "status": "done" if run.is_done else "failed",
                "config": {**run.raw["config"], "fraction": run.fraction},
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
    def variants(self) -> tuple[str, ...]:
        """Names of the variants: in the order of the design, then those that only records know."""
        planned = [name for name in map(_variant_name, _sequence(self.design.get("variants"))) if name]
        return tuple(dict.fromkeys([*planned, *(run.variant for run in self.runs)]))

    @property
    def missing(self) -> tuple[tuple[str, int, float], ...]:
        """Planned (variant, seed, fraction) without any record; empty where the design does not list them."""
        seeds = [int(seed) for seed in _sequence(self.design.get("seeds")) if isinstance(seed, int)]
        fractions = [float(f) for f in _sequence(self.design.get("fractions")) if isinstance(f, int | float)] or [1.0]
        planned = [name for name in map(_variant_name, _sequence(self.design.get("variants"))) if name]
        seen = {(run.variant, run.seed, run.fraction) for run in self.runs}
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
    A run counts if its variant, seed, fraction and training settings are those of the design; of several for one
    (variant, seed, fraction) the finished one, then the latest started.

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
    own = {name: run for name, run in found.items() if _belongs(run, design)}
    left_out |= _of_another_metric(own)
    kept = _newest_of_each_cell([run for name, run in own.items() if name not in left_out])
    counted = [*kept, *(run for name, run in found.items() if name in left_out)]
    set_aside = tuple(run for run in found.values() if not any(run is other for other in counted))
    study = Study(study_dir, design, kept, tuple(left_out.items()), set_aside)
    order = {name: index for index, name in enumerate(study.variants)}
    return replace(study, runs=tuple(sorted(kept, key=lambda run: (order[run.variant], -run.fraction, run.seed))))


def shortened(text: str, length: int = 300) -> str:
    """A text for one line of a report."""
    return text if len(text) <= length else f"{text[:length]}..."


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


def _belongs(run: Run, design: Mapping[str, Any]) -> bool:
    """Whether the design contains the run; what the design does not say, it allows."""
    variants = {v["name"]: v for v in _sequence(design.get("variants")) if isinstance(v, Mapping) and "name" in v}
    seeds, fractions = _sequence(design.get("seeds")), _sequence(design.get("fractions"))
    if (variants and run.variant not in variants) or (seeds and run.seed not in seeds):
        return False
    if fractions and run.fraction not in fractions:
        return False
    planned, own = _in_one_form(variants.get(run.variant, {}), run.get("config", "variant"))
    if any(own.get(key) != value for key, value in planned.items() if key not in _WORDS):
        return False
    overrides = design.get("train_overrides")
    changed = overrides.get(run.variant) if isinstance(overrides, Mapping) else None
    train = {**(design.get("train") or {}), **(changed or {})}
    if any(run.get("config", "train", key) != value for key, value in train.items() if key not in WITHOUT_EFFECT):
        return False
    options = design.get("task_options")
    return not options or run.get("config", "task_options") == options


def _in_one_form(planned: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A planned variant and that of a record as this version writes them; as they are where the plan names no model."""
    if not isinstance(planned.get("model"), Mapping):
        return planned, own
    try:
        return modern_variant(planned), modern_variant(own)
    except (KeyError, TypeError, ValueError):  # of no form that ever was: equal or not as they stand
        return planned, own


def _newest_of_each_cell(runs: list[Run]) -> tuple[Run, ...]:
    """One run per (variant, seed, fraction): a finished one before others, the latest started among equals."""
    ordered = sorted(runs, key=lambda run: (run.is_done, run.text("started")))
    newest = {(run.variant, run.seed, run.fraction): run for run in ordered}
    kept = {id(run) for run in newest.values()}
    return tuple(run for run in runs if id(run) in kept)


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _variant_name(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return str(entry.get("name") or "")
    return entry if isinstance(entry, str) else ""
