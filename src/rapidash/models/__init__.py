"""Whole networks."""

from rapidash.models._config import RapidashConfig
from rapidash.models._rapidash import Rapidash, RapidashOutput

__all__ = ["Rapidash", "RapidashConfig", "RapidashOutput"]
