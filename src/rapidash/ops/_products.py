"""Matrix products of float32: through the fastest library at hand, chosen by a probe, by name, or in bfloat16."""

import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, get_args

import torch
from torch import Tensor, nn

from rapidash.ops._probe import (
    LARGEST_FLOAT32_ERROR,
    ProductKind,
    ProductLibrary,
    bfloat16_product,
    check_products,
    fastest_library,
    gains_by_bfloat16,
    onednn_product,
)

Function = TypeVar("Function", bound=Callable[..., Any])

CHUNK_ELEMENTS = 2**20  # of a hidden activation: 4 MB in float32. Products of chunks run at the speed of whole ones

SMALL_PRODUCT = 2**20
"""Multiplications below which oneDNN's products of float32 take longer than torch's: it prepares each one anew."""

Precision = Literal["float32", "bfloat16", "auto"]
"""Of the operands of channel MLPs' products: as they are, rounded to bfloat16, or what `products_of` decides."""


class _Use(NamedTuple):
    """A block of `use_products`: the kind that it names, and those that channel MLPs have made within it."""

    kind: ProductKind
    made: set[ProductKind]


_in_use: ContextVar[_Use | None] = ContextVar("rapidash_products", default=None)


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
    """Through oneDNN by a call that needs no flag of the process and takes no buffers; float32 on the CPU.

    A flag that lets torch round operands rounds these too, where the processor multiplies bfloat16: `product_error`.
    """

    def apply(self, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        """x weight^T in memory of its own."""
        return onednn_product(x, weight)

    def add(self, total: Tensor, x: Tensor, weight: Tensor) -> None:
        """total += x weight^T."""
        total += onednn_product(x, weight)

    def with_columns(self, total: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """total + a^T b in memory of its own."""
        return onednn_product(a.T, b.T, added=total)


class Bfloat16Products(Products):
    """Of operands rounded to bfloat16, added to totals in float32."""

    def apply(self, x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        """x weight^T in ``out``."""
        return out.copy_(bfloat16_product(x, weight.T))

    def add(self, total: Tensor, x: Tensor, weight: Tensor) -> None:
        """total += x weight^T."""
        total += bfloat16_product(x, weight.T)

    def with_columns(self, total: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """total += a^T b."""
        return total.add_(bfloat16_product(a.T, b))


_OF_KIND: dict[ProductKind, Products] = {
    "torch": TorchProducts(),
    "onednn": OneDnnProducts(),
    "bfloat16": Bfloat16Products(),
}


def products_for(x: Tensor, kind: str = "", *, weight: Tensor | None = None) -> Products:
    """The products of a kind, those in use without one, for tensors like x; `products_made` has them from now on.

    Torch's own for all that is not float32, and for no rows; in place of oneDNN's on other devices than the CPU, and
    for x with a weight whose product `is_small_product`.
    """
    made = _kind_for(x, kind, weight)
    if len(x):
        note_products(made)
    return _OF_KIND[made]


def _kind_for(x: Tensor, kind: str, weight: Tensor | None) -> ProductKind:
    """The kind of `products_for`."""
    if x.dtype != torch.float32 or not len(x):
        return "torch"
    kind = kind or product_kind()
    if kind == "bfloat16":
        return "bfloat16"
    gains = kind == "onednn" and x.is_cpu and (weight is None or not is_small_product(len(x), weight))
    return "onednn" if gains else "torch"


def is_small_product(rows: int, weight: Tensor) -> bool:
    """Whether so many rows of K numbers make fewer multiplications with a weight (N, K) than `SMALL_PRODUCT`."""
    return rows * weight.numel() < SMALL_PRODUCT


def product_error(kind: ProductKind, like: Tensor) -> float:
    """Relative error of one product of this kind against float64, under the flags of torch that this process has now.

    After ``torch.set_float32_matmul_precision("medium")`` torch and oneDNN round operands of float32 to bfloat16 on
    processors that multiply them (AMX), and some GPUs round them to TF32 after ``"high"``.

    Args:
        like: a tensor of the dtype and on the device that are meant.
    """
    generator = torch.Generator().manual_seed(0)
    x, weight = (
        torch.randn(rows, 256, generator=generator, dtype=torch.float32, device="cpu").to(like) for rows in (64, 64)
    )
    got = _OF_KIND[_kind_for(x, kind, None)].apply(x, weight, x.new_empty(64, 64))
    exact = x.double() @ weight.double().T
    return float((got.double() - exact).norm() / exact.norm())


def check_float32(kind: ProductKind, like: Tensor) -> float:
    """The `product_error` of products that should be of float32; warns where flags of torch round their operands."""
    error = product_error(kind, like)
    if kind != "bfloat16" and like.dtype == torch.float32 and not error <= LARGEST_FLOAT32_ERROR:
        warnings.warn(
            f"a flag of torch rounds the operands of float32 products in this process (relative error {error:.1e}), so "
            "this is not float32: torch.set_float32_matmul_precision('highest') takes the flag back, and "
            "precision='bfloat16' rounds the channel MLPs alone",
            stacklevel=3,
        )
    return error


def check_rounded(made: Collection[ProductKind]) -> None:
    """Warn that products in bfloat16, which were asked for, have not been made.

    Args:
        made: the kinds of products that channel MLPs have made, from `use_products`.
    """
    if "bfloat16" not in made:
        warnings.warn(
            "precision='bfloat16' has rounded nothing, all products are of float32: only the compiled channel MLPs of "
            "this package round, not those of other networks, of backend='reference', or of bandlimited and irreps "
            "maps on a GPU or of widths that are no multiples of 16",
            stacklevel=3,
        )


def has_float32_products(like: Tensor) -> bool:
    """Whether no flag of torch rounds the operands of float32 products in this process, torch's and those in use.

    Args:
        like: a tensor on the device that is meant.
    """
    like = like.detach().float()
    return all(product_error(kind, like) <= LARGEST_FLOAT32_ERROR for kind in {"torch", _library()})


def _constant_in_graphs(function: Function) -> Function:
    """As `torch.compiler.assume_constant_result`, without loading the compiler, which takes over a second."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@_constant_in_graphs
def chosen_products() -> str:
    """The kind that `use_products` has set in this thread, or nothing; a compiled graph keeps that of its trace."""
    in_use = _in_use.get()
    return "" if in_use is None else in_use.kind


def products_made() -> set[ProductKind]:
    """The kinds made in the block of `use_products` in this thread, to be added to; outside of one a new set."""
    in_use = _in_use.get()
    return set() if in_use is None else in_use.made


@_constant_in_graphs
def note_products(kind: ProductKind) -> None:
    """Add to `products_made`; a compiled graph does it in its trace."""
    products_made().add(kind)


def product_kind() -> ProductKind:
    """The kind of products of float32: that of `use_products`, or else the machine's fastest library."""
    in_use = _in_use.get()
    return fastest_library() if in_use is None else in_use.kind


def _library() -> ProductLibrary:
    """That of `use_products`, or else the machine's fastest."""
    in_use = _in_use.get()
    return fastest_library() if in_use is None or in_use.kind == "bfloat16" else in_use.kind


def product_settings() -> tuple[str, ...]:
    """All that decides the bits of a product beside its operands: the kind in use in this thread, and flags of torch.

    The flags are ``torch.backends.BACKEND.matmul.fp32_precision``, by the call behind it, which takes a hundredth.
    """
    flag = torch._C._get_fp32_precision_getter
    return chosen_products(), flag("mkldnn", "matmul"), flag("cuda", "matmul")


def products_of(precision: Precision, model: nn.Module) -> ProductKind:
    """The kind of products with which a model trains or predicts.

    ``"float32"`` takes the library of `use_products`, or else the machine's fastest one. ``"auto"`` takes bfloat16
    where it is faster (on the CPU by the probe; on a GPU that has such numbers) and the model allows it: never in
    float64, and never where predictions are gradients, as forces are. A model says so by an attribute
    ``predicts_gradients`` of any of its modules.

    Args:
        precision: of the operands.
        model: on its device and in its dtype.
    Raises: ValueError for an unknown precision, and for ``"bfloat16"`` in float64 or on a GPU that has no such numbers.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision must be one of {get_args(Precision)}, got {precision!r}")
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    on_gpu = like.device.type == "cuda"
    has_bfloat16 = not on_gpu or torch.cuda.is_bf16_supported()
    if precision == "bfloat16":
        if like.dtype != torch.float32:
            raise ValueError(f"precision 'bfloat16' rounds operands of float32, got a model of {like.dtype}")
        if not has_bfloat16:
            raise ValueError(f"precision 'bfloat16': {like.device} has no such numbers, use 'float32'")
        return "bfloat16"
    if precision == "auto" and like.dtype == torch.float32 and has_bfloat16 and not _predicts_gradients(model):
        return "bfloat16" if on_gpu or gains_by_bfloat16() else _library()
    return _library()


def _predicts_gradients(model: nn.Module) -> bool:
    return any(getattr(module, "predicts_gradients", False) for module in model.modules())


@contextmanager
def use_products(kind: ProductKind) -> Iterator[set[ProductKind]]:
    """Within the block, and in this thread only, channel MLPs of float32 multiply in this way.

    Args:
        kind: ``"torch"`` or ``"onednn"``, libraries for products of float32 (those too small to gain by oneDNN
            stay with torch), or ``"bfloat16"``: operands are rounded to bfloat16, sums, normalizations, activations
            and residuals stay in float32 (on the CPU the sum of each product is rounded once more). Backward passes
            multiply as their forward pass did, but those that are differentiated again, as of forces in training:
            they go through the definition, in float32.
    Yields: the kinds of products that channel MLPs have really made within the block, so far: ``"torch"`` where a
        definition ran, or a product was too small. Those of backward passes in other threads, as on a GPU, are not
        all in it.
    Raises: ValueError for another name, or a library that this build of torch does not have.
    """
    check_products(kind)
    in_use = _Use(kind, set())
    token = _in_use.set(in_use)
    try:
        yield in_use.made
    finally:
        _in_use.reset(token)


def row_chunks(rows: int, hidden: int, like: Tensor) -> Iterator[slice]:
    """Ranges of rows of nearly equal length, whose hidden activations stay in the cache.

    One range where there is no cache to stay in, or sums over ranges would lose digits: for tensors like ``like`` that
    are not on the CPU, or have less than 32 bits.
    """
    whole = like.device.type != "cpu" or like.dtype not in (torch.float32, torch.float64)
    num_chunks = 1 if whole else max(1, round(rows * hidden / CHUNK_ELEMENTS))
    for i in range(num_chunks):
        yield slice(i * rows // num_chunks, (i + 1) * rows // num_chunks)
