"""A race of variants on growing parts of the training data, each with equal time, judged on validation data."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from rapidash._files import atomic_write
from rapidash.advise._halving import CURVES, Round, cost_from, curve_points, rounds, survivors
from rapidash.advise._trial import Parts, Trial, plain, run_trial
from rapidash.methods import Supervised, Task, Variant, build_model, evaluate
from rapidash.study import RunConfig, last_line, with_steps
from rapidash.train import Setup, TrainConfig, find_device, step_costs

RACE: Final = "race.json"
SCHEMA: Final = 1
LEAST_STEPS: Final = 30  # of a training in the first round
_VALIDATIONS: Final = 2  # of a training
_RESERVE: Final = 0.04  # of the budget, for the page and for what takes longer than planned


class BudgetError(ValueError):
    """The time is too short for a race of any variant."""


@dataclass(frozen=True)
class Cost:
    """Seconds of a step, of a look at the validation data, and until a training begins; or why it is not raced."""

    step: float = 0.0
    validation: float = 0.0
    beginning: float = 0.0
    dropped: str = ""

    def steps_in(self, seconds: float) -> int:
        """The optimizer steps of a training that takes so long, with its validations."""
        return int((seconds - self.beginning - (_VALIDATIONS + 2) * self.validation) / self.step)

    def seconds_of(self, steps: int) -> float:
        """The time that a training of so many steps takes."""
        return self.beginning + (_VALIDATIONS + 2) * self.validation + steps * self.step


@dataclass(frozen=True)
class Planned:
    """One training of a race."""

    variant: str
    fraction: float
    seed: int
    steps: int
    purpose: str  # "round 0", ..., "data", "time", "both"


@dataclass
class RaceState:
    """What is decided already, as it stands in ``race.json``.

    Args:
        costs: by variant.
        blocks: lists of trainings that were planned together: three rounds, then the curves.
        used: seconds, of all sessions.
        notes: variants that left and why, by name.
    """

    costs: dict[str, Cost] = field(default_factory=dict)
    blocks: list[list[Planned]] = field(default_factory=list)
    used: float = 0.0
    notes: dict[str, str] = field(default_factory=dict)


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
    state: RaceState = field(default_factory=RaceState, init=False)
    _ended: dict[str, Trial] = field(default_factory=dict, init=False, repr=False)
    _clock: float = field(default=0.0, init=False, repr=False)

    def run(self) -> Raced:
        """Race.

        Raises: BudgetError where no variant can be afforded, with the minutes that the cheapest one needs; as
            `run_trial`.
        """
        self._clock = time.perf_counter()
        self.state = _read(self.folder / RACE)
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
        curves = self._curves(found[-1], plan)
        self._save()
        return Raced(tuple(found), curves, self.state.costs, self.state.notes, len(self.parts.train), self.state.used)

    # ---- costs

    def _calibrate(self) -> None:
        """Measure what a step of every variant costs; those that cannot be trained are dropped, with the reason."""
        limit = self.seconds / (20 * LEAST_STEPS)
        for name, variant in self.variants.items():
            if name in self.state.costs:
                continue
            self.say(f"what does a step of {name} cost?")
            try:
                cost = measured_cost(self.task, variant, self.train, self.parts, self.seed, limit=limit)
            except (ValueError, RuntimeError, TypeError, NotImplementedError) as error:
                cost = Cost(dropped=f"cannot be trained here: {last_line(str(error))}")
            self.state.costs[name] = cost
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
                f"left out: {LEAST_STEPS} steps of it take {costs[slowest].seconds_of(LEAST_STEPS):.2g} s, its first "
                f"training has {unit:.2g} s"
            )
        plan = rounds(1, len(self.parts.train))
        needed = costs[cheapest].seconds_of(LEAST_STEPS) * cost_from(plan, len(self.parts.train), 0)
        needed = (needed + self.state.used) / (1 - _RESERVE)
        raise BudgetError(
            f"{self.seconds / 60:.2g} minutes are too short for a race: even the cheapest variant, {cheapest}, needs "
            f"about {max(0.1, needed / 60):.2g} of them. Give more --minutes, or fewer points of each cloud"
        )

    def _left(self) -> float:
        """Seconds that may still be planned."""
        return self.seconds * (1 - _RESERVE) - self._used()

    def _used(self) -> float:
        now = time.perf_counter()
        self.state.used += now - self._clock
        self._clock = now
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
        block = plan(max(self._left(), 0.0) / (cost * self._pace()))
        self.state.blocks.append(block)
        self._save()
        return block

    def _pace(self) -> float:
        """How much longer trainings took than planned, so far; at least as long, at most four times."""
        planned = [p for block in self.state.blocks for p in block]
        done = [(p, trial) for p in planned if (trial := self._ended.get(self._config(p).key)) is not None]
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
        return max(LEAST_STEPS // 3, self.state.costs[name].steps_in(seconds))

    def _trials(self, block: Sequence[Planned], where: str) -> dict[str, tuple[Trial, ...]]:
        found: dict[str, tuple[Trial, ...]] = {}
        for place, planned in enumerate(block, start=1):
            part = "all data" if planned.fraction == 1 else f"{planned.fraction:.0%} of the data"
            self.say(f"{where}: {planned.variant}, {part}, {planned.steps} steps ({place}/{len(block)})")
            trial = run_trial(self._config(planned), self.task, self.parts, self.folder)
            self._ended[trial.key] = trial
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
        found: dict[str, dict[str, tuple[Trial, ...]]] = {name: {"data": (), "time": ()} for name in best}
        for purpose in ("data", "both", "time"):
            part = [each for each in block if each.purpose == purpose]
            for name, trials in self._trials(part, "errors against data and time").items():
                for curve in ("data", "time") if purpose == "both" else (purpose,):
                    found[name][curve] += trials
        for name in found:
            found[name]["time"] += last[name]
        return found

    def _config(self, planned: Planned) -> RunConfig:
        train = with_steps(replace(self.train, warmup_steps=0), planned.steps)
        train = replace(
            train,
            warmup_steps=planned.steps // 10,
            eval_every=-(-planned.steps // _VALIDATIONS),
            checkpoint_every=planned.steps,
        )
        options = dict(self.task_options)
        variant = self.variants[planned.variant]
        return RunConfig(self.task_name, variant, planned.seed, train, planned.fraction, options)

    def _save(self) -> None:
        self._used()
        content = {
            "schema": SCHEMA,
            "costs": {name: asdict(cost) for name, cost in self.state.costs.items()},
            "blocks": [[asdict(planned) for planned in block] for block in self.state.blocks],
            "used": self.state.used,
            "notes": self.state.notes,
        }
        atomic_write(self.folder / RACE, plain(content))


def measured_cost(
    task: Task, variant: Variant, train: TrainConfig, parts: Parts, seed: int, *, limit: float = float("inf")
) -> Cost:
    """The cost of training a variant; dropped where a step takes longer than the limit, in seconds.

    Raises: ValueError for a step that raises an error; RuntimeError and others as the model is built.
    """
    started = time.perf_counter()
    model = build_model(task, variant, seed=seed)
    building = time.perf_counter() - started
    batch = parts.train.batch(torch.arange(min(train.batch_size, len(parts.train)))).to(dtype=train.torch_dtype)
    pass_seconds = min(_one_pass(task, model.to(dtype=train.torch_dtype), batch) for _ in range(2))
    if pass_seconds > limit:
        return Cost(dropped=f"left out: a pass takes {pass_seconds:.2g} s, of which the budget has too few")
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
    step = step_costs({variant.name: (model, setup)})[0].seconds
    started = time.perf_counter()
    evaluate(model, task, parts.val, batch_size=train.batch_size, average=variant.average)
    return Cost(step, time.perf_counter() - started, building + 0.05)


def _one_pass(task: Task, model: torch.nn.Module, batch: Any) -> float:
    started = time.perf_counter()
    task.loss(model(batch), batch).backward()
    model.zero_grad(set_to_none=True)
    return time.perf_counter() - started


def _mean(trials: Sequence[Trial]) -> float:
    """The mean error of the trials that ended; infinite where none did."""
    means = [trial.mean for trial in trials if trial.errors]
    return sum(means) / len(means) if means else float("inf")


def _read(path: Path) -> RaceState:
    """Raises: ValueError for a file of another schema, or that is no race."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"{path} has schema {content['schema']!r}, this version reads {SCHEMA}: another --out")
        return RaceState(
            {name: Cost(**cost) for name, cost in content["costs"].items()},
            [[Planned(**planned) for planned in block] for block in content["blocks"]],
            content["used"],
            content["notes"],
        )
    except FileNotFoundError:
        return RaceState()
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no race ({error}): remove it, or choose another --out") from error
