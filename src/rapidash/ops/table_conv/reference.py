"""The definition of interpolation from a table and of the convolution with such a kernel."""

from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.ops._backend import accumulation_dtype
from rapidash.ops.edge_conv.reference import edge_conv_reference

Interpolation = Literal["linear", "cubic", "bspline"]

RANGE_TOLERANCE = 1e-3
"""Coordinates may leave the table by this many nodes, for rounding; they are moved back to its edge."""


@lru_cache(maxsize=64)
def _cached_prefilter(num_nodes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The (V + 2, V) matrix from node values to coefficients of the not-a-knot cubic B-spline through them."""
    with torch.inference_mode(False):  # a tensor made in inference mode could not be kept for a later gradient
        system = torch.zeros(num_nodes + 2, num_nodes + 2, dtype=torch.float64)
        for node in range(num_nodes):
            system[node, node : node + 3] = torch.tensor([1, 4, 1], dtype=torch.float64) / 6
        no_jump = torch.tensor([1.0, -4, 6, -4, 1], dtype=torch.float64)  # of the third derivative
        system[num_nodes, :5] = system[num_nodes + 1, -5:] = no_jump
        values = torch.eye(num_nodes + 2, num_nodes, dtype=torch.float64)
        return torch.linalg.solve(system, values).to(dtype=dtype, device=device)


@torch.library.custom_op("rapidash::spline_prefilter", mutates_args=())
def _prefilter_op(num_nodes: int, like: Tensor) -> Tensor:
    return _cached_prefilter(num_nodes, like.dtype, like.device).clone()


@_prefilter_op.register_fake
def _(num_nodes: int, like: Tensor) -> Tensor:
    return like.new_empty(num_nodes + 2, num_nodes)


def _prefilter(num_nodes: int, like: Tensor) -> Tensor:
    """The matrix in the dtype and on the device of a tensor; an op of its own in a traced graph, which has no cache."""
    if torch.compiler.is_compiling():
        made: Tensor = _prefilter_op(num_nodes, like.detach())
        return made
    return _cached_prefilter(num_nodes, like.dtype, like.device)


def spline_coefficients(table: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Coefficients of the cubic spline that takes the table's values at its nodes.

    The spline is C2, with not-a-knot ends: fourth order up to the boundary. It is linear in the table and acts on each
    channel alone, so it commutes with linear maps of channels.

    Args:
        table: (V, C) or (V0, V1, C), at least 4 nodes on each axis.

    Returns: (V + 2, C) or (V0 + 2, V1 + 2, C), for ``interpolation="bspline"``.
    Raises: ValueError for an axis with fewer than 4 nodes.
    Source: de Boor, "A Practical Guide to Splines", 1978, chapter IV.
    """
    for axis in range(table.ndim - 1):
        num_nodes = table.shape[axis]
        if num_nodes < 4:
            raise ValueError(f"a cubic table needs at least 4 nodes on each axis, got shape {tuple(table.shape)}")
        matrix = _prefilter(num_nodes, table)
        rest = table.shape[:axis], table.shape[axis + 1 :]
        flat = table.reshape(*rest[0], num_nodes, -1)
        table = (matrix @ flat).reshape(*rest[0], num_nodes + 2, *rest[1])
    return table


def node_counts(table: Tensor, interpolation: Interpolation) -> list[int]:
    """Nodes on each axis of a table; coefficients of a B-spline have one more at each end."""
    guard = 2 if interpolation == "bspline" else 0
    return [size - guard for size in table.shape[:-1]]


def outside_message(coords: Tensor, table: Tensor, interpolation: Interpolation) -> str:
    """The message about coordinates that leave the table: their range, the expected one, and the remedy."""
    flat = coords.detach().reshape(-1, coords.shape[-1])
    low, high = flat.amin(dim=0).tolist(), flat.amax(dim=0).tolist()
    last = [size - 1 for size in node_counts(table, interpolation)]
    return (
        f"coords must lie in [0, V - 1] = [0, {last}] on each axis, in units of nodes; got minimum {low} and "
        f"maximum {high}. Scale the attributes to the table's range, or make the table's range wider; NaN comes from "
        "NaN positions"
    )


def has_outside(coords: Tensor, table: Tensor, interpolation: Interpolation) -> bool:
    """Whether a coordinate is NaN or leaves the table by more than ``RANGE_TOLERANCE``."""
    last = coords.new_tensor([size - 1 for size in node_counts(table, interpolation)])
    inside = (coords >= -RANGE_TOLERANCE) & (coords <= last + RANGE_TOLERANCE)
    return not bool(inside.all())


def _weights(fraction: Tensor, interpolation: Interpolation) -> list[Tensor]:
    if interpolation == "linear":
        return [1 - fraction, fraction]
    t, s = fraction, 1 - fraction
    return [s**3 / 6, 2 / 3 - t**2 * (2 - t) / 2, 2 / 3 - s**2 * (2 - s) / 2, t**3 / 6]


def interpolate_table(
    table: Float[Tensor, "..."], coords: Float[Tensor, "*points K"], interpolation: Interpolation = "linear"
) -> Float[Tensor, "*points C"]:
    """Values of a table between its nodes.

    Args:
        table: (V, C) for K = 1 or (V0, V1, C) for K = 2: values at the nodes, or with "bspline" the coefficients that
            ``spline_coefficients`` makes.
        coords: position in units of nodes, in [0, V - 1] on each axis.
        interpolation: "linear" (continuous, second order), "cubic" (spline through the nodes: C2, fourth order).

    A coordinate outside the table by more than 1e-3 nodes gives NaN, never an extrapolated value.
    """
    if interpolation == "cubic":
        table, interpolation = spline_coefficients(table), "bspline"
    lines, weights = [], []
    for axis, num_nodes in enumerate(node_counts(table, interpolation)):
        last = num_nodes - 1
        u = coords[..., axis]
        inside = (u >= -RANGE_TOLERANCE) & (u <= last + RANGE_TOLERANCE)
        u = torch.where(inside, u.clamp(0, last), float("nan"))
        cell = torch.where(inside, u, 0).detach().floor().long().clamp(0, max(last - 1, 0))
        weights.append([w[..., None] for w in _weights(u - cell, interpolation)])
        lines.append(cell)
    if len(lines) == 1:
        terms = [w * table[lines[0] + i] for i, w in enumerate(weights[0])]
    else:
        terms = [
            wu * wv * table[lines[0] + i, lines[1] + j]
            for i, wu in enumerate(weights[0])
            for j, wv in enumerate(weights[1])
        ]
    return torch.stack(terms).sum(dim=0)


def table_conv_reference(
    x: Float[Tensor, "S O C"],
    table: Float[Tensor, "..."],
    coords: Float[Tensor, "E O K"],
    source: Int[Tensor, " E"],
    target: Int[Tensor, " E"],
    num_targets: int,
    *,
    interpolation: Interpolation = "linear",
    edge_weight: Float[Tensor, " E"] | None = None,
) -> Float[Tensor, "T O C"]:
    """The definition: interpolate the kernel at every edge and orientation, then ``edge_conv``."""
    dtype = accumulation_dtype(x, table, coords, edge_weight)
    kernel = interpolate_table(table.to(dtype), coords.to(dtype), interpolation)
    return edge_conv_reference(x, kernel, source, target, num_targets, edge_weight=edge_weight)
