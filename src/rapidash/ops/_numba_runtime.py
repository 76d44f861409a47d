"""The runtime of the numba kernels: threads that follow torch's setting, arrays that share torch's memory."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import torch
from torch import Tensor

_one_at_a_time = threading.Lock()  # not every threading layer of numba may be entered by two threads at once


def num_threads() -> int:
    """Threads the kernels use: torch's setting, within what numba was started with."""
    return min(torch.get_num_threads(), int(numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


@contextmanager
def parallel_region(threads: int) -> Iterator[None]:
    """Run numba's parallel loops on this many threads."""
    with _one_at_a_time:
        if numba.get_num_threads() != threads:
            numba.set_num_threads(threads)
        yield


def as_array(tensor: Tensor) -> Any:
    """The memory of a contiguous tensor as a flat numpy array; of another it would be a copy, and no output."""
    if not tensor.is_contiguous():
        raise ValueError(f"a kernel needs a contiguous tensor, got one of shape {tuple(tensor.shape)} that is not")
    return (tensor.detach() if tensor.requires_grad else tensor).numpy().reshape(-1)


def split_evenly(num_blocks: int, threads: int, limit: int) -> int:
    """Smallest number of chunks, at most ``limit``, that makes ``num_blocks * chunks`` a multiple of ``threads``."""
    return max(1, min(limit, threads // math.gcd(num_blocks, threads)))
