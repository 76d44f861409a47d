"""Making any network equivariant: frames, canonicalization, averages, quadrature; and guaranteed invariants."""

from rapidash.symmetrize._canonical import Canonical, Conditional, with_noise
from rapidash.symmetrize._canonicalization import Canonicalization, ChoosingMethod, ProbabilisticSymmetrization
from rapidash.symmetrize._convergence import QuadratureError, quadrature_convergence
from rapidash.symmetrize._frame_averaging import FrameAveraging
from rapidash.symmetrize._frames import Frames, frame_gap
from rapidash.symmetrize._group_averaging import GroupAveraging
from rapidash.symmetrize._integrands import Integrand, Linear, Mlp, Monomial, WeightedSum
from rapidash.symmetrize._integrate_invariants import IntegrateInvariants
from rapidash.symmetrize._invariant_integration import InvariantIntegration
from rapidash.symmetrize._multi_stream import Concat, MeanLogits, MultiStream, MultiStreamConfig
from rapidash.symmetrize._networks import FrameNetwork, GroupActivations, small_frame_network
from rapidash.symmetrize._order_methods import (
    CanonicalOrder,
    HaarOrder,
    LaplacianFrames,
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
from rapidash.symmetrize._scale_stream import ScaleError, ScaleStream, ScaleStreamConfig, scale_error, zoomed
from rapidash.symmetrize._soft_sort import SoftSort, permutation_entropy, score_gap, soft_sort

__all__ = [
    "Canonical",
    "CanonicalOrder",
    "Canonicalization",
    "ChoiceProjection",
    "ChoosingMethod",
    "Concat",
    "Conditional",
    "FrameAveraging",
    "FrameNetwork",
    "Frames",
    "GroupActivations",
    "GroupAveraging",
    "HaarOrder",
    "Integrand",
    "IntegrateInvariants",
    "InvariantIntegration",
    "JointProjection",
    "LaplacianFrames",
    "LaplacianOrder",
    "Linear",
    "MeanLogits",
    "Mlp",
    "Monomial",
    "MultiStream",
    "MultiStreamConfig",
    "OrderMethod",
    "OrderProjection",
    "OrderScores",
    "Orthonormal",
    "PCAFrames",
    "ProbabilisticOrder",
    "ProbabilisticSymmetrization",
    "ProductLaw",
    "Projected",
    "Projection",
    "Quadrature",
    "QuadratureError",
    "Regularity",
    "RotationProjection",
    "ScaleError",
    "ScaleStream",
    "ScaleStreamConfig",
    "SoftSort",
    "VectorProjection",
    "WeightedFrames",
    "WeightedSum",
    "frame_gap",
    "gram_schmidt",
    "orthonormal",
    "pair_frames",
    "pca_frames",
    "permutation_entropy",
    "projection_of",
    "quadrature_convergence",
    "regularity",
    "scale_error",
    "score_gap",
    "small_frame_network",
    "soft_sort",
    "straight_through",
    "to_special",
    "transport_distance",
    "with_noise",
    "zoomed",
]
