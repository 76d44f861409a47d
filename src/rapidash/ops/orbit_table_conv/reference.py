"""The definition of the convolution with one table for every orbit of orientations."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.ops.table_conv.reference import Interpolation, table_conv_reference


def orbit_table_conv_reference(
    x: Float[Tensor, "S O C"],
    tables: Float[Tensor, "K ..."],
    coords: Float[Tensor, "E O axes"],
    source: Int[Tensor, " E"],
    target: Int[Tensor, " E"],
    num_targets: int,
    orbits: Int[Tensor, " O"],
    *,
    interpolation: Interpolation = "linear",
    edge_weight: Float[Tensor, " E"] | None = None,
) -> Float[Tensor, "T O C"]:
    """Every orientation by itself, with the table of its orbit: any device and dtype, differentiable to any order."""
    parts = [
        table_conv_reference(
            x[:, a : a + 1], tables[orbit], coords[:, a : a + 1], source, target, num_targets,
            interpolation=interpolation, edge_weight=edge_weight,
        )
        for a, orbit in enumerate(orbits.tolist())
    ]  # fmt: skip
    return torch.cat(parts, dim=1)
