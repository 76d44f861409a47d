"""Tasks, the training loop and its settings, evaluation."""

from rapidash.train._budget import AllocationLimit, TooLargeError, machine_memory
from rapidash.train._checkpoint import CHECKPOINT, CheckpointError, read_checkpoint
from rapidash.train._config import MAX_THREADS, WITHOUT_EFFECT, TrainConfig
from rapidash.train._ema import WeightAverage
from rapidash.train._evaluate import EvalResult, evaluate, predict
from rapidash.train._hooks import Hook, StatefulHook, SteppedHook
from rapidash.train._loop import TrainResult, find_device, train
from rapidash.train._memory import PeakMemory
from rapidash.train._optim import learning_rate, parameter_groups
from rapidash.train._prediction import FileTask, Input, Output
from rapidash.train._registry import TASKS, get_task
from rapidash.train._run import TrainingDivergedError
from rapidash.train._task import HOW_IT_READS, DetailedTask, Split, Task
from rapidash.train._trained import TrainedModel
from rapidash.train._variant import Variant
from rapidash.train._write_predictions import Predictions

__all__ = [
    "CHECKPOINT",
    "HOW_IT_READS",
    "MAX_THREADS",
    "TASKS",
    "WITHOUT_EFFECT",
    "AllocationLimit",
    "CheckpointError",
    "DetailedTask",
    "EvalResult",
    "FileTask",
    "Hook",
    "Input",
    "Output",
    "PeakMemory",
    "Predictions",
    "Split",
    "StatefulHook",
    "SteppedHook",
    "Task",
    "TooLargeError",
    "TrainConfig",
    "TrainResult",
    "TrainedModel",
    "TrainingDivergedError",
    "Variant",
    "WeightAverage",
    "evaluate",
    "find_device",
    "get_task",
    "learning_rate",
    "machine_memory",
    "parameter_groups",
    "predict",
    "read_checkpoint",
    "train",
]
