"""Convolution whose kernel is interpolated from a table, with one table for every orbit of orientations."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.geometry import Graph
from rapidash.ops._backend import Backend
from rapidash.ops.orbit_table_conv.reference import orbit_table_conv_reference
from rapidash.ops.table_conv import Interpolation, spline_coefficients, table_conv

__all__ = ["orbit_table_conv"]


def orbit_table_conv(
    x: Float[Tensor, "S O C"],
    tables: Float[Tensor, "K ..."],
    coords: Float[Tensor, "E O axes"],
    graph: Graph,
    orbits: Int[Tensor, " O"],
    *,
    interpolation: Interpolation = "linear",
    edge_weight: Float[Tensor, " E"] | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "T O C"]:
    r"""out[i, a] = sum over edges e to i of edge_weight[e] * k_orbits[a](coords[e, a]) * x[source[e], a], per channel.

    The kernel k_t interpolates the table t. With one table this is `table_conv`, at its cost; with K of them it is
    `table_conv` on the orientations of every orbit, with a copy of x and the result in between.

    Args:
        x, coords, graph, interpolation, edge_weight, backend: as of `table_conv`.
        tables: (K, V, C) or (K, V0, V1, C), see `table_conv`.
        orbits: the table of each orientation, each of 0 .. K - 1 at least once.
    Raises: ValueError for orbits that do not fit the tables; and as `table_conv`. The definition does not look for
        coordinates outside the tables: they make their target NaN.
    """
    if orbits.shape != x.shape[1:2] or not torch.equal(orbits.unique().cpu(), torch.arange(len(tables))):
        raise ValueError(
            f"orbits must name one of the {len(tables)} tables for each of the {x.shape[1]} orientations, and every "
            f"table at least once, got {orbits.tolist()}"
        )
    if len(tables) == 1:
        return table_conv(
            x, tables[0], coords, graph, interpolation=interpolation, edge_weight=edge_weight, backend=backend
        )
    if backend == "reference":
        if interpolation == "cubic":
            tables, interpolation = torch.stack([spline_coefficients(table) for table in tables]), "bspline"
        return orbit_table_conv_reference(
            x, tables, coords, graph.source, graph.target, graph.num_targets, orbits,
            interpolation=interpolation, edge_weight=edge_weight,
        )  # fmt: skip
    order = orbits.argsort(stable=True)
    parts = [
        table_conv(
            x[:, members].contiguous(), table.contiguous(), coords[:, members].contiguous(), graph,
            interpolation=interpolation, edge_weight=edge_weight, backend=backend,
        )
        for table, members in zip(tables, order.split(torch.bincount(orbits).tolist()))
    ]  # fmt: skip
    return torch.cat(parts, dim=1)[:, order.argsort()]
