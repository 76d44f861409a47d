"""Making any network equivariant: frames, canonicalization, probabilistic symmetrization, and quadrature."""

from rapidash.symmetrize._canonical import Canonical, Conditional, with_noise
from rapidash.symmetrize._convergence import QuadratureError, quadrature_convergence
from rapidash.symmetrize._frames import Frames, frame_gap
from rapidash.symmetrize._networks import FrameNetwork, GroupActivations, small_frame_network
from rapidash.symmetrize._order_methods import (
    CanonicalOrder,
    HaarOrder,
    LaplacianFrames,
    OrderedModel,
    OrderMethod,
    OrderScores,
    ProbabilisticOrder,
)
from rapidash.symmetrize._orders import JointProjection, LaplacianOrder, OrderProjection
from rapidash.symmetrize._orthogonal import Orthonormal, gram_schmidt, orthonormal, straight_through, to_special
from rapidash.symmetrize._pair_frames import WeightedFrames, pair_frames
from rapidash.symmetrize._pca import PCAFrames, pca_frames
from rapidash.symmetrize._product_law import ProductLaw
from rapidash.symmetrize._projections import (
    ChoiceProjection,
    Projected,
    Projection,
    RotationProjection,
    VectorProjection,
    projection_of,
)
from rapidash.symmetrize._quadrature import Quadrature
from rapidash.symmetrize._regularity import Regularity, regularity, transport_distance
from rapidash.symmetrize._soft_sort import SoftSort, permutation_entropy, score_gap, soft_sort

__all__ = [
    "Canonical",
    "CanonicalOrder",
    "ChoiceProjection",
    "Conditional",
    "FrameNetwork",
    "Frames",
    "GroupActivations",
    "HaarOrder",
    "JointProjection",
    "LaplacianFrames",
    "LaplacianOrder",
    "OrderMethod",
    "OrderProjection",
    "OrderScores",
    "OrderedModel",
    "Orthonormal",
    "PCAFrames",
    "ProbabilisticOrder",
    "ProductLaw",
    "Projected",
    "Projection",
    "Quadrature",
    "QuadratureError",
    "Regularity",
    "RotationProjection",
    "SoftSort",
    "VectorProjection",
    "WeightedFrames",
    "frame_gap",
    "gram_schmidt",
    "orthonormal",
    "pair_frames",
    "pca_frames",
    "permutation_entropy",
    "projection_of",
    "quadrature_convergence",
    "regularity",
    "score_gap",
    "small_frame_network",
    "soft_sort",
    "straight_through",
    "to_special",
    "transport_distance",
    "with_noise",
]
