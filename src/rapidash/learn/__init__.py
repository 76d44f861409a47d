"""Finding the symmetry in the data: widths, sharing, subgroups, and generators, all learned."""

from rapidash.learn._autoencoders import VAE, CommutativeLieGroupVAE, Posterior, VaeOutput, VariationalNetwork
from rapidash.learn._factors_measure import (
    ACTIVE,
    COMMUTATOR,
    DCI_NAMES,
    EXPLAINED,
    FACTOR_VAE,
    HESSIAN,
    MIG,
    NEXT_IMAGE,
    PERIODICITY,
    TRAVERSALS,
    WHOLE_TURN,
    by_latent_of,
    measure_factors,
)
from rapidash.learn._penalties import commutator_penalty, hessian_penalty
from rapidash.learn._transport import MOTION_UNITS, MOTIONS, AffineTransport, affine_transport
from rapidash.learn._vae_configs import CommutativeLieGroupVAEConfig, VAEConfig
from rapidash.learn._variational import VariationalBound

__all__ = [
    "ACTIVE",
    "COMMUTATOR",
    "DCI_NAMES",
    "EXPLAINED",
    "FACTOR_VAE",
    "HESSIAN",
    "MIG",
    "MOTIONS",
    "MOTION_UNITS",
    "NEXT_IMAGE",
    "PERIODICITY",
    "TRAVERSALS",
    "VAE",
    "WHOLE_TURN",
    "AffineTransport",
    "CommutativeLieGroupVAE",
    "CommutativeLieGroupVAEConfig",
    "Posterior",
    "VAEConfig",
    "VaeOutput",
    "VariationalBound",
    "VariationalNetwork",
    "affine_transport",
    "by_latent_of",
    "commutator_penalty",
    "hessian_penalty",
    "measure_factors",
]
