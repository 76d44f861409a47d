"""Studies whose variants have the same time, or operations, for their training: how many steps each may take."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rapidash._files import atomic_write
from rapidash._plain import is_of, to_plain
from rapidash.methods import Supervised
from rapidash.study._build import fresh_model
from rapidash.study._data import training_subset
from rapidash.study._design import StudyDesign
from rapidash.study._environment import device_name
from rapidash.study._level import row_name
from rapidash.study._plugins import load_plugins
from rapidash.study._run_config import RunConfig
from rapidash.study._steps import SCALED, with_steps
from rapidash.study._store import Store, StoreError, difference
from rapidash.tasks import get_task
from rapidash.train import WITHOUT_EFFECT, Setup, StepCost, find_device, step_costs

BUDGET = "budget.json"
_ROUNDING = 1e-12  # relative: 43 steps of 0.1 s are as long as 43 steps of 0.1 s
Measure = Callable[[Sequence[RunConfig]], list[StepCost]]


def budgeted_runs(design: StudyDesign, directory: Path, *, measure: Measure | None = None) -> list[RunConfig]:
    """The runs of a design, each with as many steps as fit into the budget of the first variant at its level.

    What a step of each variant costs is measured once and written to ``budget.json`` in the directory of the study,
    with the settings that it was measured with; from then on the steps are read there, so that a study goes on with the
    runs that it began with. Rows that it does not have yet are measured together with the first variant, on whose cost
    they are based: the order in which a study grows decides no number of steps.

    Args:
        design: with ``equal`` "time" or "flops".
        directory: of the study.
        measure: the costs of the steps of some runs; None: `measured_costs`.
    Raises: StoreError for a file that is no budget, or that of another study (whose first variant is another one, say,
        or has other steps), or that cannot be written; what the training of a variant raises; ValueError for a warm-up
        that a factor or an override sets and that is longer than the training.
    """
    runs = design.runs()
    first: dict[str, RunConfig] = {}
    for run in (*design.budget_runs(), *runs):
        first.setdefault(_row(run), run)
    store = Store(directory)
    while True:
        known = _read(directory / BUDGET, design, first)
        if first.keys() <= known.keys():
            break
        with store.claim("budget") as is_mine:  # another process may be measuring
            if is_mine and not first.keys() <= (known := _read(directory / BUDGET, design, first)).keys():
                known |= _measured(design, first, known, measure or measured_costs)
                _write(directory / BUDGET, design, known)
        if not is_mine:
            time.sleep(1.0)
    return [_with_budget(design, run, known[_row(run)]["steps"]) for run in runs]


def _row(run: RunConfig) -> str:
    """The name of a run's row, whatever the order of the factors."""
    return row_name(run.variant.name, dict(sorted(run.level.items())))


def _settings(run: RunConfig) -> dict[str, Any]:
    """The settings that the cost of a step and the number of steps depend on, as they stand in the file."""
    plain = to_plain(run, for_key=True)
    variant = {name: value for name, value in plain["variant"].items() if name not in ("neighbor", "knob")}
    train = {name: value for name, value in plain["train"].items() if name not in WITHOUT_EFFECT}
    return {"task": plain["task"], "task_options": plain["task_options"], "train": train, "variant": variant}


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
    for budget in design.budget_runs():
        missing = [name for name, run in first.items() if run.level == budget.level and name not in known]
        if not missing:
            continue
        names = list(dict.fromkeys([_row(budget), *missing]))
        costs = dict(zip(names, measure([first[name] for name in names]), strict=True))
        reference = costs[_row(budget)]
        if design.equal == "flops":
            _check_counted(costs)
        for name in missing:
            found[name] = {
                "steps": fitting_steps(design.equal, budget.train.steps, reference, costs[name]),
                "seconds_per_step": costs[name].seconds,
                "flops_per_step": costs[name].flops,
                "first_variant": {"seconds_per_step": reference.seconds, "flops_per_step": reference.flops},
                "settings": _settings(first[name]),
            }
    return found


def _check_counted(costs: Mapping[str, StepCost]) -> None:
    """Raises: ValueError for a step whose operations are not known."""
    for name, cost in costs.items():
        if cost.flops is None:
            why = (
                f"has some without a count, {', '.join(cost.uncounted) or 'unnamed'} (convolutions have none where a "
                "gradient by the positions is trained, or a kernel is missing)"
            )
        elif cost.flops == 0:
            why = "has none that are counted"
        else:
            continue
        raise ValueError(f"equal='flops' needs the operations of every step, but that of {name!r} {why}: use 'time'")


def fitting_steps(equal: str, steps: int, reference: StepCost, own: StepCost) -> int:
    """As many steps of one's own as cost no more than the steps of the reference, but for rounding; at least one."""
    if equal == "flops":
        assert reference.flops
        assert own.flops
        return max(1, steps * reference.flops // own.flops)
    return max(1, int(steps * (reference.seconds / own.seconds) * (1 + _ROUNDING)))


def _read(path: Path, design: StudyDesign, first: Mapping[str, RunConfig]) -> dict[str, dict[str, Any]]:
    """The rows of a budget; empty where there is none yet.

    Raises: StoreError for a file that is no budget, or not that of the design.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error}): choose another output directory") from error
    except (ValueError, RecursionError) as error:  # not JSON, not even text, or a million brackets
        raise StoreError(f"{path} is no budget ({error}): remove it, and costs are measured again") from error
    if fault := _fault(plain):
        raise StoreError(f"{path} is no budget ({fault}): remove it, and costs are measured again")
    rows: dict[str, dict[str, Any]] = plain["rows"]
    found = {"equal": plain["equal"], "first variant": plain["first_variant"]}
    found |= {name: rows[name]["settings"] for name in first if name in rows}
    wanted = {"equal": design.equal, "first variant": design.budget_runs()[0].variant.name}
    wanted |= {name: json.loads(json.dumps(_settings(run))) for name, run in first.items()}
    for what, value in found.items():
        if value != wanted[what]:
            raise StoreError(
                f"{path} is the budget of another study: {difference(what, value, wanted[what])}. "
                "Choose another output directory, or the settings of that study"
            )
    return rows


def _fault(plain: Any) -> str:
    """The first fault of a budget as read, in words; empty for one that is whole."""
    if not isinstance(plain, dict) or not {"equal", "first_variant", "rows"} <= plain.keys():
        return "expected an object with equal, first_variant and rows"
    if not isinstance(plain["rows"], dict):
        return f"rows: expected an object, found a {type(plain['rows']).__name__}"
    for name, row in plain["rows"].items():
        if not isinstance(row, dict) or not isinstance(row.get("settings"), dict):
            return f"row {name!r}: expected an object with steps and settings"
        steps: Any = row.get("steps")
        if not is_of(steps, int) or steps < 1:
            return f"steps of {name!r}: expected a whole number of at least 1, found {steps!r}"
    return ""


def _write(path: Path, design: StudyDesign, rows: Mapping[str, Any]) -> None:
    plain = {
        "schema": 1,
        "equal": design.equal,
        "device": device_name(design.train.device),
        "first_variant": design.budget_runs()[0].variant.name,
        "rows": rows,
    }
    try:
        atomic_write(path, json.dumps(plain, indent=1, allow_nan=False, ensure_ascii=True) + "\n")
    except OSError as error:
        raise StoreError(f"could not write {path}: {error}. Check the output directory") from error
