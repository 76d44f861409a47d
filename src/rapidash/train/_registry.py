"""Tasks by name; their code is imported when asked for."""

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Any, get_type_hints

from rapidash._plain import is_of, type_words
from rapidash.train._task import Task


def _lazy(task: str, maker: str) -> Callable[..., Task]:
    """What calls ``maker`` of the task's module, imported at the call, with checked options."""

    def make(**options: object) -> Task:
        make_task: Callable[..., Task] = getattr(import_module(f"rapidash.train.tasks.{task.replace('-', '_')}"), maker)
        known = list(inspect.signature(make_task).parameters)
        hints = get_type_hints(make_task)
        for option, value in options.items():
            if option not in known:
                raise ValueError(f"task {task!r} has no option {option!r}, expected one of {_listed(option, known)}")
            if not is_of(value, hint := hints.get(option, Any)):
                raise ValueError(f"option {option!r} of task {task!r}: expected {type_words(hint)}, got {value!r}")
        return make_task(**options)

    return make


_MAKERS = {
    "nbody": "NBodyTask",
    "cmu": "CmuTask",
    "md": "MdTask",
    "qm9": "Qm9Task",
    "shapes": "ShapesTask",
    "modelnet40": "ModelNet40Task",
    "scanobjectnn": "ScanObjectNNTask",
    "shapenet-part": "ShapeNetPartTask",
    "meshseg": "MeshsegTask",
    "mnist-sp": "MnistSpTask",
}
TASKS: dict[str, Callable[..., Task]] = {task: _lazy(task, maker) for task, maker in _MAKERS.items()}


def get_task(name: str, **options: object) -> Task:
    """The task with this name, e.g. ``get_task("nbody", num_train=500)``.

    Raises: ValueError for an unknown name or option, with the nearest valid one, and for a value of another type.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}, expected one of {_listed(name, list(TASKS))}")
    return TASKS[name](**options)


def _listed(wrong: str, valid: list[str]) -> str:
    near = get_close_matches(wrong, valid, n=1, cutoff=0.3)
    return ", ".join(map(repr, valid)) + (f"; did you mean {near[0]!r}?" if near else "")
