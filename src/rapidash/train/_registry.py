"""Tasks by name; their code is imported when asked for."""

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

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
            if not _fits(value, hints.get(option, Any)):
                expected = " or ".join(_words(kind) for kind in _kinds(hints[option]))
                raise ValueError(f"option {option!r} of task {task!r}: expected {expected}, got {value!r}")
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
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}
TASKS: dict[str, Callable[..., Task]] = {task: _lazy(task, maker) for task, maker in _MAKERS.items()}


def get_task(name: str, **options: object) -> Task:
    """The task with this name, e.g. ``get_task("nbody", num_train=500)``.

    Raises: ValueError for an unknown name or option, with the nearest valid one, and for a value of another type.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}, expected one of {_listed(name, list(TASKS))}")
    return TASKS[name](**options)


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the one kind."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _fits(value: object, hint: Any) -> bool:
    """Whether a value is of a kind that can be given as an option; other kinds are left to the task."""
    accepted: list[type] = []
    for kind in _kinds(hint):
        if kind not in _WORDS:
            return True
        accepted += [int, float] if kind is float else [kind]
    return isinstance(value, tuple(accepted)) and (not isinstance(value, bool) or bool in accepted)


def _words(kind: Any) -> str:
    return _WORDS[kind]


def _listed(wrong: str, valid: list[str]) -> str:
    near = get_close_matches(wrong, valid, n=1, cutoff=0.3)
    return ", ".join(map(repr, valid)) + (f"; did you mean {near[0]!r}?" if near else "")
