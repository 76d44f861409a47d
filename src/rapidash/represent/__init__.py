"""Representations learned without labels: contrastive pre-training, what it makes invariant, and what transfers."""

from rapidash.represent._info_nce import info_nce
from rapidash.represent._linear_probe import LinearProbe, ProbeTask, linear_probe, probe_penalties, r_squared
from rapidash.represent._transforms import (
    APPEARANCE,
    POSE,
    TRANSFORMS,
    CloudTransform,
    TransformKind,
    augmented,
    similarity_report,
    similarity_to_transforms,
)

__all__ = [
    "APPEARANCE",
    "POSE",
    "TRANSFORMS",
    "CloudTransform",
    "LinearProbe",
    "ProbeTask",
    "TransformKind",
    "augmented",
    "info_nce",
    "linear_probe",
    "probe_penalties",
    "r_squared",
    "similarity_report",
    "similarity_to_transforms",
]
