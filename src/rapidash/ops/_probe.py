"""The probe of the libraries of matrix products: time and error of one product, measured once per machine."""

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from rapidash._files import atomic_write
from rapidash._machine import cache_folder, processor_facts, processor_name

ProductLibrary = Literal["torch", "onednn"]
"""Who multiplies in float32: ``torch.mm`` (on the CPU mostly MKL), or oneDNN, on some processors faster by far."""
ProductKind = Literal["torch", "onednn", "bfloat16"]
"""Products of float32 through a library, or of operands that are rounded to bfloat16, with sums in float32."""

LARGEST_FLOAT32_ERROR = 1e-6
"""Of products in float32, relative to those in float64: a library with a larger one is not float32, and not used."""
LARGEST_ROUNDED_ERROR = 1e-2
"""Of products of operands in bfloat16, which has 8 digits in base 2: more than this is a fault."""
SMALLEST_GAIN = 1.1
"""By how many times other products must be faster before they are used."""
SIZE = 512, 256, 1024  # rows, channels, hidden channels: a chunk of a channel MLP
ROUNDS = 7
VERSION = 2  # of the file
_SINGLE: Any = {"dtype": torch.float32, "device": "cpu"}  # whatever the defaults of the process are
_TELL_APART = ("vendor_id", "cpu family", "model", "model name", "flags")  # facts of a kind of processor


def onednn_product(x: Tensor, weight: Tensor, added: Tensor | None = None) -> Tensor:
    """x weight^T (+ added) by oneDNN."""
    product: Tensor
    if added is None:
        product = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    else:
        product = torch.ops.mkldnn._linear_pointwise.binary(x, added, weight, None, "add")
    return product


def bfloat16_product(a: Tensor, b: Tensor) -> Tensor:
    """a b of operands (M, K) and (K, N) rounded to bfloat16: summed in float32; the CPU's kernel rounds the result."""
    a, b = a.bfloat16(), b.bfloat16()
    return torch.mm(a, b, out_dtype=torch.float32) if a.is_cuda else torch.mm(a, b)


def product_libraries() -> list[ProductLibrary]:
    """Those that this build of torch has, torch's own first."""
    return ["torch", "onednn"] if _has_onednn() else ["torch"]


def check_products(kind: str, known: Sequence[str] = get_args(ProductKind)) -> None:
    """Raise ValueError for a name that is none of the known ones, or a library that this build of torch lacks."""
    if kind not in known:
        raise ValueError(f"unknown kind of products {kind!r}, expected one of {tuple(known)}")
    if kind == "onednn" and not _has_onednn():
        raise ValueError("products of 'onednn': this build of torch has none, use 'torch'")


@cache
def fastest_library() -> ProductLibrary:
    """The fastest library here whose products are right to `LARGEST_FLOAT32_ERROR`, torch's unless another gains.

    The environment variable RAPIDASH_PRODUCTS names one without a probe.
    Raises: ValueError for a name that is none.
    """
    if named := os.environ.get("RAPIDASH_PRODUCTS"):
        check_products(named, get_args(ProductLibrary))
        return named  # type: ignore[return-value]
    return _fastest(product_probe())


def _fastest(probe: dict[str, dict[str, float]]) -> ProductLibrary:
    """The choice from a probe."""
    return "onednn" if _gains(probe, "onednn", over="torch", largest_error=LARGEST_FLOAT32_ERROR) else "torch"


def _gains(probe: dict[str, dict[str, float]], kind: ProductKind, *, over: ProductKind, largest_error: float) -> bool:
    """Whether one kind of product is there, right, and clearly faster than another."""
    found = probe.get(kind)
    if found is None or not found["error"] < largest_error:
        return False
    return found["seconds"] * SMALLEST_GAIN < probe[over]["seconds"]


def gains_by_bfloat16() -> bool:
    """Whether products of operands in bfloat16 are clearly faster on this machine's CPU than the fastest of float32."""
    return _gains(product_probe(), "bfloat16", over=fastest_library(), largest_error=LARGEST_ROUNDED_ERROR)


@cache
def product_probe() -> dict[str, dict[str, float]]:
    """By kind of product: ``seconds`` of one of `SIZE` in one thread, least of `ROUNDS`, and its relative ``error``.

    Measured once per machine and build of torch, and kept in a file of the cache folder (RAPIDASH_CACHE, or
    ~/.cache/rapidash); a file that cannot be read is measured again, a folder that cannot be written does no harm.
    Not kept is a probe of a process whose flags let torch round: others have other flags. Modes of torch, such as
    those that count operations, do not see it.
    """
    path = _probe_file()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return _checked(json.loads(path.read_text()))
    probe = _measure()
    if not probe["torch"]["error"] < LARGEST_FLOAT32_ERROR:
        return probe
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(probe).encode())
    return probe


def _measure() -> dict[str, dict[str, float]]:
    """Time and error of every kind of product that this build of torch has, in turn."""
    with _disable_current_modes():
        return _measured()


def _measured() -> dict[str, dict[str, float]]:
    rows, channels, hidden = SIZE
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(size, channels, generator=generator, **_SINGLE) for size in (rows, hidden))
    exact = x.double() @ weight.double().T
    ways: dict[str, Callable[[], Tensor]] = {"torch": lambda: x @ weight.T}
    if _has_onednn():
        ways["onednn"] = lambda: onednn_product(x, weight)
    ways["bfloat16"] = lambda: bfloat16_product(x, weight.T).float()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    errors = {name: float((way().double() - exact).norm() / exact.norm()) for name, way in ways.items()}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: {"seconds": min(seconds[name]), "error": errors[name]} for name in ways}


@cache
def _has_onednn() -> bool:
    """Whether this build of torch has the product of oneDNN and it runs."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        with _disable_current_modes():
            onednn_product(torch.ones(2, 3, **_SINGLE), torch.ones(4, 3, **_SINGLE))
    except (AttributeError, RuntimeError, NotImplementedError, TypeError):
        return False  # a private call: another version may have another
    return True


def _checked(probe: Any) -> dict[str, dict[str, float]]:
    """The content of a file, if it is a probe of this machine's libraries. Raises: ValueError, KeyError, TypeError."""
    names = [*product_libraries(), "bfloat16"]
    if list(probe) != names or not all(
        math.isfinite(probe[name][key]) for name in names for key in ("seconds", "error")
    ):
        raise ValueError("not a probe of the products of this machine")
    return {name: {key: float(probe[name][key]) for key in ("seconds", "error")} for name in names}


def _probe_file() -> Path:
    """Named by all on which the probe depends: processor, build of torch, size."""
    facts = processor_facts()
    kind = "; ".join(facts.get(key, "") for key in _TELL_APART) if facts else processor_name()
    machine = [VERSION, kind, torch.__version__, torch.backends.cpu.get_cpu_capability(), SIZE]
    return cache_folder() / f"products-{hashlib.sha256(json.dumps(machine).encode()).hexdigest()[:16]}.json"
