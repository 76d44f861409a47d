"""The trial of the rule: in every cell the advice, and a full study of all variants that says which was the best."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from rapidash._files import atomic_write
from rapidash.advise._advise import advise
from rapidash.advise._candidates import candidates
from rapidash.advise._cells import Cell, cells_of
from rapidash.advise._halving import cost_from, rounds
from rapidash.advise._outcomes import (
    ADVICE,
    AUGMENT,
    FLOWCHART,
    FULL,
    INVARIANT,
    RACE,
    Outcome,
    changes_of_ratios,
    fitted,
    flowchart,
    named_by,
    policy_variant,
    scores,
    wilson,
)
from rapidash.advise._race import Raced, measured_costs, read_raced
from rapidash.advise._rule import RULE, Rule
from rapidash.advise._saved import read_saved, record
from rapidash.advise._trial import FAILURES, Parts, plain, remove_checkpoints, trained_errors, why_failed
from rapidash.methods import Task
from rapidash.study import RunConfig, StudyDesign, load_plugins, with_steps
from rapidash.tasks import get_task

OUTCOME: Final = "outcome.json"
STEPS: Final = "steps.json"
SCHEMA: Final = 1
_SEEDS: Final = (2, 3)  # those of the race are 0 and 1: a variant should not win by a seed's luck twice
_OVERHEAD: Final = 60.0  # seconds of an advice that are not those of its trainings
_LEAST_STEPS: Final = 20

Say = Callable[[str], None]


def try_out(half: str, folder: Path | str, *, seconds: float = 8.0, say: Say = lambda text: None) -> list[Outcome]:
    """Run the cells of a half that have no outcome yet; the same call continues.

    In every cell the advice has as much time as its race needs for last trainings of so many seconds, and then all
    variants are trained on all data for as long, over two seeds, and tested. Of the planted cells only those in which
    the advice does not name the planted group are studied. Seconds are of the processor, so that what else the machine
    does changes nothing.

    Args:
        half: "fit", "try" or "planted".
        folder: of all cells.
        seconds: of a training.
        say: told what is being run.
    Raises: ValueError for seconds of 0 or fewer; FileNotFoundError for data that are not there; as
        `rapidash.advise.advise` and `rapidash.study.run_study`.
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be above 0 and finite, got {seconds}")
    load_plugins()
    found = []
    cells = cells_of(half)  # type: ignore[arg-type]
    for place, cell in enumerate(cells, start=1):
        outcome = read_outcome(Path(folder) / cell.name)
        if outcome is None:
            say(f"cell {place} of {len(cells)}: {cell.name}")
            outcome = run_cell(cell, Path(folder) / cell.name, seconds=seconds, say=say)
        found.append(outcome)
    return found


def run_cell(cell: Cell, folder: Path, *, seconds: float, say: Say = lambda text: None) -> Outcome:
    """The advice and, where it is needed, the study of all variants of a cell, written to ``outcome.json``."""
    design = cell.study()
    num_train = len(get_task(design.task, **design.task_options).dataset("train"))
    num = len(candidates(design.variants))
    minutes = (seconds / 2 * cost_from(rounds(num, num_train), num_train, 0) + _OVERHEAD) / 60
    advice = advise(design, folder / "advice", minutes=minutes, say=say, clock=time.process_time)
    says = {found.key: found.says for found in advice.findings}
    outcome = Outcome(
        cell.name,
        cell.data,
        cell.half,
        symmetry={row.name: row.symmetry for row in advice.rows},
        group={row.name: row.group for row in advice.rows},
        says=says,
        truth=cell.truth,
        seconds=advice.seconds,
        choices={ADVICE: advice.variant},
    )
    if not cell.truth or advice[advice.variant].group != cell.truth:
        axis = next((f.axis for f in advice.findings if f.key == "vertical" and f.says == "yes"), None)
        full = full_study(design, axis, folder, seconds=seconds, say=say)
        outcome = with_study(outcome, full, read_raced(folder / "advice"))
    atomic_write(folder / OUTCOME, plain({"schema": SCHEMA, **asdict(outcome)}))
    return outcome


