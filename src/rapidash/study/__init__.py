"""Studies: frozen designs, one record per run, launchers that survive what kills a run, statistics over seeds."""

from rapidash.study._begin import compared_with_saved
from rapidash.study._claims import EXACT_LIMIT, refutation, refuted, worst_errors
from rapidash.study._corruption_plan import CorruptionPlan, change_reference, plan_corruptions
from rapidash.study._corruption_runs import run_corruptions
from rapidash.study._data import check_data, training_subset
from rapidash.study._design import Equal, StudyDesign
from rapidash.study._designs import get_design
from rapidash.study._equality import Equality
from rapidash.study._estimate import Estimate, error_estimate, estimate, largest_value
from rapidash.study._init import PRETRAINING, Init, Pretrained, SavedWeights
from rapidash.study._judge import Comparison, Judgment, judge
from rapidash.study._level import level_words, row_name
from rapidash.study._plugins import load_plugins
from rapidash.study._printable import LONGEST_TEXT
from rapidash.study._progress import last_line
from rapidash.study._recorded_run import Run, shortened
from rapidash.study._records import Row, Study, read_study, study_of
from rapidash.study._resources import Resources
from rapidash.study._robustness import (
    Robustness,
    RobustnessRow,
    compare_robustness,
    read_robustness,
)
from rapidash.study._run import run_one
from rapidash.study._run_config import RunConfig
from rapidash.study._statistics import (
    Interval,
    false_discovery,
    mean_interval,
    paired_difference,
    paired_t_p_value,
    ratio_interval,
    sign_flip_p_value,
    smallest_p_value,
)
from rapidash.study._steps import with_steps
from rapidash.study._store import Record, Store, StoreError
from rapidash.study._study import run_study
from rapidash.study._summary import (
    FigureSummary,
    StudySummary,
    VariantSummary,
    ViewSummary,
    letter,
    summarize,
)
from rapidash.study._valid import design_fault, record_fault
from rapidash.study._weights import TrainedRun, load_run

__all__ = [
    "EXACT_LIMIT",
    "LONGEST_TEXT",
    "PRETRAINING",
    "Comparison",
    "CorruptionPlan",
    "Equal",
    "Equality",
    "Estimate",
    "FigureSummary",
    "Init",
    "Interval",
    "Judgment",
    "Pretrained",
    "Record",
    "Resources",
    "Robustness",
    "RobustnessRow",
    "Row",
    "Run",
    "RunConfig",
    "SavedWeights",
    "Store",
    "StoreError",
    "Study",
    "StudyDesign",
    "StudySummary",
    "TrainedRun",
    "VariantSummary",
    "ViewSummary",
    "change_reference",
    "check_data",
    "compare_robustness",
    "compared_with_saved",
    "design_fault",
    "error_estimate",
    "estimate",
    "false_discovery",
    "get_design",
    "judge",
    "largest_value",
    "last_line",
    "letter",
    "level_words",
    "load_plugins",
    "load_run",
    "mean_interval",
    "paired_difference",
    "paired_t_p_value",
    "plan_corruptions",
    "ratio_interval",
    "read_robustness",
    "read_study",
    "record_fault",
    "refutation",
    "refuted",
    "row_name",
    "run_corruptions",
    "run_one",
    "run_study",
    "shortened",
    "sign_flip_p_value",
    "smallest_p_value",
    "study_of",
    "summarize",
    "training_subset",
    "with_steps",
    "worst_errors",
]
