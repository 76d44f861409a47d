"""Data sets of geometric tasks, simulated or read from their public formats.

The readers are imported when they are first used: none of them costs anything where it is not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rapidash.datasets._charged_particles import simulate_charged_particles
from rapidash.datasets._nbody import NBODY_HORIZON, NBODY_SIZES, nbody_dataset

if TYPE_CHECKING:
    from rapidash.datasets._ala2 import ala2_dataset
    from rapidash.datasets._cifar10 import CIFAR10_CLASSES, cifar10_superpixels_dataset
    from rapidash.datasets._cloud_files import CLOUD_FORMATS, FileCloud, as_entries, read_clouds, unforeseen
    from rapidash.datasets._cmu import CMU_HORIZON, CMU_MAX_SAMPLES, cmu_dataset, skeleton_edges
    from rapidash.datasets._digits import DIGITS_SIZE, digits_images
    from rapidash.datasets._elements import ELEMENT_SYMBOLS
    from rapidash.datasets._graphs import (
        connected_graphs,
        equivalent_pairs,
        refinement_hash,
        regular_graphs_dataset,
    )
    from rapidash.datasets._locate import data_folders, locate
    from rapidash.datasets._md import md_dataset
    from rapidash.datasets._meshes import Mesh, sample_surface
    from rapidash.datasets._mlearn import MLEARN_ELEMENTS, MLEARN_GROUPS, mlearn_dataset
    from rapidash.datasets._mnist import mnist_superpixels_dataset
    from rapidash.datasets._modelnet10 import MODELNET10_CLASSES, modelnet10_dataset
    from rapidash.datasets._modelnet40 import MODELNET40_CLASSES, modelnet40_dataset
    from rapidash.datasets._molecules import Molecules
    from rapidash.datasets._motion_clips import Motion, MotionClips, read_motion_clips
    from rapidash.datasets._partial_clouds import partial_symmetry_clouds
    from rapidash.datasets._planted import (
        PLANTED,
        PLANTED_POINTS,
        Planted,
        PlantedTruth,
        planted_classes,
        planted_dataset,
        planted_label,
        planted_templates,
        planted_truth,
    )
    from rapidash.datasets._planted_groups import (
        PLANTED_GROUPS,
        PlantedGroup,
        planted_group_classes,
        planted_group_dataset,
        planted_group_label,
    )
    from rapidash.datasets._qm7 import qm7_dataset
    from rapidash.datasets._qm9 import QM9_UNITS, Qm9Source, qm9_dataset, qm9_split
    from rapidash.datasets._qm9_tables import qm9pack_folder
    from rapidash.datasets._reading import DataError, OnError, ReadDataset, SampleErrors, whole_numbers
    from rapidash.datasets._scanobjectnn import SCANOBJECTNN_CLASSES, ScanVariant, scanobjectnn_dataset
    from rapidash.datasets._shape_images import (
        HOOKS_FACTORS,
        SHAPE_SIDE,
        SQUARES_FACTORS,
        hooks_images,
        squares_images,
    )
    from rapidash.datasets._shapenet import SHAPENET_SYNSETS, shapenet_dataset
    from rapidash.datasets._shapenet_part import SHAPENET_CATEGORIES, SHAPENET_PARTS, shapenet_part_dataset
    from rapidash.datasets._shapes import unit_ball
    from rapidash.datasets._shapes69 import meshseg_dataset, shapes69_dataset
    from rapidash.datasets._solids import SOLIDS, solids_dataset
    from rapidash.datasets._structural_sites import SITES_COLUMNS, structural_sites_dataset
    from rapidash.datasets._tables import (
        Column,
        Table,
        TableSplit,
        abide_dataset,
        heart_disease_dataset,
        tabular_dataset,
    )
    from rapidash.datasets._template_clouds import template_clouds
    from rapidash.datasets._units import EV_PER
    from rapidash.datasets._valued_files import VALUED_FORMATS, names_in_use, read_valued_clouds

__all__ = [
    "CIFAR10_CLASSES",
    "CLOUD_FORMATS",
    "CMU_HORIZON",
    "CMU_MAX_SAMPLES",
    "DIGITS_SIZE",
    "ELEMENT_SYMBOLS",
    "EV_PER",
    "HOOKS_FACTORS",
    "MLEARN_ELEMENTS",
    "MLEARN_GROUPS",
    "MODELNET10_CLASSES",
    "MODELNET40_CLASSES",
    "NBODY_HORIZON",
    "NBODY_SIZES",
    "PLANTED",
    "PLANTED_GROUPS",
    "PLANTED_POINTS",
    "QM9_UNITS",
    "SCANOBJECTNN_CLASSES",
    "SHAPENET_CATEGORIES",
    "SHAPENET_PARTS",
    "SHAPENET_SYNSETS",
    "SHAPE_SIDE",
    "SITES_COLUMNS",
    "SOLIDS",
    "SQUARES_FACTORS",
    "VALUED_FORMATS",
    "Column",
    "DataError",
    "FileCloud",
    "Mesh",
    "Molecules",
    "Motion",
    "MotionClips",
    "OnError",
    "Planted",
    "PlantedGroup",
    "PlantedTruth",
    "Qm9Source",
    "ReadDataset",
    "SampleErrors",
    "ScanVariant",
    "Table",
    "TableSplit",
    "abide_dataset",
    "ala2_dataset",
    "as_entries",
    "cifar10_superpixels_dataset",
    "cmu_dataset",
    "connected_graphs",
    "data_folders",
    "digits_images",
    "equivalent_pairs",
    "heart_disease_dataset",
    "hooks_images",
    "locate",
    "md_dataset",
    "meshseg_dataset",
    "mlearn_dataset",
    "mnist_superpixels_dataset",
    "modelnet10_dataset",
    "modelnet40_dataset",
    "names_in_use",
    "nbody_dataset",
    "partial_symmetry_clouds",
    "planted_classes",
    "planted_dataset",
    "planted_group_classes",
    "planted_group_dataset",
    "planted_group_label",
    "planted_label",
    "planted_templates",
    "planted_truth",
    "qm7_dataset",
    "qm9_dataset",
    "qm9_split",
    "qm9pack_folder",
    "read_clouds",
    "read_motion_clips",
    "read_valued_clouds",
    "refinement_hash",
    "regular_graphs_dataset",
    "sample_surface",
    "scanobjectnn_dataset",
    "shapenet_dataset",
    "shapenet_part_dataset",
    "shapes69_dataset",
    "simulate_charged_particles",
    "skeleton_edges",
    "solids_dataset",
    "squares_images",
    "structural_sites_dataset",
    "tabular_dataset",
    "template_clouds",
    "unforeseen",
    "unit_ball",
    "whole_numbers",
]

_LAZY = {
    "_structural_sites": ("SITES_COLUMNS", "structural_sites_dataset"),
    "_shape_images": ("HOOKS_FACTORS", "SHAPE_SIDE", "SQUARES_FACTORS", "hooks_images", "squares_images"),
    "_shapes": ("unit_ball",),
    "_meshes": (
        "Mesh",
        "sample_surface",
    ),
    "_molecules": ("Molecules",),
    "_ala2": ("ala2_dataset",),
    "_cifar10": ("CIFAR10_CLASSES", "cifar10_superpixels_dataset"),
    "_cloud_files": (
        "FileCloud",
        "read_clouds",
        "CLOUD_FORMATS",
        "as_entries",
        "unforeseen",
    ),
    "_cmu": ("CMU_HORIZON", "CMU_MAX_SAMPLES", "cmu_dataset", "skeleton_edges"),
    "_graphs": ("connected_graphs", "equivalent_pairs", "refinement_hash", "regular_graphs_dataset"),
    "_locate": ("data_folders", "locate"),
    "_md": ("md_dataset",),
    "_mlearn": ("MLEARN_ELEMENTS", "MLEARN_GROUPS", "mlearn_dataset"),
    "_mnist": ("mnist_superpixels_dataset",),
    "_modelnet10": ("MODELNET10_CLASSES", "modelnet10_dataset"),
    "_modelnet40": ("MODELNET40_CLASSES", "modelnet40_dataset"),
    "_digits": ("DIGITS_SIZE", "digits_images"),
    "_elements": ("ELEMENT_SYMBOLS",),
    "_motion_clips": (
        "MotionClips",
        "read_motion_clips",
        "Motion",
    ),
    "_planted": (
        "PLANTED",
        "PLANTED_POINTS",
        "Planted",
        "PlantedTruth",
        "planted_classes",
        "planted_dataset",
        "planted_label",
        "planted_templates",
        "planted_truth",
    ),
    "_planted_groups": (
        "PLANTED_GROUPS",
        "PlantedGroup",
        "planted_group_classes",
        "planted_group_dataset",
        "planted_group_label",
    ),
    "_qm7": ("qm7_dataset",),
    "_qm9": (
        "QM9_UNITS",
        "qm9_dataset",
        "qm9_split",
        "Qm9Source",
    ),
    "_qm9_tables": ("qm9pack_folder",),
    "_reading": (
        "DataError",
        "ReadDataset",
        "SampleErrors",
        "OnError",
        "whole_numbers",
    ),
    "_partial_clouds": ("partial_symmetry_clouds",),
    "_template_clouds": ("template_clouds",),
    "_scanobjectnn": (
        "SCANOBJECTNN_CLASSES",
        "scanobjectnn_dataset",
        "ScanVariant",
    ),
    "_shapenet": ("SHAPENET_SYNSETS", "shapenet_dataset"),
    "_shapenet_part": ("SHAPENET_CATEGORIES", "SHAPENET_PARTS", "shapenet_part_dataset"),
    "_shapes69": ("meshseg_dataset", "shapes69_dataset"),
    "_solids": ("SOLIDS", "solids_dataset"),
    "_tables": (
        "Column",
        "Table",
        "abide_dataset",
        "heart_disease_dataset",
        "tabular_dataset",
        "TableSplit",
    ),
    "_units": ("EV_PER",),
    "_valued_files": ("VALUED_FORMATS", "names_in_use", "read_valued_clouds"),
}
_MODULE_OF = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name of a reader, imported at its first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
