"""Studies whose variants have the same time, or operations, for their training: how many steps each may take."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rapidash._files import atomic_write
from rapidash.methods import Supervised
from rapidash.study._build import fresh_model
from rapidash.study._data import training_subset
from rapidash.study._design import StudyDesign
from rapidash.study._environment import device_name
from rapidash.study._level import row_name
from rapidash.study._plugins import load_plugins
from rapidash.study._run_config import RunConfig
from rapidash.study._steps import SCALED, with_steps
from rapidash.study._store import Store, StoreError
from rapidash.tasks import get_task
from rapidash.train import Setup, StepCost, find_device, step_costs

BUDGET = "budget.json"
Measure = Callable[[Sequence[RunConfig]], list[StepCost]]


def budgeted_runs(design: StudyDesign, directory: Path, *, measure: Measure | None = None) -> list[RunConfig]:
    """The runs of a design, each with as many steps as fit into the budget of the first variant at its level.

    What a step of each variant costs is measured once and written to ``budget.json`` in the directory of the study;
    from then on the steps are read there, so that a study goes on with the runs that it began with. Rows that it does
    not have yet are measured together with the first variant, on whose cost they are based.

    Args:
        design: with ``equal`` "time" or "flops".
        directory: of the study.
        measure: the costs of the steps of some runs; None: `measured_costs`.
    Raises: StoreError for a file that is no budget, or that cannot be written; what the training of a variant raises; ValueError for
        a warm-up that a factor or an override sets and that is longer than the training.
    """
    runs = design.runs()
    first = {row_name(run.variant.name, run.level): run for run in reversed(runs)}
    store = Store(directory)
    while True:
        known = _read(directory / BUDGET, design.equal)
        if first.keys() <= known.keys():
            break
        with store.claim("budget") as is_mine:  # another process may be measuring
            if is_mine and not first.keys() <= (known := _read(directory / BUDGET, design.equal)).keys():
                known |= _measured(design, first, known, measure or measured_costs)
                _write(directory / BUDGET, design, known)
        if not is_mine:
            time.sleep(1.0)
    return [_with_budget(design, run, known[row_name(run.variant.name, run.level)]["steps"]) for run in runs]


def _with_budget(design: StudyDesign, run: RunConfig, steps: int) -> RunConfig:
    """A run of that many steps; what a factor or the override of its variant sets is not scaled with them."""
    own = design.train_overrides.get(run.variant.name, {})
    fixed = [name for name in SCALED if name in own or f"train.{name}" in design.factors]
    try:
        return replace(run, train=with_steps(run.train, steps, fixed=fixed))
    except ValueError as error:
        raise ValueError(f"{run.label} has {steps} steps by equal={design.equal!r}: {error}") from error


def measured_costs(runs: Sequence[RunConfig]) -> list[StepCost]:
    """The costs of the first steps of some runs, on the same samples as far as their data are the same."""
    load_plugins()
    trainings = {}
    for run in runs:
        task, variant = get_task(run.task, **run.task_options), run.variant
        setup = Setup(
            task,
            variant.objective or Supervised(),
            variant.methods,
            run.train,
            training_subset(task.dataset("train"), run.fraction, run.seed),
            task.dataset("val"),
            run.seed,
            find_device(run.train.device),
            variant.primary_view,
        )
        trainings[run.label] = fresh_model(task, run), setup
    return step_costs(trainings)


def _measured(
    design: StudyDesign, first: Mapping[str, RunConfig], known: Mapping[str, Any], measure: Measure
) -> dict[str, dict[str, Any]]:
    """The rows that are not known yet, level by level, with the first variant of the level."""
    found: dict[str, dict[str, Any]] = {}
    levels = {row_name("", run.level): run.level for run in first.values()}
    for level in levels.values():
        names = [row_name(variant.name, level) for variant in design.variants]
        missing = [name for name in names if name not in known]
        if not missing:
            continue
        needed = list(dict.fromkeys([names[0], *missing]))
        costs = dict(zip(needed, measure([first[name] for name in needed]), strict=True))
        reference, steps = costs[names[0]], first[names[0]].train.steps
        if names[0] in known:  # in a study that grows it may be another than the first one of then
            steps = known[names[0]]["steps"]
        for name in missing:
            fitting = steps if name == names[0] else fitting_steps(design.equal, steps, reference, costs[name])
            found[name] = {
                "steps": fitting,
                "seconds_per_step": costs[name].seconds,
                "flops_per_step": costs[name].flops,
                "first_variant": {"seconds_per_step": reference.seconds, "flops_per_step": reference.flops},
            }
    return found


def fitting_steps(equal: str, steps: int, reference: StepCost, own: StepCost) -> int:
    """As many steps of one's own as cost no more than the steps of the reference; at least one."""
    if equal == "flops":
        if not (reference.flops and own.flops):
            raise ValueError("equal='flops': the steps of a variant have no operations that are counted; use 'time'")
        return max(1, steps * reference.flops // own.flops)
    return max(1, int(steps * reference.seconds / own.seconds))


def _read(path: Path, equal: str) -> dict[str, dict[str, Any]]:
    """The rows of a budget; empty where there is none yet."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        rows = plain["rows"]
        steps = [row["steps"] for row in rows.values()]
        right = plain["equal"] == equal and all(isinstance(number, int) and number > 0 for number in steps)
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} is no budget ({error!r}): remove it, and costs are measured again") from error
    if not right:
        raise StoreError(f"{path} is no budget of equal {equal}: choose another output directory")
    return dict(rows)


def _write(path: Path, design: StudyDesign, rows: Mapping[str, Any]) -> None:
    plain = {"schema": 1, "equal": design.equal, "device": device_name(design.train.device), "rows": rows}
    try:
        atomic_write(path, json.dumps(plain, indent=1, allow_nan=False, ensure_ascii=True) + "\n")
    except OSError as error:
        raise StoreError(f"could not write {path}: {error}. Check the output directory") from error
