"""Orthogonal matrices from vectors."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Orthonormal(NamedTuple):
    """Orthogonal matrices with how far their vectors were from being dependent."""

    g: Float[Tensor, "B n n"]
    gap: Float[Tensor, " B"]
    """The smallest part of a vector outside the span of those before it, in units of its length; 0 if dependent."""


def gram_schmidt(vectors: Float[Tensor, "B n n"]) -> Float[Tensor, "B n n"]:
    """Gram-Schmidt: vectors v_1 .. v_n of every sample become the columns of an element of O(n).

    Symmetry: gram_schmidt of R v_1 .. R v_n is R gram_schmidt(v), for every R of O(n).

    Every vector is made orthogonal twice, so that g^T g = 1 to rounding also for nearly dependent ones. Where they are
    dependent, the columns are finite and arbitrary, and gradients are finite; `orthonormal` says how near that is.

    Args:
        vectors: vectors[b, i] is the i-th vector of sample b.
    Raises: ValueError for another shape.
    """
    return orthonormal(vectors).g


def orthonormal(vectors: Float[Tensor, "B n n"]) -> Orthonormal:
    """`gram_schmidt` with its gap."""
    if vectors.dim() != 3 or vectors.shape[1] != vectors.shape[2]:
        raise ValueError(f"vectors need the shape (B, n, n), n vectors of n components, got {tuple(vectors.shape)}")
    columns: list[Tensor] = []
    gaps: list[Tensor] = []
    for vector in vectors.unbind(1):
        length = vector.norm(dim=-1, keepdim=True)
        # lengths below the smallest normal number have no direction left
        rest = vector / length.clamp_min(torch.finfo(vector.dtype).tiny)
        for step in range(2):
            for column in columns:
                rest = rest - (rest * column).sum(dim=-1, keepdim=True) * column
            remaining = rest.norm(dim=-1, keepdim=True)
            if step == 0:
                gaps.append(remaining.squeeze(-1))
            rest = rest / remaining.clamp_min(torch.finfo(vector.dtype).tiny)
        columns.append(rest)
    return Orthonormal(torch.stack(columns, dim=-1), torch.stack(gaps).amin(dim=0).detach())


def to_special(g: Float[Tensor, "*B n n"]) -> Float[Tensor, "*B n n"]:
    """An element of SO(n) from one of O(n): the first column times the determinant.

    Symmetry: to_special(R g) = R to_special(g) for every rotation R.
    """
    sign = torch.linalg.det(g.detach()).sign()[..., None, None]
    return torch.cat([sign * g[..., :1], g[..., 1:]], dim=-1)


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of the one, the gradient of the other."""
    return soft + (hard - soft).detach()
