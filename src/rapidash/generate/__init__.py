"""Generating clouds and molecules: denoisers, samplers, and the figures by which samples are judged."""

from rapidash.generate._asked import Asked
from rapidash.generate._coupling import aligned, closest_order, closest_rotation
from rapidash.generate._denoiser import Denoiser
from rapidash.generate._density import density_ledger
from rapidash.generate._double_well import DoubleWell, double_well_samples, metropolis_langevin
from rapidash.generate._levels import FlowLevels, Levels, LogNormalLevels
from rapidash.generate._likelihood import LogLikelihood, log_likelihood
from rapidash.generate._measure import FLOOR, LOST, SAMPLES, measure_samples
from rapidash.generate._modulation import LevelModulation
from rapidash.generate._network import CONSTANTS, DenoisingNetwork, noised
from rapidash.generate._noise import numbered_noise, random_noise
from rapidash.generate._objective import Denoising
from rapidash.generate._pose import canonical_rotations, handedness, random_turns
from rapidash.generate._preconditioning import (
    denoised,
    flow_scale,
    flow_velocity,
    network_input,
    network_target,
    velocity,
)
from rapidash.generate._samplers import FlowSampler, HeunSampler, Sampler
from rapidash.generate._sampling import guided_network, is_finite, sample_clouds
from rapidash.generate._sizes import SizeLaw
from rapidash.generate._state import StateSpace, unit_length
from rapidash.generate._task import DenoisingTask, placeholder
from rapidash.generate._torsions import (
    chain_angles,
    chain_lengths,
    dihedral_angles,
    js_divergence,
    pose_order,
    torus_histogram,
)

__all__ = [
    "CONSTANTS",
    "FLOOR",
    "LOST",
    "SAMPLES",
    "Asked",
    "Denoiser",
    "Denoising",
    "DenoisingNetwork",
    "DenoisingTask",
    "DoubleWell",
    "FlowLevels",
    "FlowSampler",
    "HeunSampler",
    "LevelModulation",
    "Levels",
    "LogLikelihood",
    "LogNormalLevels",
    "Sampler",
    "SizeLaw",
    "StateSpace",
    "aligned",
    "canonical_rotations",
    "chain_angles",
    "chain_lengths",
    "closest_order",
    "closest_rotation",
    "denoised",
    "density_ledger",
    "dihedral_angles",
    "double_well_samples",
    "flow_scale",
    "flow_velocity",
    "guided_network",
    "handedness",
    "is_finite",
    "js_divergence",
    "log_likelihood",
    "measure_samples",
    "metropolis_langevin",
    "network_input",
    "network_target",
    "noised",
    "numbered_noise",
    "placeholder",
    "pose_order",
    "random_noise",
    "random_turns",
    "sample_clouds",
    "torus_histogram",
    "unit_length",
    "velocity",
]
