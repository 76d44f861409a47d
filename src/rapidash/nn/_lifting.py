"""Between scalars and vectors on points and signals on the orientation grid."""

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.nn._check_types import check_types


def lift(
    scalars: Float[Tensor, "N Cs"] | None, vectors: Float[Tensor, "N Cv D"] | None, grid: Float[Tensor, "O D"]
) -> Float[Tensor, "N O C"]:
    """A scalar is copied to every orientation, a vector v becomes v.o_a; scalars first, then vectors."""
    if vectors is not None:
        check_types("orientation grid", grid, {"vectors": vectors})
    parts = []
    if scalars is not None:
        parts.append(scalars.unsqueeze(1).expand(-1, len(grid), -1))
    if vectors is not None:
        parts.append(torch.einsum("ncd,od->noc", vectors, grid))
    return torch.cat(parts, dim=-1)


def project_scalars(signal: Float[Tensor, "N O C"]) -> Float[Tensor, "N C"]:
    """The mean over orientations."""
    return signal.mean(dim=1)


def project_vectors(signal: Float[Tensor, "N O C"], grid: Float[Tensor, "O D"]) -> Float[Tensor, "N C D"]:
    """(1/O) sum_a y(o_a) o_a."""
    return torch.einsum("noc,od->ncd", signal, grid) / len(grid)
