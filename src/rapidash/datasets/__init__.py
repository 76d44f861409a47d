"""Data sets of geometric tasks, simulated or read from their public formats."""

from rapidash.datasets._charged_particles import simulate_charged_particles
from rapidash.datasets._nbody import NBODY_HORIZON, NBODY_SIZES, nbody_dataset

__all__ = ["NBODY_HORIZON", "NBODY_SIZES", "nbody_dataset", "simulate_charged_particles"]
