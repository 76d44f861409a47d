"""Measure symmetry: how equivariant is a model, where is it lost, and does it matter?"""

from rapidash.measure._action import Action, Declaration, Function
from rapidash.measure._check import EquivarianceCheck, assert_equivariant, check_equivariance
from rapidash.measure._conformal import (
    Coverage,
    SplitConformal,
    brier_score,
    compare_uncertainty,
    expected_calibration_error,
    negative_log_likelihood,
    resampled_coverage,
)
from rapidash.measure._correlation import Correlation, correlation_study
from rapidash.measure._data_symmetry import PointNet, SymmetryBreakingScore, symmetry_breaking_score
from rapidash.measure._defect import defect
from rapidash.measure._disentanglement import (
    DCI,
    FactorVaeScore,
    MutualInformationGap,
    dci,
    disentanglement_completeness,
    factor_vae_score,
    mutual_information_gap,
)
from rapidash.measure._equivariance_error import EquivarianceError, draw_elements, equivariance_error
from rapidash.measure._features import (
    InvarianceSimilarity,
    Whitening,
    empirical_equivariance_deviation,
    feature_statistics,
    invariance_similarity,
    relative_rms_deviation,
    similarity_of_views,
)
from rapidash.measure._invariance import InvarianceScores, effective_invariance, invariance_scores
from rapidash.measure._irrep_spectrum import IrrepSpectrum, irrep_basis, irrep_spectrum
from rapidash.measure._laplace import LastLayerLaplace, last_layer_laplace
from rapidash.measure._layerwise import LayerwiseError, layerwise_equivariance_error
from rapidash.measure._lie_derivative import (
    LieDerivative,
    LocalEquivarianceError,
    lie_derivative,
    local_equivariance_error,
)
from rapidash.measure._loss_share import LossShare, equivariance_gap, symmetry_loss_share
from rapidash.measure._point_shares import PointShares, point_shares
from rapidash.measure._portrait import ErrorCurve, Portrait, SphereMap, TurnedCloud, portrait, pose_rotation
from rapidash.measure._precision import PrecisionCheck, precision_check
from rapidash.measure._rapidash_layers import as_module, rapidash_action, rapidash_layers
from rapidash.measure._report import Report
from rapidash.measure._severity import SeverityCurve, error_against_severity, severity_report
from rapidash.measure._slope import lie_slope
from rapidash.measure._symmetry_cost import CostJudgment, SymmetryCost, judge_cost, symmetry_cost
from rapidash.measure._task_symmetry import TaskSymmetryBreaking, task_symmetry_breaking

__all__ = [
    "DCI",
    "Action",
    "Correlation",
    "CostJudgment",
    "Coverage",
    "Declaration",
    "EquivarianceCheck",
    "EquivarianceError",
    "ErrorCurve",
    "FactorVaeScore",
    "Function",
    "InvarianceScores",
    "InvarianceSimilarity",
    "IrrepSpectrum",
    "LastLayerLaplace",
    "LayerwiseError",
    "LieDerivative",
    "LocalEquivarianceError",
    "LossShare",
    "MutualInformationGap",
    "PointNet",
    "PointShares",
    "Portrait",
    "PrecisionCheck",
    "Report",
    "SeverityCurve",
    "SphereMap",
    "SplitConformal",
    "SymmetryBreakingScore",
    "SymmetryCost",
    "TaskSymmetryBreaking",
    "TurnedCloud",
    "Whitening",
    "as_module",
    "assert_equivariant",
    "brier_score",
    "check_equivariance",
    "compare_uncertainty",
    "correlation_study",
    "dci",
    "defect",
    "disentanglement_completeness",
    "draw_elements",
    "effective_invariance",
    "empirical_equivariance_deviation",
    "equivariance_error",
    "equivariance_gap",
    "error_against_severity",
    "expected_calibration_error",
    "factor_vae_score",
    "feature_statistics",
    "invariance_scores",
    "invariance_similarity",
    "irrep_basis",
    "irrep_spectrum",
    "judge_cost",
    "last_layer_laplace",
    "layerwise_equivariance_error",
    "lie_derivative",
    "lie_slope",
    "local_equivariance_error",
    "mutual_information_gap",
    "negative_log_likelihood",
    "point_shares",
    "portrait",
    "pose_rotation",
    "precision_check",
    "rapidash_action",
    "rapidash_layers",
    "relative_rms_deviation",
    "resampled_coverage",
    "severity_report",
    "similarity_of_views",
    "symmetry_breaking_score",
    "symmetry_cost",
    "symmetry_loss_share",
    "task_symmetry_breaking",
]
