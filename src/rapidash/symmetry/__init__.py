"""Setting and breaking symmetry by inputs, and the ledger that says what is left of it."""

from rapidash.symmetry._averaged import averaged_symmetry
from rapidash.symmetry._inputs import GeometricInput, combine_inputs, global_frame
from rapidash.symmetry._ledger import Ledger, symmetry_ledger

__all__ = [
    "GeometricInput",
    "Ledger",
    "averaged_symmetry",
    "combine_inputs",
    "global_frame",
    "symmetry_ledger",
]
