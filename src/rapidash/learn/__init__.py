"""Finding the symmetry in the data: widths, sharing, subgroups, and generators, all learned."""

from rapidash.learn._augerino import WIDTH, Augerino
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
from rapidash.learn._histogram import GroupHistogram
from rapidash.learn._learned_histogram import SHARE, LearnedHistogram
from rapidash.learn._mixed_layers import MixedGroupConv
from rapidash.learn._penalties import commutator_penalty, hessian_penalty
from rapidash.learn._relax_to_subgroup import layer_subgroups, relax_to_subgroup, subgroup_distance
from rapidash.learn._search import EquivarianceSearch, Individual, MixingResult, SearchResult
from rapidash.learn._subgroup_evolution import SubgroupEvolution
from rapidash.learn._subgroup_mixing import SubgroupMixing
from rapidash.learn._transport import MOTION_UNITS, MOTIONS, AffineTransport, affine_transport
from rapidash.learn._vae_configs import CommutativeLieGroupVAEConfig, VAEConfig
from rapidash.learn._variational import VariationalBound
from rapidash.learn._widths import LearnedWidths, beyond_the_box, half_periods, width_penalty

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
    "SHARE",
    "TRAVERSALS",
    "VAE",
    "WHOLE_TURN",
    "WIDTH",
    "AffineTransport",
    "Augerino",
    "CommutativeLieGroupVAE",
    "CommutativeLieGroupVAEConfig",
    "EquivarianceSearch",
    "GroupHistogram",
    "Individual",
    "LearnedHistogram",
    "LearnedWidths",
    "MixedGroupConv",
    "MixingResult",
    "Posterior",
    "SearchResult",
    "SubgroupEvolution",
    "SubgroupMixing",
    "VAEConfig",
    "VaeOutput",
    "VariationalBound",
    "VariationalNetwork",
    "affine_transport",
    "beyond_the_box",
    "by_latent_of",
    "commutator_penalty",
    "half_periods",
    "hessian_penalty",
    "layer_subgroups",
    "measure_factors",
    "relax_to_subgroup",
    "subgroup_distance",
    "width_penalty",
]
