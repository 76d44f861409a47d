"""Finding the symmetry in the data: widths, sharing, subgroups, and generators, all learned."""

from rapidash.learn._augerino import WIDTH, Augerino
from rapidash.learn._histogram import GroupHistogram
from rapidash.learn._learned_histogram import SHARE, LearnedHistogram
from rapidash.learn._widths import LearnedWidths, half_periods, width_penalty

__all__ = [
    "SHARE",
    "WIDTH",
    "Augerino",
    "GroupHistogram",
    "LearnedHistogram",
    "LearnedWidths",
    "half_periods",
    "width_penalty",
]
