"""The studies that ship with the package, by task; their code is imported when asked for."""

from collections.abc import Callable
from importlib import import_module

from rapidash._names import unknown_name
from rapidash.study._design import StudyDesign

MakeDesign = Callable[[bool], StudyDesign]


def _lazy(name: str) -> MakeDesign:
    def make(full: bool) -> StudyDesign:
        module = import_module(f"rapidash.study.designs.{name.replace('-', '_')}")
        maker: MakeDesign = module.make_design
        return maker(full)

    return make


_TASKS = ("nbody", "cmu", "md", "qm9", "shapes", "modelnet40", "scanobjectnn", "shapenet-part", "meshseg", "mnist-sp")
DESIGNS: dict[str, MakeDesign] = {task: _lazy(task) for task in _TASKS}


def get_design(task: str, *, full: bool = False) -> StudyDesign:
    """The study of a task: quick (minutes on two cores), or the benchmark's setting.

    Raises: ValueError for a task without a study, with the nearest one that has.
    """
    if task not in DESIGNS:
        raise ValueError(unknown_name("study", task, DESIGNS))
    return DESIGNS[task](full)
