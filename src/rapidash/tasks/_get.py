"""A task by its name, with checked options."""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from rapidash._names import unknown_name
from rapidash._plain import is_of, type_words
from rapidash.methods import Task
from rapidash.registry import TASKS


def get_task(name: str, **options: object) -> Task:
    """The task with this name, e.g. ``get_task("nbody", num_train=500)``.

    Raises: ValueError for an unknown name or option, with the nearest valid one, and for a value of another type;
        PluginError for a task of another package that cannot be imported.
    """
    known = option_types(name)
    for option, value in options.items():
        if option not in known:
            raise ValueError(unknown_name(f"option of task {name!r}:", option, known))
        if not is_of(value, known[option]):
            raise ValueError(f"option {option!r} of task {name!r}: expected {type_words(known[option])}, got {value!r}")
    make: Callable[..., Task] = TASKS.get(name)
    return make(**options)


def option_types(name: str) -> dict[str, Any]:
    """The options of a task with their types.

    Raises: as `get_task` for its name.
    """
    make: Callable[..., Task] = TASKS.get(name)
    hints = get_type_hints(make)
    return {option: hints.get(option, Any) for option in inspect.signature(make).parameters}
