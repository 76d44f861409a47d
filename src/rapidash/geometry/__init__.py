"""Pair attributes, cutoffs, frames, neighbors and graphs: pure functions."""

from rapidash.geometry._arrays import num_changes
from rapidash.geometry._cutoff import polynomial_cutoff, safe_norm
from rapidash.geometry._edges import KNN, EdgeRule, FullyConnected, Radius, check_cloud, parse_edges
from rapidash.geometry._frames import canonical_frame, centroids
from rapidash.geometry._graph import Graph
from rapidash.geometry._hierarchy import Hierarchy, build_hierarchy
from rapidash.geometry._invariants import PairInvariants, pair_invariants
from rapidash.geometry._nearest_means import nearest_means
from rapidash.geometry._neighbors import fully_connected_edges, knn_edges, nearest_sample_edges, radius_edges
from rapidash.geometry._periodic import Cell, PeriodicEdges, periodic_radius_edges
from rapidash.geometry._sampling import farthest_point_sample
from rapidash.geometry._table import node_attributes, node_coordinates, refinement_matrix
from rapidash.geometry._ties import find_tie, tie_exception
from rapidash.geometry._transforms import is_differentiated, is_transforming, is_watched

__all__ = [
    "KNN",
    "Cell",
    "EdgeRule",
    "FullyConnected",
    "Graph",
    "Hierarchy",
    "PairInvariants",
    "PeriodicEdges",
    "Radius",
    "build_hierarchy",
    "canonical_frame",
    "centroids",
    "check_cloud",
    "farthest_point_sample",
    "find_tie",
    "fully_connected_edges",
    "is_differentiated",
    "is_transforming",
    "is_watched",
    "knn_edges",
    "nearest_means",
    "nearest_sample_edges",
    "node_attributes",
    "node_coordinates",
    "num_changes",
    "pair_invariants",
    "parse_edges",
    "periodic_radius_edges",
    "polynomial_cutoff",
    "radius_edges",
    "refinement_matrix",
    "safe_norm",
    "tie_exception",
]
