"""From a study's task to advice: diagnosis, race, recommendation, and the files that are left."""

import math
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, get_args

import torch

from rapidash._files import atomic_write
from rapidash._plain import content_key, to_plain
from rapidash.advise._advice import SCHEMA, Advice, plain_values
from rapidash.advise._candidates import candidates
from rapidash.advise._checks import (
    check_clouds,
    check_finite,
    check_sizes,
    class_cautions,
    constant_error,
    copy_cautions,
)
from rapidash.advise._diagnosis import diagnose, num_asked
from rapidash.advise._finding import Finding, Says
from rapidash.advise._gain import Estimate
from rapidash.advise._race import Race
from rapidash.advise._race_state import RACE, has_begun
from rapidash.advise._recommend import recommend
from rapidash.advise._rule import RULE, Rule
from rapidash.advise._saved import read_saved, record
from rapidash.advise._settings import as_yaml
from rapidash.advise._target import find_target, with_fields
from rapidash.advise._trial import Clock, Parts, plain
from rapidash.generate import DenoisingTask
from rapidash.methods import Task, Variant
from rapidash.study import StudyDesign, load_plugins, shortened
from rapidash.tasks import get_task

ADVICE: Final = "advice.json"
SETTINGS: Final = "train.yaml"
DIAGNOSIS: Final = "diagnosis.json"
QUESTION: Final = "question.json"
_LEAST_MINUTES: Final = 0.1
_QUESTIONS: Final = 0.25
"""Share of the minutes after which no further question is put to the clouds: the race needs the rest."""
_SEEDS: Final = 2**63  # of torch and NumPy

Say = Callable[[str], None]


def advise(
    design: StudyDesign,
    folder: Path | str,
    *,
    minutes: float,
    seed: int = 0,
    rule: Rule = RULE,
    say: Say = lambda text: None,
    clock: Clock = time.perf_counter,
) -> Advice:
    """Advice on which variant of a study's network to train, from a diagnosis of its training data and a race.

    The same call continues an interrupted one: finished trainings are files in the folder and are not repeated. The
    test part of the task is never read.

    Args:
        design: of the task; its variants are raced, and those that `rapidash.advise.candidates` adds.
        folder: for ``advice.json``, ``train.yaml`` and everything that the race leaves.
        minutes: for all of it.
        seed: of every draw.
        rule: by which a variant is named.
        say: told what is being asked.
        clock: by which the minutes are measured: `time.process_time` where what else the machine does should not count.
    Raises: ValueError for a wrong time or seed, a task that generates or has no clouds, too few of them to say
        anything, a budget below one training of the cheapest variant (`BudgetError`), or a folder with another question
        or a damaged file; FileNotFoundError and DataError as the data are read.
    """
    started = clock()
    folder = Path(folder)
    load_plugins()
    task = get_task(design.task, **design.task_options)
    if not _LEAST_MINUTES <= minutes < math.inf:
        raise ValueError(f"minutes must be at least {_LEAST_MINUTES} and finite, got {minutes}")
    if not 0 <= seed < _SEEDS:
        raise ValueError(f"seed must be from 0 to 2^63 - 1, got {seed}")
    if isinstance(task, DenoisingTask):
        raise ValueError(
            f"{design.task} generates clouds, and its denoising loss says little about samples: advice is about "
            f"predictions, and rapidash study {design.task} compares the samples of variants"
        )
    say(f"reading the training and validation clouds of {design.task}")
    parts = Parts.of(task, seed)
    check_sizes(parts)
    first = candidates(design.variants)[0]
    given, target = find_target(task, first, parts.train)
    check_finite(parts, [*given.tensors, *([] if target is None else [target.name])])
    check_clouds(given, target, parts.train)
    cautions = [*class_cautions(target), *copy_cautions(given, with_fields(parts.val, given.tensors))]
    _open(folder, design, minutes, seed)
    findings, words = _findings(task, first, parts, folder, minutes, seed, say, clock)
    gone = clock() - started
    axis = next((found.axis for found in findings if found.key == "vertical" and found.says == "yes"), None)
    variants = {variant.name: variant for variant in candidates(design.variants, axis=axis)}
    race = Race(
        design.task,
        design.task_options,
        task,
        variants,
        replace(design.train, threads=design.train.threads or 1),  # as costs are measured
        parts,
        folder,
        60 * minutes - gone,
        seed,
        say,
        clock,
        gone,
    )
    raced = race.run()
    raced = replace(raced, seconds=raced.seconds + gone)  # those of earlier calls for reading and asking are not known
    advice = recommend(
        raced,
        findings,
        design=design,
        task=task,
        variants=variants,
        parts=parts,
        target=words,
        minutes=minutes,
        seed=seed,
        rule=rule,
        cautions=cautions,
        constant=constant_error(task, target, parts),
    )
    atomic_write(folder / ADVICE, plain(advice.to_dict()))
    comment = f"rapidash advise: {advice.headline}\nrapidash train --config {shlex.quote(str(folder / SETTINGS))}"
    atomic_write(folder / SETTINGS, as_yaml(advice.settings, comment))
    return advice


