"""Relaxed equivariance: free branches beside equivariant layers, and the methods that open and close them."""

from rapidash.relax._ace import ACE
from rapidash.relax._dual_ascent import DualAscent
from rapidash.relax._free_branches import FiberMLP, OffsetMLP, PositionMLP
from rapidash.relax._relaxed_layer import (
    Relaxed,
    RelaxedBlock,
    RelaxedLayer,
    project,
    relax_blocks,
    relaxation,
    relaxed_layers,
)
from rapidash.relax._relaxing import PROJECTED, RelaxingMethod

__all__ = [
    "ACE",
    "PROJECTED",
    "DualAscent",
    "FiberMLP",
    "OffsetMLP",
    "PositionMLP",
    "Relaxed",
    "RelaxedBlock",
    "RelaxedLayer",
    "RelaxingMethod",
    "project",
    "relax_blocks",
    "relaxation",
    "relaxed_layers",
]
