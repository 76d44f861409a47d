"""Studies: frozen designs, one record per run, launchers that survive what kills a run, statistics over seeds."""

from rapidash.study._design import RunConfig, StudyDesign
from rapidash.study._designs import DESIGNS, get_design
from rapidash.study._run import run_one
from rapidash.study._statistics import (
    Interval,
    PairedDifference,
    false_discovery,
    mean_interval,
    paired_difference,
    paired_t_p_value,
    ratio_interval,
    smallest_p_value,
)
from rapidash.study._store import Record, Store, StoreError
from rapidash.study._weights import TrainedRun, load_run

__all__ = [
    "DESIGNS",
    "Interval",
    "PairedDifference",
    "Record",
    "RunConfig",
    "Store",
    "StoreError",
    "StudyDesign",
    "TrainedRun",
    "false_discovery",
    "get_design",
    "load_run",
    "mean_interval",
    "paired_difference",
    "paired_t_p_value",
    "ratio_interval",
    "run_one",
    "smallest_p_value",
]
