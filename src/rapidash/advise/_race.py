"""A race of variants on growing parts of the training data, each with equal time, judged on validation data."""

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from rapidash.advise._halving import CURVES, ROUNDS, Round, cost_from, curve_points, rounds, survivors
from rapidash.advise._numbers import duration, number
from rapidash.advise._race_state import RACE, VALIDATIONS, Cost, Planned, RaceState, read_state, write_state
from rapidash.advise._trial import Clock, Parts, Trial, read_trial, run_trial
from rapidash.methods import Supervised, Task, Variant, build_model, evaluate
from rapidash.study import RunConfig, last_line, with_steps
from rapidash.train import Setup, TrainConfig, find_device, step_costs

LEAST_STEPS: Final = 30  # of a training in the first round
_BEGINNING: Final = 0.1  # seconds, for the files of a training
_RESERVE: Final = 0.04  # of the budget, for the page and for what takes longer than planned


class BudgetError(ValueError):
    """The time is too short for a race of any variant."""


@dataclass(frozen=True)
class Raced:
    """The result of a race.

    Args:
        rounds: the trials of each round, by variant.
        curves: the trials that show how errors fall, by variant and purpose.
        costs: by variant.
        notes: by name of every variant that is not in the last round, when and why it left.
        num_train: clouds of all the data.
        seconds: used.
    """

    rounds: tuple[Mapping[str, tuple[Trial, ...]], ...]
    curves: Mapping[str, Mapping[str, tuple[Trial, ...]]]
    costs: Mapping[str, Cost]
    notes: Mapping[str, str]
    num_train: int
    seconds: float

    @property
    def finalists(self) -> tuple[str, ...]:
        """The variants of the last round."""
        return tuple(self.rounds[-1])


