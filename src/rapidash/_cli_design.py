"""The study that the words of a command line ask for: of a task, or of a user's files."""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from rapidash._cli_options import DEFAULT_TASK
from rapidash._cli_own import OWN_TASK, OwnFiles, design_of_options, taken_own_files
from rapidash._cli_settings import SettingsError, read_settings
from rapidash._cli_usage import UsageError
from rapidash._names import unknown_name
from rapidash.registry import DESIGNS
from rapidash.study import StudyDesign, get_design, load_plugins


class Early(NamedTuple):
    """The task, the setting and the variant, on which the defaults of the parser depend, and the words left for it."""

    task: str
    full: bool
    variant: str | Mapping[str, Any] | None
    words: list[str]
    task_options: Mapping[str, Any]


def early_words(words: list[str]) -> Early:
    """The task, the setting and the variant: later options and config files win, as in the parser.

    Raises: UsageError for an unknown task, two different ones, or a file of settings that cannot be one.
    """
    first, rest = (words[0], words[1:]) if words and not words[0].startswith("-") else (None, words)
    found: dict[str, Any] = {}
    for index, word in enumerate(rest):
        name, equals, value = word.partition("=")
        following = value if equals else next(iter(rest[index + 1 : index + 2]), None)
        if name == "--config" and following is not None:
            try:
                values = read_settings(following)
            except SettingsError as error:
                raise UsageError(f"--config: {error}") from error
            found |= {key: entry for key, entry in values.items() if key in ("task", "variant", "full", "task_options")}
        elif name in ("--task", "--variant") and following is not None:
            known = found.get(name.removeprefix("--"))
            if not (isinstance(known, dict) and known.get("name") == following):  # the one of the settings, by its name
                found[name.removeprefix("--")] = following
        elif name == "--full":
            found["full"] = True
    task = first or found.get("task") or DEFAULT_TASK
    load_plugins()
    task_options = found.get("task_options")
    if task == OWN_TASK and first is None and not isinstance(task_options, dict):
        raise UsageError("the task own-data needs files: rapidash study FILES --target NAME")
    if task not in DESIGNS and task != OWN_TASK:
        raise UsageError(f"{unknown_name('task', task, DESIGNS)}; files of yours have a suffix, or a folder exists")
    if found.get("task") not in (None, task):
        raise UsageError(f"the task is {task!r} on the command line and {found['task']!r} in the settings")
    options = task_options if isinstance(task_options, dict) else {}
    return Early(task, bool(found.get("full")), found.get("variant"), rest, options)


def check_early(options: Any, **expected: object) -> None:
    """Raises: UsageError where the parser found other values: the design, and all defaults, would be of others."""
    for name, value in expected.items():
        if getattr(options, name) != value:
            raise UsageError(f"{name} is {getattr(options, name)!r} in the settings and was taken for {value!r}")


def own_files(words: list[str]) -> tuple[list[str], OwnFiles | None]:
    """The words without a user's files and what is said of them, and these.

    Raises: UsageError for words that do not go together.
    """
    load_plugins()
    return taken_own_files(words, list(DESIGNS))


def chosen_design(early: Early, own: OwnFiles | None) -> StudyDesign:
    """The study of a task, or of a user's files, of which is said what was found in them."""
    if own is not None:
        design, said = own.design(full=early.full)
        for line in said:
            print(line, file=sys.stderr)
        return design
    if early.task == OWN_TASK:
        return design_of_options(early.task_options, full=early.full)
    return get_design(early.task, full=early.full)