@dataclass(frozen=True)
class Studied:
    """One training on all data: its mean errors on validation and test data, or why it failed."""

    variant: str
    seed: int
    val_error: float = math.nan
    test_error: float = math.nan
    error: str = ""


def full_study(
    design: StudyDesign, axis: str | None, folder: Path, *, seconds: float, say: Say = lambda text: None
) -> list[Studied]:
    """All variants, each trained for as long on all data over two seeds that no race had, and tested.

    Raises: ValueError where no variant can be trained; OSError, StoreError or CheckpointError for a folder that cannot
        be written.
    """
    task = get_task(design.task, **design.task_options)
    variants = {variant.name: variant for variant in candidates(design.variants, axis=axis)}
    parts = Parts.of(task, 0)
    train = replace(design.train, threads=design.train.threads or 1)
    path = folder / STEPS
    if not path.is_file():
        costs = measured_costs(task, variants, train, parts, 0, clock=time.process_time)
        known = {name: max(_LEAST_STEPS, int(seconds / cost.step)) for name, cost in costs.items() if not cost.dropped}
        if not known:
            raise ValueError(f"no variant of {design.task} can be trained: " + next(iter(costs.values())).dropped)
        atomic_write(path, plain({"steps": known}))
    steps = read_saved(path, "file of steps", _steps, schema=None)
    configs = [
        RunConfig(design.task, variants[name], seed, with_steps(train, steps[name]), 1.0, dict(design.task_options))
        for seed in _SEEDS
        for name in steps
    ]
    found = []
    for place, config in enumerate(configs, start=1):
        say(f"study: {config.variant.name}, {config.train.steps} steps ({place}/{len(configs)})")
        found.append(_studied(config, task, parts, folder / "study"))
    return found


def _steps(entries: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): int(steps) for name, steps in entries["steps"].items()}


def _studied(config: RunConfig, task: Task, parts: Parts, folder: Path) -> Studied:
    """One training of the study, read from its file or made."""
    path = folder / f"{config.key}.json"
    if path.is_file():
        return read_saved(path, "training of a study", partial(record, Studied), schema=None)
    work = folder / "work" / config.key
    name, seed = config.variant.name, config.seed
    try:
        judged = (parts.val, task.dataset("test"))
        val, test = trained_errors(config, task, parts.train, parts.val, judged, work).errors
        found = Studied(name, seed, sum(val) / len(val), sum(test) / len(test))
    except FAILURES as error:
        found = Studied(name, seed, error=why_failed(error))
    content = {key: value for key, value in asdict(found).items() if value == value}  # without figures of a failed one
    atomic_write(path, plain(content))
    remove_checkpoints(work)
    return found


def with_study(outcome: Outcome, studied: Sequence[Studied], raced: Raced) -> Outcome:
    """The outcome with the test errors of a study, and the variant of every policy.

    Raises: ValueError for a study without a finished run.
    """
    errors: dict[str, list[float]] = {}
    validation: dict[str, list[float]] = {}
    for run in studied:
        if not run.error:
            errors.setdefault(run.variant, []).append(run.test_error)
            validation.setdefault(run.variant, []).append(run.val_error)
    if not errors:
        raise ValueError(f"no run of the study of {outcome.cell} ended: {studied[0].error if studied else 'none'}")
    means = {name: sum(values) / len(values) for name, values in validation.items()}
    found = replace(outcome, errors=errors, validation=means)
    names = list(errors)
    plain_race = Rule(0.0, "never", RULE.transfer, RULE.fitted_on)
    choices = dict(outcome.choices)
    choices |= {RACE: named_by(plain_race, raced, found), FULL: min(means, key=lambda name: means[name])}
    choices |= {INVARIANT: policy_variant(names, INVARIANT), AUGMENT: policy_variant(names, AUGMENT)}
    return replace(found, choices={**choices, FLOWCHART: flowchart(names, outcome.says)})


