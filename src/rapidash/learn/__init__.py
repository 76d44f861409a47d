"""Finding the symmetry in the data: widths, sharing, subgroups, and generators, all learned."""

from rapidash.learn._mixed_layers import MixedGroupConv
from rapidash.learn._relax_to_subgroup import layer_subgroups, relax_to_subgroup, subgroup_distance
from rapidash.learn._search import EquivarianceSearch, Individual, SearchResult
from rapidash.learn._subgroup_evolution import SubgroupEvolution
from rapidash.learn._subgroup_mixing import SubgroupMixing

__all__ = [
    "EquivarianceSearch",
    "Individual",
    "MixedGroupConv",
    "SearchResult",
    "SubgroupEvolution",
    "SubgroupMixing",
    "layer_subgroups",
    "relax_to_subgroup",
    "subgroup_distance",
]
