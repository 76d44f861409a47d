"""Features learned without labels: pre-training on pairs of views, probes of what was learned, and its further use."""

from rapidash.represent._features import FeatureConfig, SplitFeatures
from rapidash.represent._measure import (
    CHANCE_MRR,
    CLASS,
    CONSTANT,
    EQUIVARIANT,
    HIT,
    HOMOMORPHISM,
    INVARIANT,
    MOTION,
    MRR,
    NUM_VIEWS,
    figure_of,
    measure_representation,
    retrieved,
)
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
    element_code,
    homomorphism_error,
)
from rapidash.represent._retrieval import Retrieval, retrieval
from rapidash.represent._sie import SieHeads, SieTerms, SplitInvariantEquivariant, sie_terms
from rapidash.represent._start import Start, start_from, weights_digest
from rapidash.represent._untrained import Untrained
from rapidash.represent._vicreg import vicreg_covariance, vicreg_variance
from rapidash.represent._views import ELEMENT, LeftProduct, halves, moved_views, relative_elements, two_views

__all__ = [
    "CHANCE_MRR",
    "CLASS",
    "CONSTANT",
    "CONSTANT_ERROR",
    "ELEMENT",
    "EQUIVARIANT",
    "EQUIVARIANT_ERROR",
    "HIT",
    "HOMOMORPHISM",
    "INVARIANT",
    "INVARIANT_ERROR",
    "MOTION",
    "MRR",
    "NUM_VIEWS",
    "PAIR_LOSS",
    "FeatureConfig",
    "FeatureRepresentation",
    "FeatureSizes",
    "LeftProduct",
    "LinearRepresentation",
    "Pretraining",
    "PretrainingModel",
    "Probe",
    "Retrieval",
    "SieHeads",
    "SieTerms",
    "SplitEncoder",
    "SplitFeatures",
    "SplitInvariantEquivariant",
    "Start",
    "Untrained",
    "VectorRepresentation",
    "column_r2",
    "element_code",
    "encoded",
    "figure_of",
    "halves",
    "homomorphism_error",
    "linear_classifier",
    "linear_regression",
    "measure_representation",
    "mlp_regression",
    "moved_views",
    "relative_elements",
    "retrieval",
    "retrieved",
    "sie_terms",
    "start_from",
    "two_views",
    "vicreg_covariance",
    "vicreg_variance",
    "weights_digest",
]
