"""Point clouds and rows with declared fields: batches, data sets and corruptions."""

from rapidash._seed import seeded
from rapidash.data._cloud import CloudBatch, CloudDataset
from rapidash.data._collate import collate
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
from rapidash.data._fields import Field
from rapidash.data._moved import MovedDataset, moved
from rapidash.data._protocols import Batch, Dataset
from rapidash.data._rounding import centers_far_away, rounded
from rapidash.data._rows import RowBatch, RowDataset

__all__ = [
    "CORRUPTIONS",
    "MODELNET40_C",
    "POINTCLOUD_C",
    "SEVERITIES",
    "Batch",
    "CloudBatch",
    "CloudDataset",
    "Corruption",
    "CorruptionError",
    "CorruptionKind",
    "Dataset",
    "Field",
    "MovedDataset",
    "Normalization",
    "RowBatch",
    "RowDataset",
    "centers_far_away",
    "collate",
    "corrupt",
    "corrupt_dataset",
    "corruption_error",
    "moved",
    "relative_errors",
    "rounded",
    "seeded",
]
