"""Groups as values, their representations, and orientation grids."""

from rapidash.groups._grids import ORIENTATION_GRIDS, grid_symmetries, orientation_grid
from rapidash.groups._group import O2, SE, SO, SO2, E, Group, O, T, exponential, inverse, motion, parse_group, trivial
from rapidash.groups._linear import AxisRotations, FiniteGroup, LinearGroup, Rotations, Trivial, random_rotation
from rapidash.groups._representations import Position, Representation, Scalar, Tensor2, Vector

__all__ = [
    "O2",
    "ORIENTATION_GRIDS",
    "SE",
    "SO",
    "SO2",
    "AxisRotations",
    "E",
    "FiniteGroup",
    "Group",
    "LinearGroup",
    "O",
    "Position",
    "Representation",
    "Rotations",
    "Scalar",
    "T",
    "Tensor2",
    "Trivial",
    "Vector",
    "exponential",
    "grid_symmetries",
    "inverse",
    "motion",
    "orientation_grid",
    "parse_group",
    "random_rotation",
    "trivial",
]
