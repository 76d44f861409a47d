"""Floating point operations of this package's kernels, for a counter that sees operations but not into them."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rapidash.ops._probe import product_libraries

Shape = Sequence[int]
_KNOWN = ("aten", "prim", "prims", "profiler", "rapidash")  # namespaces; an operation of another one may be anything
_PRODUCTS = re.compile(
    r"_?(trilinear|fft_|sparse_\w*mm|scaled_dot_product|native_multi_head|transformer_encoder|addmm_activation|int_mm|"
    r"(cudnn|mkldnn|miopen|thnn)\w*(rnn|lstm|gru))"
)
_DECOMPOSITIONS = re.compile(r"_?linalg_(eig|svd|qr|inv|solve|lu|det|slogdet|matrix_exp|pinv|lstsq|cholesky|ldl)")
_SMALL = 4  # rows of a matrix of motions of space, whose decompositions count nothing
_noted: set[str] | None = None  # operations that ran without a formula, while somebody asks


@contextmanager
def uncounted_operations() -> Iterator[set[str]]:
    """The names of the convolutions over edges that run inside without being counted, see `flop_formulas`."""
    global _noted
    before, _noted = _noted, set()
    try:
        yield _noted
    finally:
        _noted = before


class FlopCount:
    """Operations counted inside `counted_flops`: ``total``, without those of the operations in ``missed``."""

    def __init__(self) -> None:
        self.total = 0
        self.missed: set[str] = set()


class _Uncounted(TorchDispatchMode):
    """Notes the operations that pass without a formula and are, or may be, products of matrices.

    Args:
        counted: operations with a formula.
        missed: where their names go.
    """

    supports_higher_order_operators = True

    def __init__(self, counted: Collection[Any], missed: set[str]) -> None:
        super().__init__()
        self.counted, self.missed = counted, missed

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(getattr(func, "_overloadpacket", func))
        if getattr(func, "_overloadpacket", func) not in self.counted and _should_count(name, args):
            self.missed.add(name)
        return func(*args, **(kwargs or {}))


def _should_count(name: str, args: Sequence[Any]) -> bool:
    """Whether an operation multiplies matrices, or may do so."""
    space, _, own = name.partition(".")
    if space != "aten":
        return space not in _KNOWN
    return bool(_PRODUCTS.match(own) or (_DECOMPOSITIONS.match(own) and args[0].shape[-2] > _SMALL))


@contextmanager
def counted_flops() -> Iterator[FlopCount]:
    """Count what runs inside, by torch's formulas and `flop_formulas`; the count is complete when the block ends.

    Missed are the convolutions of `uncounted_operations`, and operations of torch or of others that are, or may be,
    products without a formula: recurrent layers, Fourier transforms, kernels of other packages, decompositions of
    matrices with more than 4 rows.
    """
    from torch.utils.flop_counter import FlopCounterMode, flop_registry

    found, formulas = FlopCount(), flop_formulas()
    with (
        uncounted_operations() as missed,
        _Uncounted(flop_registry.keys() | formulas.keys(), missed),  # outside: it sees what composed operations are of
        FlopCounterMode(display=False, custom_mapping=formulas) as counter,
    ):
        yield found
    found.total, found.missed = int(counter.get_total_flops()), missed


def note_uncounted(name: str) -> None:
    """Say that an operation runs in a form that has no formula."""
    if _noted is not None:
        _noted.add(name)


def flop_formulas() -> dict[Any, Callable[..., int]]:
    """By operation its formula, for ``torch.utils.flop_counter.FlopCounterMode(custom_mapping=...)``.

    A multiplication with its addition counts 2, as for the matrix products that torch counts; what costs a number per
    feature and not per product (norms, activations) counts nothing there and here. Definitions, which run where a
    kernel cannot, are made of operations of torch: of those it counts the matrix products. The definitions of
    ``edge_conv`` and ``table_conv`` have none. They run where a backend is missing, and where a gradient is
    differentiated again for which there is no kernel: of a table, on a GPU, and twice again; these, and forward mode,
    count nothing: `uncounted_operations` names them.
    """
    from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

    ops, aten = torch.ops.rapidash, torch.ops.aten
    formulas: dict[Any, Callable[..., int]] = {
        ops.channel_mlp: _channel_mlp,
        ops.channel_mlp_backward: _channel_mlp_backward,
        ops.channel_mlp_second: _channel_mlp_second,
        ops.edge_conv_second_numba: _edge_conv_second,
        ops.component_mlp: _component_mlp,
        ops.component_mlp_backward: _component_mlp_backward,
        ops.spherical_conv: lambda x, kernel, **_: _spherical_conv(x, kernel),
        ops.spherical_conv_backward: lambda grad, x, kernel, **_: 2 * _spherical_conv(x, kernel),
        ops.linear: lambda x, weight, **_: 2 * prod(x) * weight[0],
    }
    formulas |= {  # those that torch lacks: in place, with vectors, of distances, and attention on the CPU
        aten.addmm_: lambda total, a, b, **_: 2 * prod(a) * b[1],
        aten.baddbmm_: lambda total, a, b, **_: 2 * prod(a) * b[2],
        aten.addbmm: lambda total, a, b, **_: 2 * prod(a) * b[2],
        aten.mv: lambda a, b, **_: 2 * prod(a),
        aten.addmv: lambda total, a, b, **_: 2 * prod(a),
        aten.dot: lambda a, b, **_: 2 * prod(a),
        aten._euclidean_dist: lambda a, b, **_: 2 * prod(a) * b[-2],
        aten._cdist_forward: lambda a, b, *_, **__: 2 * prod(a) * b[-2],
        aten._cdist_backward: lambda grad, a, b, *_, **__: 2 * prod(a) * b[-2],
        aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: (
            lambda grad, q, k, v, *_, **__: sdpa_backward_flop_count(grad, q, k, v)
        ),
    }
    if "onednn" in product_libraries():
        formulas[torch.ops.mkldnn._linear_pointwise] = lambda x, *_, out_shape, **__: 2 * prod(x) * out_shape[-1]
    for backend in ("numba", "triton"):
        formulas |= {
            getattr(ops, f"edge_conv_{backend}"): _edge_conv,
            getattr(ops, f"edge_conv_backward_{backend}"): _edge_conv_backward,
            getattr(ops, f"table_conv_{backend}"): _table_conv,
            getattr(ops, f"table_conv_backward_{backend}"): _table_conv_backward,
        }
    return formulas


def _edge_conv(x: Shape, kernel: Shape, *_: Any, **__: Any) -> int:
    """A product and a sum for every edge, orientation and channel."""
    return 2 * prod(kernel)


def _edge_conv_backward(grad: Shape, x: Shape, kernel: Shape, *rest: Any, **_: Any) -> int:
    """The gradient of the features, and that of the kernel where it is asked for."""
    needs = rest[-1]
    return 2 * prod(kernel) * (1 + bool(needs[0]))


def _edge_conv_second(by_x: Shape | None, by_kernel: Shape | None, by_weight: Shape | None, grad: Shape, x: Shape,
                      kernel: Shape, *rest: Any, **_: Any) -> int:  # fmt: skip
    """Of a product of three: two terms of the gradient, and one of each factor that is asked for."""
    needs = rest[-1]
    return 2 * prod(kernel) * (3 + bool(needs[0]))


def _table_conv(x: Shape, table: Shape, coords: Shape, *rest: Any, **_: Any) -> int:
    """The kernel from the nodes around every coordinate, and then as `_edge_conv`."""
    return 2 * prod(coords[:2]) * x[2] * (_nodes(coords, rest[-1]) + 1)


def _table_conv_backward(grad: Shape, x: Shape, table: Shape, coords: Shape, *rest: Any, **_: Any) -> int:
    """The kernel again, the gradients of features and kernel, and the latter to the nodes; by coordinates if asked."""
    taps, needs = rest[-2:]
    nodes = _nodes(coords, taps)
    return 2 * prod(coords[:2]) * x[2] * (2 * nodes + 2 + bool(needs[2]) * coords[2] * nodes)


def _nodes(coords: Shape, taps: str) -> int:
    """How many nodes of the table give one value: 2 on each axis, or 4 for cubic splines."""
    return int((2 if taps == "linear" else 4) ** coords[2])


def _spherical_conv(x: Shape, kernel: Shape) -> int:
    """A product and a sum for every point, pair of orientations and channel."""
    return 2 * x[0] * prod(kernel)


def _channel_mlp(x: Shape, residual: Shape | None, weight: Shape, bias: Shape, w1: Shape, b1: Shape, w2: Shape,
                 *_: Any, **__: Any) -> int:  # fmt: skip
    """Two matrix products."""
    return 2 * x[0] * (prod(w1) + prod(w2))


def _channel_mlp_backward(grad: Shape, x: Shape, weight: Shape, bias: Shape, w1: Shape, b1: Shape, w2: Shape,
                          b2: Shape, scale: Shape | None, kept: Shape, needs: Sequence[bool], *_: Any,
                          **__: Any) -> int:  # fmt: skip
    """The gradients of both products by their inputs and, if asked, weights; the first one again if it was not kept."""
    again = 0 if kept[0] else prod(w1)
    of_weights = bool(needs[1]) * (prod(w1) + prod(w2))
    return 2 * x[0] * (prod(w2) + bool(needs[0]) * prod(w1) + of_weights + again)


def _channel_mlp_second(by_x: Shape, grad: Shape, x: Shape, weight: Shape, bias: Shape, w1: Shape, b1: Shape, w2: Shape,
                        b2: Shape, scale: Shape | None, kept: Shape, *_: Any, **__: Any) -> int:  # fmt: skip
    """The gradient of x again (two products), through it to what it was made of (three), and three of the weights."""
    again = 0 if kept[0] else prod(w1)
    return 2 * x[0] * (5 * prod(w1) + 3 * prod(w2) + again)


def _component_mlp(x: Shape, residual: Shape | None, weight: Shape, bias: Shape, w1: Shape, b1: Shape, w2: Shape,
                   b2: Shape, scale: Shape | None, analysis: Shape, *_: Any, **__: Any) -> int:  # fmt: skip
    """Both maps for every component, and each signal taken apart and put together."""
    maps = analysis[0] * (prod(w1[1:]) + prod(w2[1:]))
    return 2 * x[0] * (maps + prod(analysis) * (w1[2] + 2 * w1[1] + w2[1]))


def _component_mlp_backward(grad: Shape, x: Shape, weight: Shape, bias: Shape, w1: Shape, b1: Shape, w2: Shape,
                            b2: Shape, scale: Shape | None, analysis: Shape, synthesis: Shape, dims: Any, kept: Shape,
                            *_: Any, **__: Any) -> int:  # fmt: skip
    """The gradients of both maps, the first again where it was not kept; the signals again, and their gradients."""
    again = 0 if kept[1] else prod(w1[1:])
    maps = analysis[0] * (2 * prod(w1[1:]) + 2 * prod(w2[1:]) + again)
    return 2 * x[0] * (maps + prod(analysis) * (2 * w1[2] + 4 * w1[1] + w2[1]))
