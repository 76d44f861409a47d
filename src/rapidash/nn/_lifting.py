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
    if not signal.shape[2]:
        return signal.new_zeros(len(signal), 0, grid.shape[1])
    return torch.einsum("noc,od->ncd", signal, grid) / len(grid)


def project_tensors(
    trace: Float[Tensor, "N O C"], traceless: Float[Tensor, "N O C"], grid: Float[Tensor, "O D"]
) -> Float[Tensor, "N C D D"]:
    r"""Symmetric tensors of rank 2 from two signals t and s, one for the trace and one for what has none.

    .. math:: T = \tfrac1O \sum_a \tfrac{t(o_a)}{D} I + s(o_a) \left(o_a o_a^T - \tfrac1D I\right)
    """
    dim = grid.shape[1]
    identity = torch.eye(dim, dtype=grid.dtype, device=grid.device)
    outer = grid[:, :, None] * grid[:, None, :] - identity / dim
    mean = torch.einsum("noc,ode->ncde", traceless, outer) / len(grid)
    return mean + trace.mean(dim=1)[..., None, None] * identity / dim


def spans_tensors(grid: Float[Tensor, "O D"]) -> bool:
    """Whether the o o^T of a grid span all symmetric tensors, so that `project_tensors` can give each of them."""
    dim = grid.shape[1]
    outer = (grid[:, :, None] * grid[:, None, :]).flatten(1)
    return int(torch.linalg.matrix_rank(outer, rtol=1e-6)) == dim * (dim + 1) // 2
