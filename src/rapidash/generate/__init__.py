"""Generating clouds and molecules: denoisers, samplers, and the figures by which samples are judged."""

from rapidash.generate._coupling import aligned, closest_order, closest_rotation
from rapidash.generate._denoiser import Denoiser
from rapidash.generate._levels import FlowLevels, Levels, LogNormalLevels
from rapidash.generate._likelihood import LogLikelihood, log_likelihood
from rapidash.generate._noise import numbered_noise, random_noise
from rapidash.generate._preconditioning import (
    denoised,
    flow_scale,
    flow_velocity,
    network_input,
    network_target,
    velocity,
)
from rapidash.generate._samplers import FlowSampler, HeunSampler, Sampler
from rapidash.generate._state import StateSpace, unit_length

__all__ = [
    "Denoiser",
    "FlowLevels",
    "FlowSampler",
    "HeunSampler",
    "Levels",
    "LogLikelihood",
    "LogNormalLevels",
    "Sampler",
    "StateSpace",
    "aligned",
    "closest_order",
    "closest_rotation",
    "denoised",
    "flow_scale",
    "flow_velocity",
    "log_likelihood",
    "network_input",
    "network_target",
    "numbered_noise",
    "random_noise",
    "unit_length",
    "velocity",
]
