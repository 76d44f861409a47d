"""Peak memory of the training steps, measured."""

import contextlib
import ctypes
import gc
import resource
from importlib import import_module
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Largest memory while the clock runs, above what was in use when the object was made, in bytes.

    On CUDA: allocated by tensors, by torch's own count. On the CPU: resident memory of the whole process, with the
    kernel's high-water mark (Linux), which includes code compiled or loaded on the way and other threads. Where the
    mark cannot be reset (other systems), the growth of the process's all-time peak, a lower bound.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._resettable = device.type == "cuda" or _reset_high_water()
        if device.type != "cuda":
            _release_memory()
        self._start = self._now()
        self.bytes = 0

    def start(self) -> None:
        """Start the clock: what happened before does not count."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        elif self._resettable:
            _reset_high_water()

    def stop(self) -> None:
        """Take the peak since `start` into account."""
        self.bytes = max(self.bytes, self._peak() - self._start)

    def _peak(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return _status_bytes("VmHWM") if self._resettable else _all_time_peak()

    def _now(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        return _status_bytes("VmRSS") if self._resettable else _all_time_peak()


def _release_memory() -> None:
    """Give what earlier work has freed back to the system, so that the growth of this process tells what comes next.

    The C library keeps freed memory for itself, and a worker that has trained a large model would show no growth when
    it trains the next one. Where it cannot be asked to (outside glibc) nothing happens. What torch loads when the first
    optimizer is made (100 MB) is loaded here, for otherwise the first run of a process would count it.
    """
    import_module("torch._dynamo")
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _reset_high_water() -> bool:
    """Set the kernel's mark to the present use; False where that is impossible."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _status_bytes(key: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(key + ":"))
    return int(line.split()[1]) * 1024


def _all_time_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
