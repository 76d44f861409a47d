"""Depthwise convolution over edges, with the kernel given at every edge and orientation."""

from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.geometry import Graph
from rapidash.ops._backend import Backend, select_backend
from rapidash.ops._direct_op import DirectOp, direct_op
from rapidash.ops._flops import note_uncounted
from rapidash.ops._forward_mode import has_tangent, join_dual, split_duals
from rapidash.ops._second_order import has_no_kernel, needs_definition, partial_gradients, second_gradients
from rapidash.ops._wanted import wanted_gradients
from rapidash.ops.edge_conv.reference import edge_conv_reference

__all__ = ["edge_conv"]


def edge_conv(
    x: Float[Tensor, "S O C"],
    kernel: Float[Tensor, "E O C"],
    graph: Graph,
    *,
    edge_weight: Float[Tensor, " E"] | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "T O C"]:
    r"""out[i, a] = sum over edges e to i of edge_weight[e] * kernel[e, a] * x[source[e], a], per channel.

    For exact kernels, in particular those on three and more dimensions. Besides the kernel that is given, and its
    gradient, nothing of size (E, O, C) is allocated (except by the definition, which also computes second derivatives).
    Sums are made in float32, or float64.

    Args:
        x: features of the source points.
        kernel: a factor per edge, orientation and channel, in the order of the graph's edges.
        graph: edges sorted by target.
        edge_weight: a factor per edge, such as a cutoff; None is 1.
        backend: "auto", or "reference", "numba", "triton", which then run or raise.

    Differentiable in x, kernel and edge_weight, in forward mode too: the numba kernel sums value and tangent in one
    pass (the other backends: the definition). Two runs with the same number of threads give the same bits.

    Raises: ValueError for shapes or dtypes that do not fit, or an unknown backend; RuntimeError if the named backend
        cannot run.
    """
    _check(x, kernel, graph, edge_weight)
    chosen = select_backend("edge_conv", backend, x, kernel, edge_weight)
    if chosen == "reference":
        return edge_conv_reference(x, kernel, graph.source, graph.target, graph.num_targets, edge_weight=edge_weight)
    if has_tangent(x, kernel, edge_weight):
        note_uncounted("edge_conv")
        edges = graph.source, graph.target, graph.row_ptr
        return join_dual(_implementation("numba_jvp").edge_conv_jvp(*split_duals(x, kernel, edge_weight), edges))
    transposed = (graph.transposed_order, graph.col_ptr) if chosen == "triton" else (None, None)
    out: Tensor = _OPS[chosen](x, kernel, graph.source, graph.target, graph.row_ptr, *transposed, edge_weight)
    return out


def _check(x: Tensor, kernel: Tensor, graph: Graph, edge_weight: Tensor | None) -> None:
    if graph.source.device != x.device:
        raise ValueError(f"graph is on {graph.source.device} but x on {x.device}: move one of them")
    if x.ndim != 3 or x.shape[0] != graph.num_sources:
        raise ValueError(f"x must be (S, O, C) with S = {graph.num_sources} sources of the graph, got {tuple(x.shape)}")
    if kernel.shape != (graph.num_edges, *x.shape[1:]):
        raise ValueError(
            f"kernel must be (E, O, C) = ({graph.num_edges}, {x.shape[1]}, {x.shape[2]}), got {tuple(kernel.shape)}"
        )
    if edge_weight is not None and edge_weight.shape != (graph.num_edges,):
        raise ValueError(f"edge_weight must be (E,) = ({graph.num_edges},), got {tuple(edge_weight.shape)}")
    for name, tensor in (("x", x), ("kernel", kernel), ("edge_weight", edge_weight)):
        if tensor is not None and not tensor.is_floating_point():
            raise ValueError(f"{name} must be floating point, got {tensor.dtype}: convert it with .to(x.dtype)")


def _implementation(backend: str) -> ModuleType:
    """The module with the kernels, imported when first used."""
    return import_module(f"rapidash.ops.edge_conv.{backend}")


