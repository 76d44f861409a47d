"""Figures of generated samples: molecules, point clouds, and whether two sets come from one distribution."""

from rapidash.generate.metrics._bonds import near_pairs
from rapidash.generate.metrics._chamfer import chamfer, chamfer_matrix
from rapidash.generate.metrics._cloud_figures import DEVIATIONS, CloudDistance, cloud_figures
from rapidash.generate.metrics._controls import Control, controls_table, figure_controls
from rapidash.generate.metrics._earth_mover import earth_mover, earth_mover_matrix
from rapidash.generate.metrics._figure import Figure, figures_table, share_figure, wilson_interval
from rapidash.generate.metrics._geometry import rotational_constants
from rapidash.generate.metrics._molecule_figures import molecule_figures
from rapidash.generate.metrics._pair_distances import (
    pair_distance_matrix,
    pair_distance_quantiles,
    sorted_pair_distances,
)
from rapidash.generate.metrics._perception import Protocol, mol_blocks, smiles
from rapidash.generate.metrics._point_clouds import CloudScale, normalized, subsampled
from rapidash.generate.metrics._set_figures import (
    NearestNeighbors,
    coverage,
    minimum_matching_distance,
    nearest_neighbor_accuracy,
)
from rapidash.generate.metrics._stability import Stability, stability
from rapidash.generate.metrics._strain import Strain, strain
from rapidash.generate.metrics._two_sample import EnergyTest, energy_test, two_sample_test
from rapidash.generate.metrics._wasserstein import wasserstein

__all__ = [
    "DEVIATIONS",
    "CloudDistance",
    "CloudScale",
    "Control",
    "EnergyTest",
    "Figure",
    "NearestNeighbors",
    "Protocol",
    "Stability",
    "Strain",
    "chamfer",
    "chamfer_matrix",
    "cloud_figures",
    "controls_table",
    "coverage",
    "earth_mover",
    "earth_mover_matrix",
    "energy_test",
    "figure_controls",
    "figures_table",
    "minimum_matching_distance",
    "mol_blocks",
    "molecule_figures",
    "near_pairs",
    "nearest_neighbor_accuracy",
    "normalized",
    "pair_distance_matrix",
    "pair_distance_quantiles",
    "rotational_constants",
    "share_figure",
    "smiles",
    "sorted_pair_distances",
    "stability",
    "strain",
    "subsampled",
    "two_sample_test",
    "wasserstein",
    "wilson_interval",
]