def read_outcome(folder: Path) -> Outcome | None:
    """The outcome of a cell; None where it has not ended.

    Raises: ValueError for a file of another schema.
    """
    path = folder / OUTCOME
    if not path.is_file():
        return None
    return read_saved(path, "outcome of a cell", partial(record, Outcome), schema=SCHEMA)


def trial_text(outcomes: Sequence[Outcome], folder: Path | str, *, half: str) -> str:
    """The result of a half in words: a table of policies, or of the planted cells how often the advice was right."""
    if half == "planted":
        return planted_text(outcomes)
    pairs = []
    if half == "fit":  # they were run before the rule was chosen: what it names in them
        pairs = [(outcome, read_raced(Path(folder) / outcome.cell / "advice")) for outcome in outcomes]
        pairs = [
            (replace(outcome, choices={**outcome.choices, ADVICE: named_by(RULE, raced, outcome)}), raced)
            for outcome, raced in pairs
        ]
        outcomes = [outcome for outcome, _ in pairs]
    lines = [
        f"{len(outcomes)} cells, {len({outcome.data for outcome in outcomes})} data sets; rule: {_in_short(RULE)}",
        "",
    ]
    lines.append(f"{'policy':<28}  {'right':<22}  mean regret")
    for score in scores(outcomes):
        share = f"{score.right[0]:.2f} [{score.right[1]:.2f}, {score.right[2]:.2f}]"
        cost = f"{score.regret[0]:.3f} [{score.regret[1]:.3f}, {score.regret[2]:.3f}]"
        lines.append(f"{score.policy:<28}  {share:<22}  {cost}")
    lines.append("")
    for outcome in outcomes:
        best = min(outcome.errors, key=outcome.regret)
        named = outcome.choices[ADVICE]
        told = "right" if outcome.is_right(named) else f"regret {outcome.regret(named):.2f}"
        lines.append(f"{outcome.cell}: named {named}, best {best} ({told}), {outcome.seconds:.0f} s")
    if half == "fit":
        lines += ["", "rules by mean regret on these cells, the best first:"]
        for rule, regret, right in fitted(pairs)[:8]:
            lines.append(f"{_in_short(rule)}: regret {regret:.4f}, right {right:.2f}")
        lines += [
            "",
            "change of the logarithm of a ratio to the finalists, from a variant's last round to the study:",
        ]
        for missed, (change, num) in changes_of_ratios(pairs).items():
            lines.append(f"rounds missed: {missed}, change {change:.2f} ({num} variants)")
    return "\n".join(lines)


def _against_best(outcome: Outcome, named: str) -> str:
    best = min(outcome.errors, key=outcome.regret)
    own, least = (sum(outcome.errors[name]) / len(outcome.errors[name]) for name in (named, best))
    return f"test error {own:.3g} against {least:.3g} of {best}"


def _in_short(rule: Rule) -> str:
    return "the least error" if rule.prefers == "never" else f"prefers symmetry: {rule.prefers}, ties {rule.ties:g}"


def planted_text(outcomes: Sequence[Outcome]) -> str:
    """How often the advice names the planted group, or a variant that is as good as the best."""
    lines, right, exact = [], 0, 0
    for outcome in outcomes:
        named = outcome.choices[ADVICE]
        names_it = outcome.group[named] == outcome.truth
        as_good = names_it or outcome.is_right(named)
        right, exact = right + as_good, exact + names_it
        how = (
            "the planted group"
            if names_it
            else f"as good as the best, {_against_best(outcome, named)}"
            if as_good
            else f"regret {outcome.regret(named):.2f}, {_against_best(outcome, named)}"
        )
        lines.append(f"{outcome.cell}: named {named} ({outcome.group[named]}), truth {outcome.truth}: {how}")
    low, high = wilson(right, len(outcomes))
    lines.append(f"the planted group in {exact} of {len(outcomes)}, it or a variant as good as the best:")
    lines.append(f"right in {right} of {len(outcomes)}: {right / len(outcomes):.2f} [{low:.2f}, {high:.2f}]")
    return "\n".join(lines)
