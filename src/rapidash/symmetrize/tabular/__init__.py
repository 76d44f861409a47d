"""Classification in context on tables, equivariant to the names of the classes.

`EquiTabPFNClassifier` is an estimator of scikit-learn, which is imported when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

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
    ACCURACY,
    CHANGED,
    CLASS_COUNTS,
    GAP,
    RELABELLING_AVERAGES,
    Probabilities,
    Relabelling,
    figure_name,
    measure_relabelling,
    relabelling,
    relabelling_average,
)
from rapidash.symmetrize.tabular._saved import load_in_context, save_in_context
from rapidash.symmetrize.tabular._task import InContext, SyntheticTablesTask

if TYPE_CHECKING:
    from rapidash.symmetrize.tabular._classifier import EquiTabPFNClassifier

__all__ = [
    "ACCURACY",
    "CHANGED",
    "CLASS_COUNTS",
    "GAP",
    "RELABELLING_AVERAGES",
    "BiAttentionBlock",
    "EquiTabPFN",
    "EquiTabPFNClassifier",
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
    "figure_name",
    "fitted_to_width",
    "load_in_context",
    "measure_relabelling",
    "relabelling",
    "relabelling_average",
    "save_in_context",
    "standardized",
]


def __getattr__(name: str) -> Any:
    if name == "EquiTabPFNClassifier":
        from rapidash.symmetrize.tabular._classifier import EquiTabPFNClassifier

        return EquiTabPFNClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
