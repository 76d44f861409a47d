"""Whether compiled code may read tensors as arrays, and whether their numbers are still the same."""

import torch
from torch import Tensor

from rapidash._compilers import HAS_NUMBA
from rapidash.geometry._transforms import is_watched

_DTYPES = (torch.float32, torch.float64, torch.int64)


def has_arrays(*tensors: Tensor) -> bool:
    """Whether numba is there, and these are contiguous tensors on the CPU of its usual types, and nobody watches."""
    if not HAS_NUMBA or is_watched(*tensors):
        return False
    return all(tensor.is_cpu and tensor.dtype in _DTYPES and tensor.is_contiguous() for tensor in tensors)


def num_changes(tensor: Tensor | None) -> int:
    """Torch's count of what wrote into a tensor; 0 for one of inference mode, of which it counts nothing."""
    return 0 if tensor is None or tensor.is_inference() else tensor._version
