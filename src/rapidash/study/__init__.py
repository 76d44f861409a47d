"""Studies: frozen designs, one record per run, launchers that survive what kills a run, statistics over seeds."""

from rapidash.study._claims import EXACT_LIMIT, refutation, refuted, worst_errors
from rapidash.study._comparison import VariantRow, compare_variants, find_winner
from rapidash.study._corruption_plan import CorruptionPlan, change_reference, plan_corruptions
from rapidash.study._corruption_runs import run_corruptions
from rapidash.study._design import RunConfig, StudyDesign
from rapidash.study._designs import get_design
from rapidash.study._one_metric import metric_faults
from rapidash.study._plugins import load_plugins
from rapidash.study._progress import last_line
from rapidash.study._resources import Resources
from rapidash.study._robustness import (
    Robustness,
    RobustnessRow,
    compare_robustness,
    read_robustness,
    robustness_table,
)
from rapidash.study._run import check_data, run_one
from rapidash.study._statistics import (
    Interval,
    PairedDifference,
    Verdict,
    false_discovery,
    mean_interval,
    paired_difference,
    paired_t_p_value,
    ratio_interval,
    smallest_p_value,
    winner,
)
from rapidash.study._store import Record, Store, StoreError
from rapidash.study._study import run_study
from rapidash.study._table import study_table, verdict_sentence
from rapidash.study._valid import design_fault, record_fault
from rapidash.study._weights import TrainedRun, load_run

__all__ = [
    "EXACT_LIMIT",
    "CorruptionPlan",
    "Interval",
    "PairedDifference",
    "Record",
    "Resources",
    "Robustness",
    "RobustnessRow",
    "RunConfig",
    "Store",
    "StoreError",
    "StudyDesign",
    "TrainedRun",
    "VariantRow",
    "Verdict",
    "change_reference",
    "check_data",
    "compare_robustness",
    "compare_variants",
    "design_fault",
    "false_discovery",
    "find_winner",
    "get_design",
    "last_line",
    "load_plugins",
    "load_run",
    "mean_interval",
    "metric_faults",
    "paired_difference",
    "paired_t_p_value",
    "plan_corruptions",
    "ratio_interval",
    "read_robustness",
    "record_fault",
    "refutation",
    "refuted",
    "robustness_table",
    "run_corruptions",
    "run_one",
    "run_study",
    "smallest_p_value",
    "study_table",
    "verdict_sentence",
    "winner",
    "worst_errors",
]