def _register(backend: str) -> Any:
    """A torch op for one backend, with its fake implementation and gradients."""
    has_second_gradients = backend == "numba"

    @direct_op(f"rapidash::edge_conv_{backend}")
    def forward(
        x: Tensor, kernel: Tensor, source: Tensor, target: Tensor, row_ptr: Tensor,
        order: Tensor | None, col_ptr: Tensor | None, edge_weight: Tensor | None,
    ) -> Tensor:  # fmt: skip
        out: Tensor = _implementation(backend).edge_conv_forward(
            x, kernel, (source, target, row_ptr, order, col_ptr), edge_weight
        )
        return out

    @direct_op(f"rapidash::edge_conv_backward_{backend}")
    def backward(
        grad: Tensor,
        x: Tensor,
        kernel: Tensor,
        source: Tensor,
        target: Tensor,
        row_ptr: Tensor,
        order: Tensor | None,
        col_ptr: Tensor | None,
        edge_weight: Tensor | None,
        needs: list[bool],
    ) -> tuple[Tensor, Tensor, Tensor]:
        grads: tuple[Tensor, Tensor, Tensor] = _implementation(backend).edge_conv_backward(
            grad, x, kernel, (source, target, row_ptr, order, col_ptr), edge_weight, needs
        )
        return grads

    @forward.register_fake
    def _(
        x: Tensor, kernel: Tensor, source: Tensor, target: Tensor, row_ptr: Tensor,
        order: Tensor | None, col_ptr: Tensor | None, edge_weight: Tensor | None,
    ) -> Tensor:  # fmt: skip
        return x.new_empty(row_ptr.shape[0] - 1, x.shape[1], x.shape[2])

    @backward.register_fake
    def _(
        grad: Tensor,
        x: Tensor,
        kernel: Tensor,
        source: Tensor,
        target: Tensor,
        row_ptr: Tensor,
        order: Tensor | None,
        col_ptr: Tensor | None,
        edge_weight: Tensor | None,
        needs: list[bool],
    ) -> tuple[Tensor, Tensor, Tensor]:
        grad_kernel = kernel.new_empty(kernel.shape if needs[0] else 0)
        return (
            x.new_empty(x.shape),
            grad_kernel,
            (x if edge_weight is None else edge_weight).new_empty(source.shape[0] if needs[1] else 0),
        )

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    def vector_jacobian(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, source, target, row_ptr, order, col_ptr, edge_weight = ctx.saved_tensors
        wanted = wanted_gradients(ctx)
        needs = [wanted[i] for i in (0, 1, 7)]
        grads: list[Tensor | None]
        if has_no_kernel(grad) or (torch.is_grad_enabled() and not has_second_gradients):

            def definition(x: Tensor, kernel: Tensor, edge_weight: Tensor | None) -> Tensor:
                return edge_conv_reference(x, kernel, source, target, grad.shape[0], edge_weight=edge_weight)

            grads = partial_gradients(definition, (x, kernel, edge_weight), needs, grad)
        else:
            edges = source, target, row_ptr, order, col_ptr
            computed = backward(grad, x, kernel, *edges, edge_weight, needs[1:])
            grads = [g if need else None for g, need in zip(computed, needs, strict=True)]
        return grads[0], grads[1], None, None, None, None, None, grads[2]

    forward.register_autograd(vector_jacobian, setup_context=setup_context)
    if has_second_gradients:
        _register_second(backward)
    return forward


def _register_second(backward: DirectOp) -> None:
    """The gradients of the gradients, and of these by the definition."""

    @direct_op("rapidash::edge_conv_second_numba")
    def second(
        by_x: Tensor | None,
        by_kernel: Tensor | None,
        by_weight: Tensor | None,
        grad: Tensor,
        x: Tensor,
        kernel: Tensor,
        source: Tensor,
        target: Tensor,
        row_ptr: Tensor,
        edge_weight: Tensor | None,
        needs: list[bool],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        from rapidash.ops.edge_conv.numba import edge_conv_second

        moved = by_x, by_kernel, by_weight
        return edge_conv_second(moved, grad, x, kernel, (source, target, row_ptr), edge_weight, needs)

    @second.register_fake
    def _(
        by_x: Tensor | None,
        by_kernel: Tensor | None,
        by_weight: Tensor | None,
        grad: Tensor,
        x: Tensor,
        kernel: Tensor,
        source: Tensor,
        target: Tensor,
        row_ptr: Tensor,
        edge_weight: Tensor | None,
        needs: list[bool],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        of_kernel, of_weight = kernel.shape if needs[0] else (0,), source.shape if needs[1] else (0,)
        return x.new_empty(grad.shape), x.new_empty(x.shape), x.new_empty(of_kernel), x.new_empty(of_weight)

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, _ = inputs
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)

    def vector_jacobian(
        ctx: Any, by_x: Tensor | None, by_kernel: Tensor | None, by_weight: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        grad, x, kernel, source, target, row_ptr, _, _, edge_weight = ctx.saved_tensors
        moved = by_x, by_kernel, by_weight
        wanted = wanted_gradients(ctx)
        needs = [wanted[i] for i in (0, 1, 2, 8)]
        grads: list[Tensor | None]
        if needs_definition(*moved):

            def definition(x: Tensor, kernel: Tensor, edge_weight: Tensor | None) -> Tensor:
                return edge_conv_reference(x, kernel, source, target, grad.shape[0], edge_weight=edge_weight)

            grads = second_gradients(definition, (x, kernel, edge_weight), grad, moved, needs)
        else:
            computed = second(*moved, grad, x, kernel, source, target, row_ptr, edge_weight, needs[2:])
            grads = [g if need else None for g, need in zip(computed, needs, strict=True)]
        return *grads[:3], None, None, None, None, None, grads[3], None

    backward.register_autograd(vector_jacobian, setup_context=setup_context)


_OPS = {backend: _register(backend) for backend in ("numba", "triton")}
