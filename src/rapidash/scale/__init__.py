"""How errors fall with data, with size and with compute: power laws with intervals, frontiers, best allocation."""

from rapidash.scale._flops import count_flops
from rapidash.scale._parametric import Allocation, ParametricFit, fit_chinchilla, optimal_allocation
from rapidash.scale._power_law import Interval, PowerLaw, extrapolate, fit_frontier, fit_power_law, frontier
from rapidash.scale._seconds import pass_seconds

__all__ = [
    "Allocation",
    "Interval",
    "ParametricFit",
    "PowerLaw",
    "count_flops",
    "extrapolate",
    "fit_chinchilla",
    "fit_frontier",
    "fit_power_law",
    "frontier",
    "optimal_allocation",
    "pass_seconds",
]
