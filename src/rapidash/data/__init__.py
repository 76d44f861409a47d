"""Point clouds, batches and the declaration of their fields."""

from rapidash.data._cloud import CloudBatch, CloudDataset, Field

__all__ = ["CloudBatch", "CloudDataset", "Field"]
