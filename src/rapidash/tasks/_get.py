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
    make: Callable[..., Task] = TASKS.get(name)
    known = list(inspect.signature(make).parameters)
    hints = get_type_hints(make)
    for option, value in options.items():
        if option not in known:
            raise ValueError(unknown_name(f"option of task {name!r}:", option, known))
        if not is_of(value, hint := hints.get(option, Any)):
            raise ValueError(f"option {option!r} of task {name!r}: expected {type_words(hint)}, got {value!r}")
    return make(**options)
