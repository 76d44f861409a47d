"""Generating clouds and molecules: denoisers, samplers, and the figures by which samples are judged."""

from rapidash.generate._asked import Asked
from rapidash.generate._controls_measure import COLUMNS, CONTROL, measure_figure_controls
from rapidash.generate._coupling import aligned, closest_order, closest_rotation
from rapidash.generate._denoiser import Denoiser
from rapidash.generate._density import density_ledger
from rapidash.generate._double_well import DoubleWell, double_well_samples, metropolis_langevin
from rapidash.generate._levels import FlowLevels, Levels, LogNormalLevels
from rapidash.generate._likelihood import LogLikelihood, log_likelihood
from rapidash.generate._likelihood_measure import EFFECTIVE, LIKELIHOOD, effective_share, measure_likelihood
from rapidash.generate._measure import (
    FLOOR,
    LOST,
    SAMPLES,
    SHOWN_DATA,
    SHOWN_SAMPLES,
    measure_samples,
    scene_clouds,
)
from rapidash.generate._modulation import LevelModulation
from rapidash.generate._network import CONSTANTS, DenoisingNetwork, noised
from rapidash.generate._noise import numbered_noise, random_noise
from rapidash.generate._objective import Denoising
from rapidash.generate._pose import canonical_rotations, handedness, random_turns
from rapidash.generate._pose_figures import pose_figures
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
from rapidash.generate._symmetry_measure import (
    BANDS,
    COUPLED,
    LOSS,
    MOVED,
    SHARE,
    band_name,
    coupled_error,
    measure_generator_symmetry,
)
from rapidash.generate._task import DenoisingTask, placeholder
from rapidash.generate._torsions import (
    chain_angles,
    chain_lengths,
    dihedral_angles,
    js_divergence,
    torus_histogram,
)

__all__ = [
    "BANDS",
    "COLUMNS",
    "CONSTANTS",
    "CONTROL",
    "COUPLED",
    "EFFECTIVE",
    "FLOOR",
    "LIKELIHOOD",
    "LOSS",
    "LOST",
    "MOVED",
    "SAMPLES",
    "SHARE",
    "SHOWN_DATA",
    "SHOWN_SAMPLES",
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
    "band_name",
    "canonical_rotations",
    "chain_angles",
    "chain_lengths",
    "closest_order",
    "closest_rotation",
    "coupled_error",
    "denoised",
    "density_ledger",
    "dihedral_angles",
    "double_well_samples",
    "effective_share",
    "flow_scale",
    "flow_velocity",
    "guided_network",
    "handedness",
    "is_finite",
    "js_divergence",
    "log_likelihood",
    "measure_figure_controls",
    "measure_generator_symmetry",
    "measure_likelihood",
    "measure_samples",
    "metropolis_langevin",
    "network_input",
    "network_target",
    "noised",
    "numbered_noise",
    "placeholder",
    "pose_figures",
    "random_noise",
    "random_turns",
    "sample_clouds",
    "scene_clouds",
    "torus_histogram",
    "unit_length",
    "velocity",
]
