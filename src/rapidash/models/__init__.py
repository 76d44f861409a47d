"""Whole networks."""

from rapidash.models._backbone import NetworkConfig, build_backbone
from rapidash.models._baseline import Baseline, check_libraries
from rapidash.models._baseline_config import BaselineConfig
from rapidash.models._config import RapidashConfig
from rapidash.models._dgcnn import DGCNN
from rapidash.models._egnn import EGNN
from rapidash.models._kernel_error import KernelError, choose_table_size, kernel_error
from rapidash.models._rapidash import Rapidash, RapidashOutput

__all__ = [
    "DGCNN",
    "EGNN",
    "Baseline",
    "BaselineConfig",
    "KernelError",
    "NetworkConfig",
    "Rapidash",
    "RapidashConfig",
    "RapidashOutput",
    "build_backbone",
    "check_libraries",
    "choose_table_size",
    "kernel_error",
]
