"""Point clouds with declared fields: batches, data sets and corruptions."""

from rapidash.data._cloud import CloudBatch, CloudDataset, Field
from rapidash.data._corruption_error import CorruptionError, corruption_error, relative_errors
from rapidash.data._corruptions import (
    CORRUPTIONS,
    MODELNET40_C,
    POINTCLOUD_C,
    SEVERITIES,
    Corruption,
    CorruptionKind,
    Normalization,
    corrupt,
    corrupt_dataset,
)

__all__ = [
    "CORRUPTIONS",
    "MODELNET40_C",
    "POINTCLOUD_C",
    "SEVERITIES",
    "CloudBatch",
    "CloudDataset",
    "Corruption",
    "CorruptionError",
    "CorruptionKind",
    "Field",
    "Normalization",
    "corrupt",
    "corrupt_dataset",
    "corruption_error",
    "relative_errors",
]
