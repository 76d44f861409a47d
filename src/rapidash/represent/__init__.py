"""Features learned without labels: pre-training on pairs of views, probes of what was learned, and its further use."""

from rapidash.represent._concatenated import ConcatenatedEncoder, PointEncoder, features_of
from rapidash.represent._contrastive import ConcatenatedPretraining, ContrastivePretraining
from rapidash.represent._features import FeatureConfig, SplitFeatures
from rapidash.represent._info_nce import info_nce
from rapidash.represent._linear_probe import LinearProbe, ProbeTask, linear_probe, probe_penalties
from rapidash.represent._pretraining import (
    CONSTANT_ERROR,
    EQUIVARIANT_ERROR,
    INVARIANT_ERROR,
    PAIR_LOSS,
    FeatureSizes,
    Pretraining,
    PretrainingModel,
    SplitEncoder,
    encoded,
)
from rapidash.represent._probes import Probe, column_r2, linear_classifier, linear_regression, mlp_regression
from rapidash.represent._representation import (
    FeatureRepresentation,
    LinearRepresentation,
    VectorRepresentation,
    homomorphism_error,
)
from rapidash.represent._sie import SieHeads, SieTerms, SplitInvariantEquivariant, sie_terms
from rapidash.represent._start import Start, start_from, weights_digest
from rapidash.represent._transfer_measure import (
    APPEARANCE_SIMILARITY,
    CLASS,
    MOST_FREQUENT,
    PART,
    POSE_GIVEN_CLASS,
    PROBES,
    RANK,
    SCALE,
    distance_under,
    measure_transfer,
    similarity_under,
)
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
from rapidash.represent._untrained import Untrained
from rapidash.represent._vicreg import vicreg_covariance, vicreg_variance
from rapidash.represent._views import ELEMENT, LeftProduct, halves, moved_views, relative_elements, two_views

__all__ = [
    "APPEARANCE",
    "APPEARANCE_SIMILARITY",
    "CLASS",
    "CONSTANT_ERROR",
    "ELEMENT",
    "EQUIVARIANT_ERROR",
    "INVARIANT_ERROR",
    "MOST_FREQUENT",
    "PAIR_LOSS",
    "PART",
    "POSE",
    "POSE_GIVEN_CLASS",
    "PROBES",
    "RANK",
    "SCALE",
    "TRANSFORMS",
    "CloudTransform",
    "ConcatenatedEncoder",
    "ConcatenatedPretraining",
    "ContrastivePretraining",
    "FeatureConfig",
    "FeatureRepresentation",
    "FeatureSizes",
    "LeftProduct",
    "LinearProbe",
    "LinearRepresentation",
    "PointEncoder",
    "Pretraining",
    "PretrainingModel",
    "Probe",
    "ProbeTask",
    "SieHeads",
    "SieTerms",
    "SplitEncoder",
    "SplitFeatures",
    "SplitInvariantEquivariant",
    "Start",
    "TransformKind",
    "Untrained",
    "VectorRepresentation",
    "augmented",
    "column_r2",
    "distance_under",
    "encoded",
    "features_of",
    "halves",
    "homomorphism_error",
    "info_nce",
    "linear_classifier",
    "linear_probe",
    "linear_regression",
    "measure_transfer",
    "mlp_regression",
    "moved_views",
    "probe_penalties",
    "relative_elements",
    "sie_terms",
    "similarity_report",
    "similarity_to_transforms",
    "similarity_under",
    "start_from",
    "two_views",
    "vicreg_covariance",
    "vicreg_variance",
    "weights_digest",
]
