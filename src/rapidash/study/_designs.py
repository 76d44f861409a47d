"""A study by its name."""

from dataclasses import replace

from rapidash.registry import DESIGNS
from rapidash.study._design import StudyDesign


def get_design(name: str, *, full: bool = False) -> StudyDesign:
    """The study with this name: quick (minutes on two cores), or the benchmark's setting.

    Raises: ValueError for an unknown name, with the nearest one; PluginError for a study of another package that cannot
        be imported.
    """
    design: StudyDesign = DESIGNS.get(name)(full)
    return replace(design, name=name)
