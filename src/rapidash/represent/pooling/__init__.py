"""Pooling data of several sites: keep what a covariate changes, forget what a site changes (arXiv 2203.15234)."""

from rapidash.represent.pooling._combat import ComBat, SiteEffects, shrunk_effects
from rapidash.represent.pooling._configs import SiteColumnsConfig, SiteEncoderConfig, TwoStageEncoderConfig
from rapidash.represent.pooling._discrepancy import Kernel, covariate_bins, maximum_mean_discrepancy
from rapidash.represent.pooling._fit import TwoStagePooling
from rapidash.represent.pooling._frames import CanonicalizedHead, cayley
from rapidash.represent.pooling._heads import HEADS, HeadName, nested_head
from rapidash.represent.pooling._losses import matched_distance, pairwise_covariate_loss, reversed_gradient
from rapidash.represent.pooling._measure import ANSWERERS, OWN, error_name, measure_pooling
from rapidash.represent.pooling._methods import CombatColumns, LargestSite
from rapidash.represent.pooling._networks import (
    ColumnsNetwork,
    CovariateEquivariantEncoder,
    EncoderNetwork,
    SiteNetwork,
    TwoStageNetwork,
)
from rapidash.represent.pooling._objectives import MatchedPairs, SiteAdversary, SiteDiscrepancy, StageControl, TwoStage
from rapidash.represent.pooling._probes import explained_share, linear_answer, probe
from rapidash.represent.pooling._report import (
    ACCURACY,
    ADVERSARY,
    ADVERSARY_C_ONLY,
    ADVERSARY_GIVEN_C,
    CONDITIONAL,
    COVARIATE,
    COVARIATE_ANYHOW,
    DISCREPANCY,
    FIGURES,
    LEAK,
    SiteRows,
    pooling_report,
)
from rapidash.represent.pooling._rows import SITE_FIELDS, PooledModel, check_sites, pooled_model

__all__ = [
    "ACCURACY",
    "ADVERSARY",
    "ADVERSARY_C_ONLY",
    "ADVERSARY_GIVEN_C",
    "ANSWERERS",
    "CONDITIONAL",
    "COVARIATE",
    "COVARIATE_ANYHOW",
    "DISCREPANCY",
    "FIGURES",
    "HEADS",
    "LEAK",
    "OWN",
    "SITE_FIELDS",
    "CanonicalizedHead",
    "ColumnsNetwork",
    "ComBat",
    "CombatColumns",
    "CovariateEquivariantEncoder",
    "EncoderNetwork",
    "HeadName",
    "Kernel",
    "LargestSite",
    "MatchedPairs",
    "PooledModel",
    "SiteAdversary",
    "SiteColumnsConfig",
    "SiteDiscrepancy",
    "SiteEffects",
    "SiteEncoderConfig",
    "SiteNetwork",
    "SiteRows",
    "StageControl",
    "TwoStage",
    "TwoStageEncoderConfig",
    "TwoStageNetwork",
    "TwoStagePooling",
    "cayley",
    "check_sites",
    "covariate_bins",
    "error_name",
    "explained_share",
    "linear_answer",
    "matched_distance",
    "maximum_mean_discrepancy",
    "measure_pooling",
    "nested_head",
    "pairwise_covariate_loss",
    "pooled_model",
    "pooling_report",
    "probe",
    "reversed_gradient",
    "shrunk_effects",
]