@dataclass
class Race:
    """A race in a folder, which continues where it stopped.

    Args:
        task_name, task_options, task: the task.
        variants: by name.
        train: settings of the training; steps are of the race.
        parts: training and validation data.
        folder: of its files.
        seconds: of the budget that are left for it, of all sessions.
        seed: of the first training of a variant.
        say: told what is being asked.
        clock: by which the time is measured.
        gone: seconds of the budget that reading and asking the data took before.
    """

    task_name: str
    task_options: Mapping[str, Any]
    task: Task
    variants: Mapping[str, Variant]
    train: TrainConfig
    parts: Parts
    folder: Path
    seconds: float
    seed: int = 0
    say: Callable[[str], None] = lambda text: None
    clock: Clock = time.perf_counter
    gone: float = 0.0
    state: RaceState = field(default_factory=RaceState, init=False)
    _ended: dict[str, Trial] = field(default_factory=dict, init=False, repr=False)
    _seen: float = field(default=0.0, init=False, repr=False)

    def run(self) -> Raced:
        """Race.

        Raises: BudgetError where no variant can be afforded, with the minutes that the cheapest one needs; as
            `run_trial`.
        """
        self._seen = self.clock()
        self.state = read_state(self.folder)
        planned = {each.variant for block in self.state.blocks for each in block}
        if unknown := sorted(planned - self.variants.keys()):
            raise ValueError(
                f"{self.folder / RACE} plans trainings of {unknown[0]!r}, which is none of the variants now: choose "
                "another --out"
            )
        with _quick_collections():
            return self._run()

    def _run(self) -> Raced:
        self._calibrate()
        found: list[dict[str, tuple[Trial, ...]]] = []
        names = self._affordable()
        plan = rounds(len(names), len(self.parts.train))
        for index, each in enumerate(plan):
            if index:
                names = self._next(found[-1], each, index)
            block = self._block(index, partial(self._planned_round, each, tuple(names), index), plan)
            found.append(self._trials(block, f"round {index + 1} of {len(plan)}"))
            names = [name for name in names if name in found[-1]]
        if all(_mean(trials) == math.inf for trials in found[-1].values()):
            raise ValueError("every training of the last round failed: " + next(iter(found[-1].values()))[0].error)
        curves = self._curves(found[-1], plan)
        self._save()
        return Raced(tuple(found), curves, self.state.costs, self.state.notes, len(self.parts.train), self.state.used)

    # ---- costs

    def _calibrate(self) -> None:
        """Measure what a step of every variant costs; those that cannot be trained are dropped, with the reason."""
        unknown = {name: variant for name, variant in self.variants.items() if name not in self.state.costs}
        if unknown:
            self.say(f"what does a step cost? {len(unknown)} variants, in turns")
            limit = self.seconds / (40 * LEAST_STEPS)
            self.state.costs |= measured_costs(
                self.task, unknown, self.train, self.parts, self.seed, limit=limit, clock=self.clock
            )
            self._save()

    def _affordable(self) -> list[str]:
        """The variants that can take enough steps in the first round; the slowest leave first, with the reason."""
        costs = self.state.costs
        names = [name for name in self.variants if not costs[name].dropped]
        for name in self.variants:
            if costs[name].dropped:
                self.state.notes[name] = costs[name].dropped
        if self.state.blocks:
            return list(dict.fromkeys(planned.variant for planned in self.state.blocks[0]))
        if not names:
            raise ValueError("no variant can be trained: " + "; ".join(f"{n}: {c.dropped}" for n, c in costs.items()))
        left = self._left()
        cheapest = min(names, key=lambda name: costs[name].seconds_of(LEAST_STEPS))
        while names:
            unit = left / cost_from(rounds(len(names), len(self.parts.train)), len(self.parts.train), 0)
            slowest = max(names, key=lambda name: costs[name].seconds_of(LEAST_STEPS))
            if costs[slowest].steps_in(unit) >= LEAST_STEPS:
                return names
            names.remove(slowest)
            self.state.notes[slowest] = (
                f"left out: {LEAST_STEPS} steps of it take {duration(costs[slowest].seconds_of(LEAST_STEPS))}, its "
                f"first training has {duration(max(unit, 0.0))}"
            )
        plan = rounds(1, len(self.parts.train))
        needed = costs[cheapest].seconds_of(LEAST_STEPS) * cost_from(plan, len(self.parts.train), 0)
        needed = (needed + self.state.used) / (1 - _RESERVE)
        asked = self.gone + self.seconds
        enough = math.ceil(10 * max(1.2 * (self.gone + needed), asked) / 60) / 10  # a fifth more, for costs vary
        raise BudgetError(
            f"{number(asked / 60)} minutes are too short for a race: reading and asking the data took "
            f"{duration(self.gone)}, and even the cheapest variant, {cheapest}, needs about {duration(needed)} after "
            f"it. Give --minutes {enough:g} for it alone, several times that to compare variants, or fewer points of "
            "each cloud"
        )

    def _left(self) -> float:
        """Seconds that may still be planned."""
        return self.seconds * (1 - _RESERVE) - self._used()

    def _used(self) -> float:
        now = self.clock()
        self.state.used += now - self._seen
        self._seen = now
        return self.state.used

    # ---- rounds

    def _next(self, before: Mapping[str, tuple[Trial, ...]], each: Round, index: int) -> list[str]:
        """The variants that enter a round; of those that leave it is noted when."""
        errors = [(name, _mean(trials)) for name, trials in before.items()]
        failed = {name: trials for name, trials in before.items() if not any(trial.errors for trial in trials)}
        names = [name for name in survivors(errors, each.entering) if name not in failed]
        if not names:
            raise ValueError("every training of the race failed; the first: " + next(iter(failed.values()))[0].error)
        for place, (name, _) in enumerate(sorted(errors, key=lambda pair: pair[1]), start=1):
            if name in failed:
                self.state.notes[name] = f"failed in round {index}: {failed[name][0].error}"
            elif name not in names:
                self.state.notes[name] = f"left after round {index}, at place {place} of {len(errors)}"
        return names

    def _block(self, index: int, plan: Callable[[float], list[Planned]], rest: Sequence[Round]) -> list[Planned]:
        """The trainings of a block: as planned before, or planned now with the time that is left."""
        if index < len(self.state.blocks):
            return self.state.blocks[index]
        num = len(self.parts.train)
        cost = cost_from(rest, num, index) if index < len(rest) else cost_from(rest, num, len(rest))
        block = [
            replace(each, key=self._config(each).key) for each in plan(max(self._left(), 0.0) / (cost * self._pace()))
        ]
        self.state.blocks.append(block)
        self._save()
        return block

    def _pace(self) -> float:
        """How many times as long as planned trainings took so far, from 0.8 to 4; 1 before the first."""
        planned = [p for block in self.state.blocks for p in block]
        done = [(p, trial) for p in planned if (trial := self._ended.get(p.key)) is not None]
        if not done:
            return 1.0
        took = sum(trial.seconds for _, trial in done)
        return min(4.0, max(0.8, took / sum(self.state.costs[p.variant].seconds_of(p.steps) for p, _ in done)))

    def _planned_round(self, each: Round, names: Sequence[str], index: int, unit: float) -> list[Planned]:
        return [
            Planned(name, each.fraction, self.seed + seed, self._steps(name, unit * each.length), f"round {index}")
            for seed in range(each.seeds)
            for name in names
        ]

    def _steps(self, name: str, seconds: float) -> int:
        return max(1, LEAST_STEPS // 3, self.state.costs[name].steps_in(seconds))

    def _trials(self, block: Sequence[Planned], where: str) -> dict[str, tuple[Trial, ...]]:
        found: dict[str, tuple[Trial, ...]] = {}
        for place, planned in enumerate(block, start=1):
            part = "all data" if planned.fraction == 1 else f"{planned.fraction:.0%} of the data"
            self.say(f"{where}: {planned.variant}, {part}, {planned.steps} steps ({place}/{len(block)})")
            trial = run_trial(self._config(planned), planned.key, self.task, self.parts, self.folder, self.clock)
            self._ended[planned.key] = trial
            found[planned.variant] = (*found.get(planned.variant, ()), trial)
            self._used()
            self._save()
        return found

    def _curves(
        self, last: Mapping[str, tuple[Trial, ...]], plan: Sequence[Round]
    ) -> dict[str, dict[str, tuple[Trial, ...]]]:
        """The trials of the best variants against data and time; the time curve ends with those of the last round."""
        best = survivors([(name, _mean(trials)) for name, trials in last.items()], CURVES)
        points = curve_points(len(self.parts.train))

        def planned(unit: float) -> list[Planned]:
            longest = {name: trials[0].steps for name, trials in last.items()}
            return [
                Planned(
                    name, p.fraction, self.seed, max(1, round(longest[name] * p.length / plan[-1].length)), p.purpose
                )
                for p in points
                for name in best
            ]

        block = self._block(len(plan), planned, plan)
        self.say("how do errors fall with data and with time?")
        self._trials(block, "errors against data and time")
        return _as_curves(block, self._ended, last)

    def _config(self, planned: Planned) -> RunConfig:
        train = with_steps(replace(self.train, warmup_steps=0), planned.steps)
        train = replace(
            train,
            warmup_steps=planned.steps // 10,
            eval_every=-(-planned.steps // VALIDATIONS),
            checkpoint_every=planned.steps,
        )
        options = dict(self.task_options)
        variant = self.variants[planned.variant]
        return RunConfig(self.task_name, variant, planned.seed, train, planned.fraction, options)

    def _save(self) -> None:
        self._used()
        write_state(self.state, self.folder)


def _as_curves(
    block: Sequence[Planned], trials: Mapping[str, Trial], last: Mapping[str, tuple[Trial, ...]]
) -> dict[str, dict[str, tuple[Trial, ...]]]:
    """By variant and quantity, the trials of its curve; that of time ends with those of the last round."""
    found: dict[str, dict[str, tuple[Trial, ...]]] = {}
    for planned in block:
        curves = found.setdefault(planned.variant, {"data": (), "time": ()})
        for curve in ("data", "time") if planned.purpose == "both" else (planned.purpose,):
            curves[curve] += (trials[planned.key],)
    for name, curves in found.items():
        curves["time"] += last[name]
    return found


def read_raced(folder: Path | str) -> Raced:
    """The result of a race that has ended, from the files of its folder.

    Raises: FileNotFoundError for a race that has not ended; ValueError for files that are none of a race.
    """
    folder = Path(folder)
    state = read_state(folder)
    trials: dict[str, Trial] = {}
    for planned in (each for block in state.blocks for each in block):
        trial = read_trial(folder / "trials" / f"{planned.key}.json")
        if trial is not None:
            trials[planned.key] = trial
    expected = {planned.key for block in state.blocks for planned in block}
    if len(state.blocks) <= ROUNDS or expected - trials.keys():
        raise FileNotFoundError(f"the race in {folder} has not ended: the same command continues it")
    found: list[dict[str, tuple[Trial, ...]]] = []
    for block in state.blocks[:ROUNDS]:
        of_round: dict[str, tuple[Trial, ...]] = {}
        for planned in block:
            of_round[planned.variant] = (*of_round.get(planned.variant, ()), trials[planned.key])
        found.append(of_round)
    curves = _as_curves(state.blocks[ROUNDS], trials, found[-1])
    num_train = max(trial.num_train for trial in trials.values())
    return Raced(tuple(found), curves, state.costs, state.notes, num_train, state.used)


def measured_costs(
    task: Task,
    variants: Mapping[str, Variant],
    train: TrainConfig,
    parts: Parts,
    seed: int,
    *,
    limit: float = float("inf"),
    clock: Clock = time.perf_counter,
) -> dict[str, Cost]:
    """By variant, the cost of its training, steps of all measured in turns: what slows the machine slows all of them.

    One that raises an error, or whose pass takes longer than the limit in seconds, is dropped, with the reason; the
    fastest one is measured in any case.
    """
    found: dict[str, Cost] = {}
    prepared: dict[str, tuple[tuple[torch.nn.Module, Setup], float, float, float]] = {}
    for name, variant in variants.items():
        try:
            prepared[name] = _prepared(task, variant, train, parts, seed, clock)
        except (ValueError, RuntimeError, TypeError, NotImplementedError) as error:
            found[name] = Cost(dropped=f"cannot be trained here: {last_line(str(error))}")
    fastest = min((seconds for _, seconds, _, _ in prepared.values()), default=limit)
    limit = max(limit, fastest)
    trainings: dict[str, tuple[torch.nn.Module, Setup]] = {}
    beginnings: dict[str, tuple[float, float]] = {}
    for name, (training, seconds, building, looking) in prepared.items():
        if seconds > limit:
            found[name] = Cost(dropped=f"left out: a pass takes {seconds:.2g} s, the time allows for too few")
            continue
        trainings[name], beginnings[name] = training, (building, looking)
    while trainings:
        try:
            costs = step_costs(trainings, clock=clock)
        except ValueError as error:  # of a step of one of them, which is named
            name = next((name for name in trainings if f"a step of {name} cannot" in str(error)), "")
            if not name:
                raise
            found[name] = Cost(dropped=f"cannot be trained here: {last_line(str(error))}")
            del trainings[name]
            continue
        for name, cost in zip(trainings, costs, strict=True):
            building, looking = beginnings[name]
            found[name] = Cost(cost.seconds, looking, building)
        break
    return {name: found[name] for name in variants}


def _prepared(
    task: Task, variant: Variant, train: TrainConfig, parts: Parts, seed: int, clock: Clock
) -> tuple[tuple[torch.nn.Module, Setup], float, float, float]:
    """A training that can begin, and seconds: of a pass of its model, until it begins, of a look at validation."""
    started = clock()
    model = build_model(task, variant, seed=seed).to(dtype=train.torch_dtype)
    building = clock() - started
    batch = parts.train.batch(torch.arange(min(train.batch_size, len(parts.train)))).to(dtype=train.torch_dtype)
    seconds = min(_one_pass(task, model, batch, clock) for _ in range(2))
    started = clock()
    few = parts.val.subset(torch.arange(min(len(parts.val), 2 * train.batch_size)))
    evaluate(model, task, few, batch_size=train.batch_size, average=variant.average)
    looking = (clock() - started) * len(parts.val) / len(few)
    setup = Setup(
        task,
        variant.objective or Supervised(),
        variant.methods,
        train,
        parts.train,
        parts.val,
        seed,
        find_device(train.device),
        variant.primary_view,
    )
    return (model, setup), seconds, building + _BEGINNING, looking


def _one_pass(task: Task, model: torch.nn.Module, batch: Any, clock: Clock) -> float:
    started = clock()
    task.loss(model(batch), batch).backward()
    model.zero_grad(set_to_none=True)
    return clock() - started


@contextmanager
def _quick_collections() -> Iterator[None]:
    """Within the block, garbage collections do not look at what is there already: every training begins with one."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _mean(trials: Sequence[Trial]) -> float:
    """The mean error of the trials that ended; infinite where none did."""
    means = [trial.mean for trial in trials if trial.errors]
    return sum(means) / len(means) if means else float("inf")
