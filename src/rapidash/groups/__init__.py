"""Groups as values, their representations, and orientation grids."""

from rapidash.groups._characters import character_table, irrep_multiplicities
from rapidash.groups._finite import MultiplicationTable, finite_table
from rapidash.groups._grids import ORIENTATION_GRIDS, grid_symmetries, orientation_grid
from rapidash.groups._group import O2, SE, SO, SO2, E, Group, O, T, exponential, inverse, motion, trivial
from rapidash.groups._image import Image, Intensity
from rapidash.groups._joined import JoinedGroup, joined_group
from rapidash.groups._linear import AxisRotations, FiniteGroup, LinearGroup, Rotations, Trivial, random_rotation
from rapidash.groups._matrix_group import MatrixGroup
from rapidash.groups._matrix_groups import (
    Flows,
    Permutations,
    affine,
    brightness,
    contrast,
    cyclic,
    dihedral,
    enumerated,
    generator_names,
    hyperbolic,
    joined_flows,
    octahedral,
    scaling,
    shear,
)
from rapidash.groups._parse_group import parse_group
from rapidash.groups._parse_matrix_group import parse_matrix_group
from rapidash.groups._pixels import moved_back, pixel_action
from rapidash.groups._product import OfFactor, OfFactors, Product
from rapidash.groups._regular import Regular, RegularCopies, permutation_action
from rapidash.groups._representations import (
    DirectSum,
    Position,
    Pseudoscalar,
    Pseudovector,
    Representation,
    Scalar,
    Tensor2,
    Vector,
)
from rapidash.groups._rotation_rule import LEBEDEV_DEGREES, rotation_rule
from rapidash.groups._signals import GridPermutation, OrientationSignal, PairPermutation, Permutation
from rapidash.groups._subgroups import (
    coset_labels,
    kept_labels,
    named_subgroups,
    orbit_labels,
    parse_subgroup,
    part_of,
)

__all__ = [
    "LEBEDEV_DEGREES",
    "O2",
    "ORIENTATION_GRIDS",
    "SE",
    "SO",
    "SO2",
    "AxisRotations",
    "DirectSum",
    "E",
    "FiniteGroup",
    "Flows",
    "GridPermutation",
    "Group",
    "Image",
    "Intensity",
    "JoinedGroup",
    "LinearGroup",
    "MatrixGroup",
    "MultiplicationTable",
    "O",
    "OfFactor",
    "OfFactors",
    "OrientationSignal",
    "PairPermutation",
    "Permutation",
    "Permutations",
    "Position",
    "Product",
    "Pseudoscalar",
    "Pseudovector",
    "Regular",
    "RegularCopies",
    "Representation",
    "Rotations",
    "Scalar",
    "T",
    "Tensor2",
    "Trivial",
    "Vector",
    "affine",
    "brightness",
    "character_table",
    "contrast",
    "coset_labels",
    "cyclic",
    "dihedral",
    "enumerated",
    "exponential",
    "finite_table",
    "generator_names",
    "grid_symmetries",
    "hyperbolic",
    "inverse",
    "irrep_multiplicities",
    "joined_flows",
    "joined_group",
    "kept_labels",
    "motion",
    "moved_back",
    "named_subgroups",
    "octahedral",
    "orbit_labels",
    "orientation_grid",
    "parse_group",
    "parse_matrix_group",
    "parse_subgroup",
    "part_of",
    "permutation_action",
    "pixel_action",
    "random_rotation",
    "rotation_rule",
    "scaling",
    "shear",
    "trivial",
]
