"""Whether compiled code may read tensors as arrays."""

from importlib.util import find_spec

import torch
from torch import Tensor

from rapidash.geometry._transforms import is_watched

HAS_NUMBA = find_spec("numba") is not None
_DTYPES = (torch.float32, torch.float64, torch.int64)


def has_arrays(*tensors: Tensor) -> bool:
    """Whether numba is there, and these are contiguous tensors on the CPU of its usual types, and nobody watches."""
    if not HAS_NUMBA or is_watched(*tensors):
        return False
    return all(tensor.is_cpu and tensor.dtype in _DTYPES and tensor.is_contiguous() for tensor in tensors)
