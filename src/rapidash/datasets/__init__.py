"""Data sets of geometric tasks, simulated or read from their public formats.

The readers are imported when they are first used: none of them costs anything where it is not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rapidash.datasets._charged_particles import simulate_charged_particles
from rapidash.datasets._nbody import NBODY_HORIZON, NBODY_SIZES, nbody_dataset

if TYPE_CHECKING:
    from rapidash.datasets._cmu import CMU_HORIZON, CMU_MAX_SAMPLES, cmu_dataset, skeleton_edges
    from rapidash.datasets._locate import data_folders, locate
    from rapidash.datasets._md import md_dataset
    from rapidash.datasets._motion_clips import MotionClips, read_motion_clips
    from rapidash.datasets._qm7 import qm7_dataset
    from rapidash.datasets._qm9 import QM9_UNITS, qm9_dataset, qm9_split
    from rapidash.datasets._reading import DataError, ReadDataset, SampleErrors

__all__ = [
    "CMU_HORIZON",
    "CMU_MAX_SAMPLES",
    "NBODY_HORIZON",
    "NBODY_SIZES",
    "QM9_UNITS",
    "DataError",
    "MotionClips",
    "ReadDataset",
    "SampleErrors",
    "cmu_dataset",
    "data_folders",
    "locate",
    "md_dataset",
    "nbody_dataset",
    "qm7_dataset",
    "qm9_dataset",
    "qm9_split",
    "read_motion_clips",
    "simulate_charged_particles",
    "skeleton_edges",
]

_LAZY = {
    "_cmu": ("CMU_HORIZON", "CMU_MAX_SAMPLES", "cmu_dataset", "skeleton_edges"),
    "_locate": ("data_folders", "locate"),
    "_md": ("md_dataset",),
    "_motion_clips": ("MotionClips", "read_motion_clips"),
    "_qm7": ("qm7_dataset",),
    "_qm9": ("QM9_UNITS", "qm9_dataset", "qm9_split"),
    "_reading": ("DataError", "ReadDataset", "SampleErrors"),
}
_MODULE_OF = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name of a reader, imported at its first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
