"""Finding which weights should share a parameter: partitions, hypergradients, and the search (arXiv 2204.03640)."""

from rapidash.learn.sharing._hypergradient import ConjugateGradient, Exact, Neumann, Solver, hypergradient
from rapidash.learn.sharing._partitions import bell_number, canonical_assignment, partition_distance, set_partitions
from rapidash.learn.sharing._problem import QuadraticProblem, SharingProblem
from rapidash.learn.sharing._problems import LinearProblem, MeansProblem, PositionsProblem
from rapidash.learn.sharing._relaxed_assignment import harden, relaxed_assignment, sharing_penalty
from rapidash.learn.sharing._search import (
    ExactSearch,
    RelaxedSearch,
    Search,
    SharingResult,
    discover_sharing,
    fit_sharing,
)

__all__ = [
    "ConjugateGradient",
    "Exact",
    "ExactSearch",
    "LinearProblem",
    "MeansProblem",
    "Neumann",
    "PositionsProblem",
    "QuadraticProblem",
    "RelaxedSearch",
    "Search",
    "SharingProblem",
    "SharingResult",
    "Solver",
    "bell_number",
    "canonical_assignment",
    "discover_sharing",
    "fit_sharing",
    "harden",
    "hypergradient",
    "partition_distance",
    "relaxed_assignment",
    "set_partitions",
    "sharing_penalty",
]
