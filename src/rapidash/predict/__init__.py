"""Trained models: saved, read again, and applied to files."""

from rapidash.predict._potential import Potential, PotentialValues
from rapidash.predict._trained import BadCloudError, TrainedModel
from rapidash.predict._write_predictions import Predictions, check_fit, check_format, check_place, default_place
from rapidash.predict._write_samples import check_sample_format, write_samples

__all__ = [
    "BadCloudError",
    "Potential",
    "PotentialValues",
    "Predictions",
    "TrainedModel",
    "check_fit",
    "check_format",
    "check_place",
    "check_sample_format",
    "default_place",
    "write_samples",
]
