"""The error of a tabulated network against the definition, and the choice of a table that is fine enough."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.models._rapidash import Rapidash


class KernelError(NamedTuple):
    """Difference between the outputs with tables and with exact kernels, on one batch."""

    relative: float
    """||tabulated - exact|| / ||exact|| over all outputs, dimensionless."""
    largest: float
    """Largest absolute difference of an output, in its unit."""


@torch.no_grad()
def kernel_error(
    model: Rapidash,
    pos: Float[Tensor, "N D"],
    batch: Int[Tensor, " N"],
    *,
    table_size: int | None = None,
    **features: Float[Tensor, "N ..."],
) -> KernelError:
    """Error of the outputs that comes from the tables, estimated against the exact kernels on a batch.

    Both are evaluated in float64, so that what is seen is interpolation and not rounding. The model is not changed.

    Args:
        model: any network whose attributes live on at most 2 dimensions.
        pos, batch, features: as for ``model(pos, batch, scalars=..., vectors=..., pairs=...)``.
        table_size: another resolution to try.
    Raises: ValueError for a network that cannot be tabulated, or one whose output is 0.
    """
    dtype = next(model.parameters()).dtype
    inputs = {name: tensor.double() for name, tensor in features.items()}
    try:
        model.double()
        outputs = [
            torch.cat([part.flatten() for part in network(pos.double(), batch, **inputs)])
            for network in (model.with_kernel("tabulated", table_size=table_size), model.with_kernel("exact"))
        ]
    finally:
        model.to(dtype)
    difference, size = outputs[0] - outputs[1], float(outputs[1].norm())
    if size == 0:
        raise ValueError("the network's output is 0 on this batch: a relative error has no meaning, give another batch")
    return KernelError(float(difference.norm()) / size, float(difference.abs().max()))


def choose_table_size(
    model: Rapidash,
    pos: Float[Tensor, "N D"],
    batch: Int[Tensor, " N"],
    *,
    tolerance: float,
    sizes: Sequence[int] = (16, 32, 64, 128),
    **features: Float[Tensor, "N ..."],
) -> int:
    """The smallest table whose relative output error on a batch is within the tolerance, for ``table_size``.

    Raises: ValueError when none of the sizes is fine enough (naming the error of the finest), or a tolerance <= 0.
    """
    if tolerance <= 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}: for no error at all use kernel='exact'")
    error = float("inf")
    for size in sorted(sizes):
        error = kernel_error(model, pos, batch, table_size=size, **features).relative
        if error <= tolerance:
            return size
    raise ValueError(
        f"the finest table, table_size={max(sizes)}, has a relative error of {error:.1e}, more than the tolerance "
        f"{tolerance:.1e}: use interpolation='cubic', larger sizes, or kernel='exact'"
    )
