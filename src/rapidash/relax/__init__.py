"""Relaxed equivariance: free branches beside equivariant layers, and the methods that open and close them."""

from rapidash.relax._ace import ACE
from rapidash.relax._bank_weights import BankWeights, bank_weights, constant_bank_weights, total_variation
from rapidash.relax._dual_ascent import DualAscent
from rapidash.relax._free_branches import FiberMLP, OffsetMLP
from rapidash.relax._relaxed_fiber_conv import RelaxedFiberConv, RelaxedFiberKernel
from rapidash.relax._relaxed_group_conv import RelaxedGroupConv, RelaxedLifting, pixel_action
from rapidash.relax._relaxed_layer import RelaxedBlock, project, relax_blocks, relaxation, relaxed_blocks

__all__ = [
    "ACE",
    "BankWeights",
    "DualAscent",
    "FiberMLP",
    "OffsetMLP",
    "RelaxedBlock",
    "RelaxedFiberConv",
    "RelaxedFiberKernel",
    "RelaxedGroupConv",
    "RelaxedLifting",
    "bank_weights",
    "constant_bank_weights",
    "pixel_action",
    "project",
    "relax_blocks",
    "relaxation",
    "relaxed_blocks",
    "total_variation",
]