def _open(folder: Path, design: StudyDesign, minutes: float, seed: int) -> None:
    """Write the question, or check that the folder holds the same; before any training other minutes are allowed.

    Raises: ValueError naming what differs.
    """
    question = {
        "schema": SCHEMA,
        "task": design.task,
        "task_options": to_plain(design.task_options),
        "minutes": float(minutes),
        "seed": seed,
        "train": to_plain(design.train, for_key=True),  # without fields that came later
        "variants": content_key(to_plain([replace(v, neighbor=None, knob="") for v in design.variants], for_key=True)),
    }
    path = folder / QUESTION
    if path.is_file():
        known = read_saved(
            path, "question of rapidash advise", dict[str, Any], schema=None, mend="choose another --out"
        )
        differing = [name for name in question if known.get(name) != question[name]]
        if differing == ["minutes"] and not has_begun(folder):
            (folder / RACE).unlink(missing_ok=True)  # costs that were measured for another time
            atomic_write(path, plain(question))
            return
        if differing:
            name = differing[0]
            raise ValueError(
                f"{folder} holds the answer to another question: {name} was {shortened(repr(known.get(name)))} and is "
                f"{shortened(repr(question[name]))}. Choose another --out, or ask the same"
            )
        return
    atomic_write(path, plain(question))


def _findings(
    task: Task, variant: Variant, parts: Parts, folder: Path, minutes: float, seed: int, say: Say, clock: Clock
) -> tuple[tuple[Finding, ...], str]:
    """The diagnosis, read where it was made already, and the target in words."""
    num = num_asked(len(parts.train), minutes)
    chosen = torch.randperm(len(parts.train), generator=torch.Generator().manual_seed(seed))[:num]
    asked = parts.train.subset(chosen.sort().values)
    given, target = find_target(task, variant, asked)
    words = task.metric if target is None else target.words
    if target is not None and target.name == "target" and isinstance(named := getattr(task, "target", None), str):
        words = words.replace("target", named or "class")  # as the user's files, or the data set, call it
    path = folder / DIAGNOSIS
    if path.is_file():
        return read_saved(path, "diagnosis", _read_findings, schema=SCHEMA), words
    found = diagnose(given, target, seed=seed, say=say, seconds=_QUESTIONS * 60 * minutes, clock=clock)
    atomic_write(path, plain({"schema": SCHEMA, "findings": plain_values([asdict(entry) for entry in found])}))
    return found, words


def _read_findings(entries: Mapping[str, Any]) -> tuple[Finding, ...]:
    return tuple(_finding(entry) for entry in entries["findings"])


def _finding(entry: Mapping[str, Any]) -> Finding:
    """Raises: ValueError for an entry that is none of a finding, or another answer than there are."""
    given: dict[str, Any] = {name: _estimate(entry[name]) for name in ("value", "without", "planted")}
    found = record(Finding, {**entry, **dict.fromkeys(given)})
    if found.says not in get_args(Says):
        raise ValueError(f"says must be one of {get_args(Says)}, got {found.says!r}")
    return replace(found, **given)


def _estimate(entry: Mapping[str, float | None] | None) -> Estimate | None:
    """An estimate as it was written, in which null stands for a number that JSON cannot hold."""
    if entry is None:
        return None
    return record(Estimate, {name: math.nan if value is None else value for name, value in entry.items()})
