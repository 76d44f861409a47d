"""Matrix products of float32 on the CPU through the fastest library at hand, chosen by a probe, or by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import torch
from torch import Tensor

from rapidash.ops._probe import ProductLibrary, check_library, fastest_library, onednn_product

CHUNK_ELEMENTS = 2**19  # of a hidden activation: 2 MB in float32. Products of chunks run at the speed of whole ones

_chosen: ContextVar[ProductLibrary | None] = ContextVar("rapidash_product_library", default=None)


class Products(Protocol):
    """The three products of a linear map: of its values, added to a total, and of the gradient of its weight."""

    def apply(self, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        """x weight^T (M, N) of x (M, K) and a weight (N, K); in ``out`` or in memory of its own."""

    def add(self, total: Tensor, x: Tensor, weight: Tensor) -> None:
        """total += x weight^T."""

    def with_columns(self, total: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """total + a^T b (N, K) of a (M, N) and b (M, K), fastest for N < K; in ``total`` or in memory of its own."""


class TorchProducts(Products):
    """Through torch's own products, into buffers."""

    def apply(self, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        """x weight^T in ``out``."""
        return torch.mm(x, weight.T, out=out)

    def add(self, total: Tensor, x: Tensor, weight: Tensor) -> None:
        """total += x weight^T."""
        total.addmm_(x, weight.T)

    def with_columns(self, total: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """total += a^T b."""
        return total.addmm_(a.T, b)


class OneDnnProducts(Products):
    """Through oneDNN by a call that looks at no flag of the process and takes no buffers; float32 on the CPU."""

    def apply(self, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        """x weight^T in memory of its own."""
        return onednn_product(x, weight)

    def add(self, total: Tensor, x: Tensor, weight: Tensor) -> None:
        """total += x weight^T."""
        total += onednn_product(x, weight)

    def with_columns(self, total: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """total + a^T b in memory of its own."""
        return onednn_product(a.T, b.T, added=total)


_TORCH, _ONEDNN = TorchProducts(), OneDnnProducts()


def products_for(x: Tensor) -> Products:
    """The products in use for tensors like x: torch's for all that is not float32 on the CPU, and for no rows."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or not len(x):
        return _TORCH
    return _ONEDNN if product_library() == "onednn" else _TORCH


def product_library() -> ProductLibrary:
    """The library of products of float32 on the CPU: that of `use_product_library`, or else the machine's fastest."""
    return _chosen.get() or fastest_library()


@contextmanager
def use_product_library(library: ProductLibrary) -> Iterator[None]:
    """Within the block, and in this thread only, channel MLPs multiply through this library.

    Args:
        library: ``"torch"`` or ``"onednn"``.
    Raises: ValueError for another name, or a library that this build of torch does not have.
    """
    check_library(library)
    token = _chosen.set(library)
    try:
        yield
    finally:
        _chosen.reset(token)


def row_chunks(rows: int, hidden: int, like: Tensor) -> Iterator[slice]:
    """Ranges of rows of nearly equal length, whose hidden activations stay in the cache.

    One range where there is no cache to stay in, or sums over ranges would lose digits: for tensors like ``like`` that
    are not on the CPU, or have less than 32 bits.
    """
    whole = like.device.type != "cpu" or like.dtype not in (torch.float32, torch.float64)
    num_chunks = 1 if whole else max(1, round(rows * hidden / CHUNK_ELEMENTS))
    for i in range(num_chunks):
        yield slice(i * rows // num_chunks, (i + 1) * rows // num_chunks)
