"""Convolution whose kernel is interpolated from a table at every edge and orientation."""

from importlib import import_module
from types import ModuleType
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.geometry import Graph, is_watched
from rapidash.ops._backend import Backend, select_backend
from rapidash.ops._batching import is_batched
from rapidash.ops._direct_op import direct_op
from rapidash.ops._flops import note_uncounted
from rapidash.ops._forward_mode import has_tangent, join_dual, split_duals, tracks_gradients
from rapidash.ops._second_order import needs_definition, partial_gradients
from rapidash.ops._wanted import wanted_gradients
from rapidash.ops.table_conv._kept import KeptTable, keep_points
from rapidash.ops.table_conv.reference import (
    Interpolation,
    has_outside,
    interpolate_table,
    outside_message,
    spline_coefficients,
    table_conv_reference,
)

__all__ = ["Interpolation", "KeptTable", "interpolate_table", "keep_points", "spline_coefficients", "table_conv"]

_INTERPOLATIONS = get_args(Interpolation)


def table_conv(
    x: Float[Tensor, "S O C"],
    table: Float[Tensor, "..."] | KeptTable,
    coords: Float[Tensor, "E O K"],
    graph: Graph,
    *,
    interpolation: Interpolation = "linear",
    edge_weight: Float[Tensor, " E"] | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "T O C"]:
    r"""out[i, a] = sum over edges e to i of edge_weight[e] * k(coords[e, a]) * x[source[e], a], per channel.

    k interpolates the table; nothing of size (E, O, C) is allocated, forward or backward (except by the definition,
    which also computes second derivatives). Sums are made in float32, or float64.

    Args:
        x: features of the source points.
        table: values of the kernel at regular nodes, (V, C) for K = 1 or (V0, V1, C) for K = 2; with
            ``interpolation="bspline"`` the coefficients from ``spline_coefficients``, two more on each axis. A
            `KeptTable` takes no gradients, and spares the work on it in every call but the first.
        coords: attributes of every edge and orientation in units of nodes, in [0, V - 1] on each axis.
        graph: edges sorted by target.
        interpolation: "linear" (second order), "cubic" (interpolating spline: C2, fourth order; at least 4 nodes).
        edge_weight: a factor per edge, such as a cutoff; None is 1.
        backend: "auto", or "reference", "numba", "triton", which then run or raise.

    Differentiable in x, table, coords and edge_weight, in forward mode too: the numba kernel sums value and tangent in
    one pass (Triton: the definition). With linear interpolation the derivative by a coordinate is that of the
    interpolant: constant between two nodes, with a jump of first order in the spacing at each.

    On the CPU two runs with the same number of threads give the same bits; the Triton backend adds the table's gradient
    with atomics, so there its last digits vary.

    Raises: ValueError for shapes or dtypes that do not fit, an unknown name, and, on the CPU, coordinates that are NaN
        or leave the table by more than 1e-3 nodes (less is rounding, and moved to the edge). On a GPU, where looking
        would stop the pipeline, and in compiled definitions, such a coordinate makes its target NaN. RuntimeError if
        the named backend cannot run.
    """
    layouts = None
    if isinstance(table, KeptTable):
        layouts = table.layouts
        table, interpolation = table.stored(interpolation)
    _check(x, table, coords, graph, interpolation, edge_weight)
    chosen = select_backend("table_conv", backend, x, table, coords, edge_weight)
    if interpolation == "cubic":
        table, interpolation = spline_coefficients(table), "bspline"
    inputs = x, table, coords, edge_weight
    if chosen == "numba" and has_tangent(*inputs):
        note_uncounted("table_conv")
        edges = graph.source, graph.target, graph.row_ptr
        return join_dual(_implementation("numba_jvp").table_conv_jvp(*split_duals(*inputs), edges, interpolation))
    if chosen != "reference":
        transposed = (graph.transposed_order, graph.col_ptr) if chosen == "triton" else (None, None)
        indices = graph.source, graph.target, graph.row_ptr, *transposed
        if layouts is not None and chosen == "numba" and not is_watched(*inputs) and not tracks_gradients(*inputs):
            found: Tensor = _implementation("numba").table_conv_forward(
                x, table, coords, indices, edge_weight, interpolation, layouts
            )
            return found
        out: Tensor = _OPS[chosen](x, table, coords, *indices, edge_weight, interpolation)
        return out
    if _may_look(coords) and has_outside(coords, table, interpolation):
        raise ValueError(outside_message(coords, table, interpolation))
    return table_conv_reference(
        x, table, coords, graph.source, graph.target, graph.num_targets,
        interpolation=interpolation, edge_weight=edge_weight,
    )  # fmt: skip


def _may_look(coords: Tensor) -> bool:
    """Whether values may steer Python here without a wait for the GPU or a break of a traced graph."""
    traced = torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None
    return coords.device.type == "cpu" and not traced and not is_batched(coords)


