"""Finding the symmetry in the data: widths, sharing, subgroups, and generators, all learned."""

from rapidash.learn._relax_to_subgroup import layer_subgroups, relax_to_subgroup, subgroup_distance
from rapidash.learn._search import EquivarianceSearch, Individual, SearchResult

__all__ = [
    "EquivarianceSearch",
    "Individual",
    "SearchResult",
    "layer_subgroups",
    "relax_to_subgroup",
    "subgroup_distance",
]
