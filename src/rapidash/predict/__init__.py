"""Trained models: saved, read again, and applied to files."""

from rapidash.predict._trained import TrainedModel
from rapidash.predict._write_predictions import Predictions

__all__ = ["Predictions", "TrainedModel"]
