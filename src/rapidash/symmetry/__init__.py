"""Setting and breaking symmetry by inputs, the ledger of what is left, and averages and constraints under a group."""

from rapidash.symmetry._averaged import averaged_symmetry
from rapidash.symmetry._distributions import (
    Enumerated,
    GroupDistribution,
    GroupSamples,
    Haar,
    Identity,
    UniformBox,
)
from rapidash.symmetry._inputs import GeometricInput, combine_inputs, global_frame
from rapidash.symmetry._learned_actions import ExponentialAction, GeneratorAction, LinearAction
from rapidash.symmetry._ledger import Ledger, symmetry_ledger
from rapidash.symmetry._orbits import SharedLinear, orbit_assignment, orbit_means
from rapidash.symmetry._symmetrized import Symmetrized, SymmetrizedOutput, symmetrized

__all__ = [
    "Enumerated",
    "ExponentialAction",
    "GeneratorAction",
    "GeometricInput",
    "GroupDistribution",
    "GroupSamples",
    "Haar",
    "Identity",
    "Ledger",
    "LinearAction",
    "SharedLinear",
    "Symmetrized",
    "SymmetrizedOutput",
    "UniformBox",
    "averaged_symmetry",
    "combine_inputs",
    "global_frame",
    "orbit_assignment",
    "orbit_means",
    "symmetrized",
    "symmetry_ledger",
]
