"""Tasks: a dataset, the network's inputs and outputs, a loss and a metric. One file per task."""

from rapidash.tasks._field_network import FieldNetwork
from rapidash.tasks._field_task import FieldTask
from rapidash.tasks._file_task import FileTask, NeededField, Output, category_number, check_reference, cloud_tensors
from rapidash.tasks._get import get_task, option_types
from rapidash.tasks._own_options import own_data_options
from rapidash.tasks._posed_task import PosedTask

__all__ = [
    "FieldNetwork",
    "FieldTask",
    "FileTask",
    "NeededField",
    "Output",
    "PosedTask",
    "category_number",
    "check_reference",
    "cloud_tensors",
    "get_task",
    "option_types",
    "own_data_options",
]
