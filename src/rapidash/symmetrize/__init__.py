"""Symmetrize: invariants and streams that make a network invariant by construction."""

from rapidash.symmetrize._integrands import Integrand, Linear, Mlp, Monomial, WeightedSum
from rapidash.symmetrize._integrate_invariants import IntegrateInvariants
from rapidash.symmetrize._invariant_integration import InvariantIntegration
from rapidash.symmetrize._multi_stream import Concat, MeanLogits, MultiStream, MultiStreamConfig
from rapidash.symmetrize._scale_stream import ScaleError, ScaleStream, ScaleStreamConfig, scale_error, zoomed

__all__ = [
    "Concat",
    "Integrand",
    "IntegrateInvariants",
    "InvariantIntegration",
    "Linear",
    "MeanLogits",
    "Mlp",
    "Monomial",
    "MultiStream",
    "MultiStreamConfig",
    "ScaleError",
    "ScaleStream",
    "ScaleStreamConfig",
    "WeightedSum",
    "scale_error",
    "zoomed",
]
