"""Relaxed equivariance: free branches beside equivariant layers, and the methods that open and close them."""

from rapidash.relax._ace import ACE
from rapidash.relax._dual_ascent import DualAscent
from rapidash.relax._free_branches import FiberMLP, OffsetMLP
from rapidash.relax._gradnorm import GradNorm
from rapidash.relax._latent import LatentEquivariance
from rapidash.relax._latent_action import LearnedLatentAction
from rapidash.relax._latent_error import latent_error
from rapidash.relax._latent_measure import measure_latent
from rapidash.relax._relaxed_layer import RelaxedBlock, project, relax_blocks, relaxation, relaxed_blocks
from rapidash.relax._remul import REMUL

__all__ = [
    "ACE",
    "REMUL",
    "DualAscent",
    "FiberMLP",
    "GradNorm",
    "LatentEquivariance",
    "LearnedLatentAction",
    "OffsetMLP",
    "RelaxedBlock",
    "latent_error",
    "measure_latent",
    "project",
    "relax_blocks",
    "relaxation",
    "relaxed_blocks",
]
