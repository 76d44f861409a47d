"""The training loop, its settings and its checkpoints."""

from typing import TYPE_CHECKING

from rapidash._deprecated import moved_names
from rapidash.train._checkpoint import CHECKPOINT, CheckpointError, read_checkpoint
from rapidash.train._config import MAX_THREADS, WITHOUT_EFFECT, TrainConfig
from rapidash.train._cost import StepCost, step_costs
from rapidash.train._ema import WeightAverage
from rapidash.train._log import progress_bar
from rapidash.train._loop import TrainResult, find_device, train
from rapidash.train._memory import PeakMemory
from rapidash.train._optim import learning_rate, parameter_groups
from rapidash.train._training import Setup, TrainingDivergedError

__all__ = [
    "CHECKPOINT",
    "MAX_THREADS",
    "WITHOUT_EFFECT",
    "CheckpointError",
    "PeakMemory",
    "Setup",
    "StepCost",
    "TrainConfig",
    "TrainResult",
    "TrainingDivergedError",
    "WeightAverage",
    "find_device",
    "learning_rate",
    "parameter_groups",
    "progress_bar",
    "read_checkpoint",
    "step_costs",
    "train",
]

if not TYPE_CHECKING:  # which reads the names where they are now
    __getattr__ = moved_names(__name__)
