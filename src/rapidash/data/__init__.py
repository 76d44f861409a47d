"""Point clouds with declared fields: batches, data sets, corruptions, and clouds of other libraries."""

from rapidash.data._ase import from_ase
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
from rapidash.data._pyg import dataset_from_pyg, from_pyg

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
    "dataset_from_pyg",
    "from_ase",
    "from_pyg",
]
