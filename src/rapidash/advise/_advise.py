"""From a study's task to advice: diagnosis, race, recommendation, and the files that are left."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch

from rapidash._files import atomic_write
from rapidash._plain import content_key, to_plain
from rapidash.advise._advice import SCHEMA, Advice, plain_values
from rapidash.advise._candidates import candidates
from rapidash.advise._diagnosis import FEWEST, diagnose
from rapidash.advise._finding import Finding
from rapidash.advise._gain import Estimate
from rapidash.advise._race import Race
from rapidash.advise._recommend import recommend
from rapidash.advise._rule import RULE, Rule
from rapidash.advise._settings import as_yaml
from rapidash.advise._target import Target, find_target
from rapidash.advise._trial import Clock, Parts, plain
from rapidash.methods import Task, Variant
from rapidash.study import StudyDesign, load_plugins, shortened
from rapidash.tasks import get_task

ADVICE: Final = "advice.json"
SETTINGS: Final = "train.yaml"
DIAGNOSIS: Final = "diagnosis.json"
QUESTION: Final = "question.json"
FEWEST_TO_JUDGE: Final = 8  # validation clouds
_MOST_ASKED: Final = 500  # clouds that are diagnosed
_FEWEST_ASKED: Final = 150
_ASKED_PER_MINUTE: Final = 30
_LEAST_MINUTES: Final = 0.1

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
    Raises: ValueError for a task without clouds, too few of them to say anything, a budget below one training of the
        cheapest variant (`BudgetError`), or a folder with another question; FileNotFoundError and DataError as the data
        are read.
    """
    started = clock()
    folder = Path(folder)
    load_plugins()
    task = get_task(design.task, **design.task_options)
    if not minutes >= _LEAST_MINUTES:
        raise ValueError(f"minutes must be at least {_LEAST_MINUTES}, got {minutes}")
    say(f"reading the training and validation clouds of {design.task}")
    parts = Parts.of(task, seed)
    _check_sizes(parts)
    _open(folder, design, minutes, seed)
    first = candidates(design.variants)[0]
    cautions = class_cautions(find_target(task, first, parts.train)[1])
    findings, words = _findings(task, first, parts, folder, minutes, seed, say)
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
        60 * minutes - (clock() - started),
        seed,
        say,
        clock,
    )
    raced = race.run()
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
    )
    atomic_write(folder / ADVICE, plain(advice.to_dict()))
    comment = f"rapidash advise: {advice.headline}\nrapidash train --config {folder / SETTINGS}"
    atomic_write(folder / SETTINGS, as_yaml(advice.settings, comment))
    return advice


def _check_sizes(parts: Parts) -> None:
    if len(parts.train) < FEWEST or len(parts.val) < FEWEST_TO_JUDGE:
        raise ValueError(
            f"{len(parts.train)} training and {len(parts.val)} validation clouds are too few for any statement: at "
            f"least {FEWEST} and {FEWEST_TO_JUDGE} are needed. Of own files about {3 * FEWEST} clouds give both"
        )


def _open(folder: Path, design: StudyDesign, minutes: float, seed: int) -> None:
    """Write the question, or check that the folder holds the same.

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
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not what advise writes ({error}): choose another --out") from error
        differing = [name for name in question if known.get(name) != question[name]]
        if differing:
            name = differing[0]
            raise ValueError(
                f"{folder} holds the answer to another question: {name} was {shortened(repr(known.get(name)))} and is "
                f"{shortened(repr(question[name]))}. Choose another --out, or ask the same"
            )
        return
    atomic_write(path, plain(question))


def _findings(
    task: Task, variant: Variant, parts: Parts, folder: Path, minutes: float, seed: int, say: Say
) -> tuple[tuple[Finding, ...], str]:
    """The diagnosis, read where it was made already, and the target in words."""
    most = int(min(_MOST_ASKED, max(_FEWEST_ASKED, _ASKED_PER_MINUTE * minutes)))
    chosen = torch.randperm(len(parts.train), generator=torch.Generator().manual_seed(seed))[:most]
    asked = parts.train.subset(chosen.sort().values)
    given, target = find_target(task, variant, asked)
    words = task.metric if target is None else target.words
    if target is not None and target.name == "target" and isinstance(named := getattr(task, "target", None), str):
        words = words.replace("target", named or "class")  # as the user's files, or the data set, call it
    path = folder / DIAGNOSIS
    if path.is_file():
        return tuple(_finding(entry) for entry in json.loads(path.read_text(encoding="utf-8"))["findings"]), words
    found = diagnose(given, target, seed=seed, say=say)
    atomic_write(path, plain({"schema": SCHEMA, "findings": plain_values([asdict(entry) for entry in found])}))
    return found, words


def _finding(entry: Mapping[str, Any]) -> Finding:
    estimates = {name: entry[name] and Estimate(**entry[name]) for name in ("value", "without", "planted")}
    return Finding(**{**entry, **estimates})


def class_cautions(target: Target | None) -> list[str]:
    """A sentence on classes that are seen once.

    Raises: ValueError where that is at least half of the classes.
    """
    if target is None or target.label is None:
        return []
    counts = torch.bincount(target.label)
    once, every = int((counts == 1).sum()), int((counts > 0).sum())
    if once == 0:
        return []
    if 2 * once >= every:
        raise ValueError(
            f"{once} of {every} classes are seen once in the training part: nothing can be learned of them, and no "
            "race tells variants apart. Give at least a few clouds of each class, or join classes"
        )
    them = "it" if once == 1 else "them"
    return [f"{once} of {every} classes {'is' if once == 1 else 'are'} seen once: nothing is said about {them}."]
