"""Point clouds with declared fields: batches, data sets and corruptions."""

from rapidash.data._cloud import CloudBatch, CloudDataset, Field
from rapidash.data._corruptions import (
    MODELNET40_C,
    POINTCLOUD_C,
    Corruption,
    CorruptionError,
    corrupt,
    corrupt_dataset,
    corruption_error,
)

__all__ = [
    "MODELNET40_C",
    "POINTCLOUD_C",
    "CloudBatch",
    "CloudDataset",
    "Corruption",
    "CorruptionError",
    "Field",
    "corrupt",
    "corrupt_dataset",
    "corruption_error",
]
