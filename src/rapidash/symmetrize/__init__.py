"""Making any network equivariant: frames, canonicalization, probabilistic symmetrization, and quadrature."""

from rapidash.symmetrize._canonical import Canonical, Conditional, with_noise
from rapidash.symmetrize._convergence import QuadratureError, quadrature_convergence
from rapidash.symmetrize._frames import Frames, frame_gap
from rapidash.symmetrize._networks import FrameNetwork, GroupActivations, small_frame_network
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

__all__ = [
    "Canonical",
    "ChoiceProjection",
    "Conditional",
    "FrameNetwork",
    "Frames",
    "GroupActivations",
    "Orthonormal",
    "PCAFrames",
    "ProductLaw",
    "Projected",
    "Projection",
    "Quadrature",
    "QuadratureError",
    "Regularity",
    "RotationProjection",
    "VectorProjection",
    "WeightedFrames",
    "frame_gap",
    "gram_schmidt",
    "orthonormal",
    "pair_frames",
    "pca_frames",
    "projection_of",
    "quadrature_convergence",
    "regularity",
    "small_frame_network",
    "straight_through",
    "to_special",
    "transport_distance",
    "with_noise",
]
