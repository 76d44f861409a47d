"""Classification in context on tables, equivariant to the names of the classes."""

from rapidash.symmetrize.tabular._configs import EquiTabPFNConfig, FixedHeadPFNConfig
from rapidash.symmetrize.tabular._equitabpfn import BiAttentionBlock, EquiTabPFN, KernelDecoder
from rapidash.symmetrize.tabular._fixed_head import FixedHeadPFN, RowAttentionBlock
from rapidash.symmetrize.tabular._labels import Labels
from rapidash.symmetrize.tabular._objective import PriorFitting
from rapidash.symmetrize.tabular._prior import (
    Prior,
    RandomClassificationPrior,
    SyntheticTasks,
    TanhPrior,
    fitted_to_width,
    standardized,
)
from rapidash.symmetrize.tabular._relabelling import (
    Probabilities,
    Relabelling,
    measure_relabelling,
    relabelling,
    relabelling_average,
)
from rapidash.symmetrize.tabular._saved import load_in_context, save_in_context
from rapidash.symmetrize.tabular._task import InContext, SyntheticTablesTask

__all__ = [
    "BiAttentionBlock",
    "EquiTabPFN",
    "EquiTabPFNConfig",
    "FixedHeadPFN",
    "FixedHeadPFNConfig",
    "InContext",
    "KernelDecoder",
    "Labels",
    "Prior",
    "PriorFitting",
    "Probabilities",
    "RandomClassificationPrior",
    "Relabelling",
    "RowAttentionBlock",
    "SyntheticTablesTask",
    "SyntheticTasks",
    "TanhPrior",
    "fitted_to_width",
    "load_in_context",
    "measure_relabelling",
    "relabelling",
    "relabelling_average",
    "save_in_context",
    "standardized",
]
