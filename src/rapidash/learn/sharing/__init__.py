"""Finding which weights should share a parameter: partitions, hypergradients, and the search (arXiv 2204.03640)."""

from rapidash.learn.sharing._bilevel import Bilevel
from rapidash.learn.sharing._cases import CASES, Means, Planted, Ring, SharingCase, Sum
from rapidash.learn.sharing._hypergradient import ConjugateGradient, Exact, Neumann, Solver, hypergradient
from rapidash.learn.sharing._ledger import known_sharing, sharing_ledger
from rapidash.learn.sharing._measure import DISTANCE, FIRST, GRADIENT, KNOWN, RECOVERED, measure_sharing, sharing_text
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
from rapidash.learn.sharing._task import PlantedSharingTask, SharedWeights, SharedWeightsConfig

__all__ = [
    "CASES",
    "DISTANCE",
    "FIRST",
    "GRADIENT",
    "KNOWN",
    "RECOVERED",
    "Bilevel",
    "ConjugateGradient",
    "Exact",
    "ExactSearch",
    "LinearProblem",
    "Means",
    "MeansProblem",
    "Neumann",
    "Planted",
    "PlantedSharingTask",
    "PositionsProblem",
    "QuadraticProblem",
    "RelaxedSearch",
    "Ring",
    "Search",
    "SharedWeights",
    "SharedWeightsConfig",
    "SharingCase",
    "SharingProblem",
    "SharingResult",
    "Solver",
    "Sum",
    "bell_number",
    "canonical_assignment",
    "discover_sharing",
    "fit_sharing",
    "harden",
    "hypergradient",
    "known_sharing",
    "measure_sharing",
    "partition_distance",
    "relaxed_assignment",
    "set_partitions",
    "sharing_ledger",
    "sharing_penalty",
    "sharing_text",
]
