"""Whole networks."""

from rapidash.models._config import RapidashConfig
from rapidash.models._kernel_error import KernelError, choose_table_size, kernel_error
from rapidash.models._rapidash import Rapidash, RapidashOutput

__all__ = ["KernelError", "Rapidash", "RapidashConfig", "RapidashOutput", "choose_table_size", "kernel_error"]
