"""Finding the symmetry in the data: widths, sharing, subgroups, and generators, all learned."""

from rapidash.learn._augerino import WIDTH, Augerino
from rapidash.learn._histogram import GroupHistogram
from rapidash.learn._learned_histogram import SHARE, LearnedHistogram
from rapidash.learn._relax_to_subgroup import layer_subgroups, relax_to_subgroup, subgroup_distance
from rapidash.learn._search import EquivarianceSearch, Individual, SearchResult
from rapidash.learn._widths import LearnedWidths, half_periods, width_penalty

__all__ = [
    "SHARE",
    "WIDTH",
    "Augerino",
    "EquivarianceSearch",
    "GroupHistogram",
    "Individual",
    "LearnedHistogram",
    "LearnedWidths",
    "SearchResult",
    "half_periods",
    "layer_subgroups",
    "relax_to_subgroup",
    "subgroup_distance",
    "width_penalty",
]
