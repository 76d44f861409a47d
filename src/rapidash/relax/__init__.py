"""Relaxed equivariance: free branches beside equivariant layers, and the methods that open and close them."""

from rapidash.groups import pixel_action
from rapidash.relax._ace import ACE
from rapidash.relax._bank_weights import BankWeights, bank_weights, constant_bank_weights, total_variation
from rapidash.relax._constraint_relaxation import ConstraintRelaxation
from rapidash.relax._defects import finite_defect, lie_defect, projection_distance, reynolds
from rapidash.relax._dual_ascent import DualAscent
from rapidash.relax._free_branches import FiberMLP, OffsetMLP, PositionMLP
from rapidash.relax._gradnorm import GradNorm
from rapidash.relax._latent import LatentEquivariance
from rapidash.relax._latent_action import LearnedLatentAction
from rapidash.relax._latent_error import latent_error
from rapidash.relax._latent_measure import measure_latent
from rapidash.relax._linear_branches import FiberLinear, LinearBranch, OffsetLinear
from rapidash.relax._projection_penalty import ProjectionPenalty
from rapidash.relax._relaxed_fiber_conv import RelaxedFiberConv, RelaxedFiberKernel
from rapidash.relax._relaxed_group_conv import RelaxedGroupConv, RelaxedLifting
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
from rapidash.relax._remul import REMUL
from rapidash.relax._rpp import ResidualPathwayPrior, WeightPrior
from rapidash.relax._schedule import Constant, Decay, Schedule, Triangle

__all__ = [
    "ACE",
    "PROJECTED",
    "REMUL",
    "BankWeights",
    "Constant",
    "ConstraintRelaxation",
    "Decay",
    "DualAscent",
    "FiberLinear",
    "FiberMLP",
    "GradNorm",
    "LatentEquivariance",
    "LearnedLatentAction",
    "LinearBranch",
    "OffsetLinear",
    "OffsetMLP",
    "PositionMLP",
    "ProjectionPenalty",
    "Relaxed",
    "RelaxedBlock",
    "RelaxedFiberConv",
    "RelaxedFiberKernel",
    "RelaxedGroupConv",
    "RelaxedLayer",
    "RelaxedLifting",
    "RelaxingMethod",
    "ResidualPathwayPrior",
    "Schedule",
    "Triangle",
    "WeightPrior",
    "bank_weights",
    "constant_bank_weights",
    "finite_defect",
    "latent_error",
    "lie_defect",
    "measure_latent",
    "pixel_action",
    "project",
    "projection_distance",
    "relax_blocks",
    "relaxation",
    "relaxed_layers",
    "reynolds",
    "total_variation",
]
