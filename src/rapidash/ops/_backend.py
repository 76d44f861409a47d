"""The choice between implementations of an op: by name, or from device, dtype and the packages installed."""

import os
from typing import Literal, get_args

import torch
from torch import Tensor

from rapidash._compilers import HAS_NUMBA, HAS_TRITON
from rapidash.geometry import is_transforming
from rapidash.ops import _forward_mode as forward_mode
from rapidash.ops._batching import is_batched

Backend = Literal["auto", "reference", "numba", "triton"]

_BACKENDS = get_args(Backend)

NUMBA_DTYPES = (torch.float32, torch.float64)
TRITON_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def triton_interprets() -> bool:
    """Whether Triton kernels run in Triton's interpreter, which takes tensors on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def is_traced() -> bool:
    """Whether a graph is made here for torch.compile, torch.export or torch.jit."""
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


def transform_obstacle(*tensors: Tensor | None) -> str | None:
    """Why the derivative or transform in progress needs the definition; None if there is none."""
    if torch.compiler.is_compiling() or not (is_transforming() or forward_mode.is_active()):
        return None
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "transforms of torch.func (vmap, grad, jvp) exist only in the definition"
    if is_batched(*tensors):
        return "batched derivatives (vectorize=True, is_grads_batched=True) exist only in the definition"
    if forward_mode.is_active() and forward_mode.tracks_gradients(*tensors):
        return "gradients of forward-mode derivatives exist only in the definition"
    return None


def numba_obstacle(*tensors: Tensor | None) -> str | None:
    """Why the numba kernels cannot run on these tensors, as a sentence without a full stop; None if they can."""
    if not HAS_NUMBA:
        return "numba is not installed: pip install 'rapidash[fast]'"
    given = [tensor for tensor in tensors if tensor is not None]
    if not all(tensor.is_cpu for tensor in given):
        return f"numba kernels take tensors on the CPU, got {sorted({tensor.device.type for tensor in given})}"
    first = given[0].dtype
    if first not in NUMBA_DTYPES or any(tensor.dtype != first for tensor in given):
        dtypes = sorted({str(tensor.dtype) for tensor in given})
        return f"numba kernels take tensors of one dtype, float32 or float64, got {dtypes}"
    return transform_obstacle(*tensors)


def triton_obstacle(*tensors: Tensor | None) -> str | None:
    """Why the Triton kernels cannot run on these tensors, as a sentence without a full stop; None if they can."""
    given = [tensor for tensor in tensors if tensor is not None]
    devices = {tensor.device.type for tensor in given}
    wrong = sorted({str(tensor.dtype) for tensor in given if tensor.dtype not in TRITON_DTYPES})
    if not HAS_TRITON:
        return "triton is not installed: it comes with the CUDA build of torch"
    if devices != {"cuda"} and not (devices == {"cpu"} and triton_interprets()):
        return f"Triton kernels take CUDA tensors (on the CPU only with TRITON_INTERPRET=1), got {sorted(devices)}"
    if wrong:
        return f"Triton kernels take float32, bfloat16 and float16, got {wrong}"
    if forward_mode.has_tangent(*tensors):
        return "forward-mode derivatives exist only in the definition and the numba kernels"
    return transform_obstacle(*tensors)


def check_backend(backend: str) -> None:
    """Raise ValueError for an unknown name."""
    if backend not in _BACKENDS:
        raise ValueError(f"unknown backend {backend!r}, expected one of {_BACKENDS}")


def select_backend(op: str, backend: Backend, *tensors: Tensor | None) -> Backend:
    """The implementation to run: never "auto".

    Args:
        op: name of the op, for the message.
        backend: "auto" takes numba on the CPU and triton on CUDA where they can run, otherwise the definition.
        tensors: the floating-point inputs; None is skipped.

    Raises: ValueError for an unknown backend; RuntimeError, with the reason, if a backend asked for by name cannot run.
    """
    check_backend(backend)
    if backend == "reference":
        return backend
    on_cuda = any(tensor is not None and tensor.is_cuda for tensor in tensors)
    wanted: Backend = backend if backend != "auto" else "triton" if on_cuda else "numba"
    obstacle = (numba_obstacle if wanted == "numba" else triton_obstacle)(*tensors)
    if obstacle and backend == wanted:
        raise RuntimeError(f"{op}(backend={backend!r}) cannot run: {obstacle}. Use backend='auto' or 'reference'.")
    return "reference" if obstacle else wanted


def accumulation_dtype(*tensors: Tensor | None) -> torch.dtype:
    """Sums are made in float32, or in float64 if any tensor is float64."""
    wide = any(tensor is not None and tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if wide else torch.float32
