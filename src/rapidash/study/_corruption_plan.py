"""The corruptions that the models of a study are tested under, as a value and as a file of the study's directory."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rapidash._files import atomic_write
from rapidash._names import unknown_name
from rapidash.data import CORRUPTIONS, MODELNET40_C, POINTCLOUD_C, CorruptionKind
from rapidash.methods import Task
from rapidash.study._printable import printable

BENCHMARKS = {"pointcloud-c": tuple(POINTCLOUD_C), "modelnet40-c": tuple(MODELNET40_C)}
DEFAULT_KINDS: tuple[CorruptionKind, ...] = ("rigid", "noise")
SCHEMA = 2  # of the files, and of the corrupted clouds: what was computed on others is computed again
_PLAN = "corruptions.json"
_WHY = {
    "deformation": "it deforms or rescales space, and the targets of {task} would not be those of the deformed clouds",
    "points": "it removes or adds points, and each point of {task} has its own part in the target",
}


@dataclass(frozen=True)
class CorruptionPlan:
    """The corruptions that the models of a study are tested under, and the variant that they are compared with.

    Args:
        names: of the corruptions.
        reference: name of the variant whose errors are the unit; empty for the first of the study.
        skipped: corruptions that were left out, with the reason.
    """

    names: tuple[str, ...]
    reference: str = ""
    skipped: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, later: "CorruptionPlan") -> "CorruptionPlan":
        """The corruptions of both, but for those that the later one skips, and its reference where it names one."""
        names = dict.fromkeys([*self.names, *later.names])
        skipped = {name: why for name, why in self.skipped.items() if name not in later.names}
        left = tuple(name for name in names if name not in later.skipped)
        return CorruptionPlan(left, later.reference or self.reference, {**skipped, **later.skipped})


def plan_corruptions(task: Task, words: Sequence[str] = (), *, reference: str = "") -> CorruptionPlan:
    """The corruptions that make sense for a task.

    A task says so by ``corruption_kinds``, the kinds of corruptions under which its targets stay true; one that does
    not is taken to hold for rigid motions, which move the targets along, and for noise of the input.

    Args:
        task: whose test data will be corrupted.
        words: names of corruptions, or of the benchmarks "pointcloud-c" and "modelnet40-c", of which those that make
            no sense are left out; none: "pointcloud-c".
        reference: see `CorruptionPlan`.
    Raises: ValueError for an unknown name, a task that is not in three dimensions, a corruption asked for by name that
        makes no sense, none that does, or a task whose test data are corrupted already.
    """
    if task.dim != 3:
        raise ValueError(f"corruptions are defined for clouds in three dimensions, {task.name} has {task.dim}")
    if (already := getattr(task, "corruption", None)) is not None:
        raise ValueError(f"the test data of {task.name} are corrupted already, by its option corruption={already!r}")
    kinds: tuple[CorruptionKind, ...] = getattr(task, "corruption_kinds", DEFAULT_KINDS)
    for word in words:
        if word not in CORRUPTIONS and word not in BENCHMARKS:
            raise ValueError(unknown_name("corruption", word, [*BENCHMARKS, *CORRUPTIONS]))
    wanted = dict.fromkeys(name for word in words or ("pointcloud-c",) for name in BENCHMARKS.get(word, (word,)))
    skipped = {
        name: _WHY.get(CORRUPTIONS[name].kind, "{task} excludes it").format(task=task.name)
        for name in wanted
        if CORRUPTIONS[name].kind not in kinds
    }
    if named := [word for word in words if word in skipped]:
        raise ValueError(f"{named[0]!r} makes no sense here: {skipped[named[0]]}. Possible: {_possible(kinds)}")
    names = tuple(name for name in wanted if name not in skipped)
    if not names:
        raise ValueError(f"none of {', '.join(wanted)} makes sense for {task.name}. Possible: {_possible(kinds)}")
    return CorruptionPlan(names, reference, skipped)


def read_plan(study_dir: Path | str) -> CorruptionPlan | None:
    """The plan of a directory, None when its models were never tested under corruptions, or the file is damaged."""
    plain = read_object(Path(study_dir) / _PLAN)
    if plain is None or not isinstance(plain.get("names"), list):
        return None
    skipped = plain.get("skipped")
    return CorruptionPlan(
        tuple(map(str, plain["names"])),
        str(plain.get("reference") or ""),
        skipped if isinstance(skipped, dict) else {},
    )


def change_reference(study_dir: Path | str, reference: str, known: Sequence[str]) -> CorruptionPlan:
    """Name another variant as the reference of a directory whose models were tested under corruptions.

    Raises: ValueError for a name that is not among the known ones, or a directory without results.
    """
    if reference not in known:
        raise ValueError(unknown_name("reference variant", reference, known))
    plan = read_plan(study_dir)
    if plan is None:
        raise ValueError(f"{study_dir} has no results under corruptions: run rapidash study TASK --corruptions first")
    return save_plan(study_dir, replace(plan, reference=reference))


def save_plan(study_dir: Path | str, plan: CorruptionPlan) -> CorruptionPlan:
    """Write a plan into a directory, added to the one that is there; what it holds now."""
    before = read_plan(study_dir)
    plan = plan if before is None else before + plan
    write_object(Path(study_dir) / _PLAN, asdict(plan))
    return plan


def write_object(path: Path, plain: Mapping[str, Any]) -> None:
    """A JSON object with the schema of these files, whole or not at all."""
    text = json.dumps({"schema": SCHEMA, **plain}, indent=1, allow_nan=False, ensure_ascii=False)
    atomic_write(path, text + "\n")


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where it is absent or damaged: what it held is computed again."""
    try:
        plain = printable(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return plain if isinstance(plain, dict) and plain.get("schema") == SCHEMA else None


def _possible(kinds: Sequence[CorruptionKind]) -> str:
    return ", ".join(name for name, entry in CORRUPTIONS.items() if entry.kind in kinds)
