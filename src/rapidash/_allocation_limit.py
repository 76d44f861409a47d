"""A bound on what is allocated, checked before it is: a network too large for the machine is told, not tried."""

import os
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

COPIES_IN_TRAINING = 4  # weights and their average, gradients, the best ones: all optimizers add to this
_FACTORIES = ("empty", "zeros", "ones", "full", "rand", "randn", "randint", "normal", "arange", "eye")
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_MAX_TENSORS = 50_000


class TooLargeError(ValueError):
    """More memory is asked for than there is."""


class AllocationLimit(TorchDispatchMode):
    """Within the block, the sizes of new tensors are added up before they are made.

    Args:
        num_bytes: that all of them may have.
        max_tensors: how many there may be.
    Raises: TooLargeError, in the block, at the first tensor beyond a limit.
    """

    def __init__(self, num_bytes: int, *, max_tensors: int = _MAX_TENSORS) -> None:
        super().__init__()
        self._limit, self._max_tensors, self._bytes, self._tensors = num_bytes, max_tensors, 0, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func._schema.name.removeprefix("aten::") in _FACTORIES and args and isinstance(args[0], list | tuple):
            self._count(args[0], kwargs.get("dtype") or torch.get_default_dtype())
        return func(*args, **kwargs)

    def _count(self, shape: Sequence[int], dtype: torch.dtype) -> None:
        size = dtype.itemsize
        for length in shape:
            size *= int(length)
        self._bytes, self._tensors = self._bytes + size, self._tensors + 1
        if self._tensors > self._max_tensors:
            raise TooLargeError(f"more than {self._max_tensors} tensors are asked for")
        if self._bytes > self._limit:
            raise TooLargeError(
                f"{_gigabytes(self._bytes)} are asked for, and {_gigabytes(self._limit)} are there for it"
            )


def machine_memory() -> int:
    """Bytes of memory that this process may use: of the machine, or the limit that it was given."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    found += [
        int(text) for path in map(Path, _CGROUPS) if path.is_file() and (text := path.read_text().strip()).isdigit()
    ]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min([*found, *([] if limit == resource.RLIM_INFINITY else [limit])])


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.3g} GB"