def _check(
    x: Tensor, table: Tensor, coords: Tensor, graph: Graph, interpolation: str, edge_weight: Tensor | None
) -> None:
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(f"unknown interpolation {interpolation!r}, expected one of {_INTERPOLATIONS}")
    if graph.source.device != x.device:
        raise ValueError(f"graph is on {graph.source.device} but x on {x.device}: move one of them")
    if x.ndim != 3 or x.shape[0] != graph.num_sources:
        raise ValueError(f"x must be (S, O, C) with S = {graph.num_sources} sources of the graph, got {tuple(x.shape)}")
    if coords.ndim != 3 or coords.shape[:2] != (graph.num_edges, x.shape[1]) or coords.shape[2] not in (1, 2):
        raise ValueError(
            f"coords must be (E, O, K) = ({graph.num_edges}, {x.shape[1]}, 1 or 2), got {tuple(coords.shape)}"
        )
    if table.ndim != coords.shape[2] + 1 or table.shape[-1] != x.shape[2]:
        raise ValueError(
            f"table must have {coords.shape[2]} axes of nodes, as coords have, and {x.shape[2]} channels, as x has; "
            f"got shape {tuple(table.shape)}"
        )
    least = 2 if interpolation == "linear" else 4
    if min(table.shape[:-1]) < least:
        raise ValueError(f"a {interpolation} table needs at least {least} nodes on each axis, got {tuple(table.shape)}")
    if edge_weight is not None and edge_weight.shape != (graph.num_edges,):
        raise ValueError(f"edge_weight must be (E,) = ({graph.num_edges},), got {tuple(edge_weight.shape)}")
    for name, tensor in (("x", x), ("table", table), ("coords", coords), ("edge_weight", edge_weight)):
        if tensor is not None and not tensor.is_floating_point():
            raise ValueError(f"{name} must be floating point, got {tensor.dtype}: convert it with .to(x.dtype)")


def _implementation(backend: str) -> ModuleType:
    """The module with the kernels, imported when first used."""
    return import_module(f"rapidash.ops.table_conv.{backend}")


def _register(backend: str) -> Any:
    """A torch op for one backend, with its fake implementation and gradients."""

    @direct_op(f"rapidash::table_conv_{backend}")
    def forward(
        x: Tensor, table: Tensor, coords: Tensor, source: Tensor, target: Tensor, row_ptr: Tensor,
        order: Tensor | None, col_ptr: Tensor | None, edge_weight: Tensor | None, taps: str,
    ) -> Tensor:  # fmt: skip
        out: Tensor = _implementation(backend).table_conv_forward(
            x, table, coords, (source, target, row_ptr, order, col_ptr), edge_weight, taps
        )
        return out

    @direct_op(f"rapidash::table_conv_backward_{backend}")
    def backward(
        grad: Tensor, x: Tensor, table: Tensor, coords: Tensor, source: Tensor, target: Tensor, row_ptr: Tensor,
        order: Tensor | None, col_ptr: Tensor | None, edge_weight: Tensor | None, taps: str, needs: list[bool],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        grads: tuple[Tensor, Tensor, Tensor, Tensor] = _implementation(backend).table_conv_backward(
            grad, x, table, coords, (source, target, row_ptr, order, col_ptr), edge_weight, taps, needs
        )
        return grads

    @forward.register_fake
    def _(
        x: Tensor, table: Tensor, coords: Tensor, source: Tensor, target: Tensor, row_ptr: Tensor,
        order: Tensor | None, col_ptr: Tensor | None, edge_weight: Tensor | None, taps: str,
    ) -> Tensor:  # fmt: skip
        return x.new_empty(row_ptr.shape[0] - 1, x.shape[1], x.shape[2])

    @backward.register_fake
    def _(
        grad: Tensor, x: Tensor, table: Tensor, coords: Tensor, source: Tensor, target: Tensor, row_ptr: Tensor,
        order: Tensor | None, col_ptr: Tensor | None, edge_weight: Tensor | None, taps: str, needs: list[bool],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        both = needs[0] or needs[1]
        return (
            x.new_empty(x.shape if both else 0),
            table.new_empty(table.shape if both else 0),
            coords.new_empty(coords.shape if needs[2] else 0),
            x.new_empty(0) if edge_weight is None or not needs[3] else edge_weight.new_empty(edge_weight.shape),
        )

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.taps = inputs
        ctx.save_for_backward(*tensors)

    def vector_jacobian(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, table, coords, source, target, row_ptr, order, col_ptr, edge_weight = ctx.saved_tensors
        wanted = wanted_gradients(ctx)
        needs = [wanted[i] for i in (0, 1, 2, 8)]
        if needs_definition(grad):

            def definition(x: Tensor, table: Tensor, coords: Tensor, weight: Tensor | None) -> Tensor:
                return table_conv_reference(
                    x, table, coords, source, target, grad.shape[0], interpolation=ctx.taps, edge_weight=weight
                )

            grads = partial_gradients(definition, (x, table, coords, edge_weight), needs, grad)
        else:
            edges = source, target, row_ptr, order, col_ptr
            grads = backward(grad, x, table, coords, *edges, edge_weight, ctx.taps, needs)
        g_x, g_table, g_coords, g_weight = (g if need else None for g, need in zip(grads, needs, strict=True))
        return g_x, g_table, g_coords, None, None, None, None, None, g_weight, None

    forward.register_autograd(vector_jacobian, setup_context=setup_context)
    return forward


_OPS = {backend: _register(backend) for backend in ("numba", "triton")}
