"""Orthogonal matrices from vectors."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_DEPENDENT = 64  # rounding errors: a vector with less outside the span of the others has no direction of its own


class Orthonormal(NamedTuple):
    """Orthogonal matrices with how far their vectors were from being dependent."""

    g: Float[Tensor, "B n n"]
    gap: Float[Tensor, " B"]
    """The smallest part of a vector outside the span of those before it, in units of its length; 0 if dependent."""


def gram_schmidt(vectors: Float[Tensor, "B n n"]) -> Float[Tensor, "B n n"]:
    """Gram-Schmidt: vectors v_1 .. v_n of every sample become the columns of an element of O(n).

    Symmetry: gram_schmidt of R v_1 .. R v_n is R gram_schmidt(v), for every R of O(n).

    Every vector is made orthogonal twice, so that g^T g = 1 to rounding also for nearly dependent ones. A dependent
    one is replaced by an axis, so that g is orthogonal still and gradients are finite, but its choice arbitrary;
    `orthonormal` says how near that is.

    Args:
        vectors: vectors[b, i] is the i-th vector of sample b.
    Raises: ValueError for another shape.
    """
    return orthonormal(vectors).g


def orthonormal(vectors: Float[Tensor, "B n n"]) -> Orthonormal:
    """`gram_schmidt` with its gap."""
    if vectors.dim() != 3 or vectors.shape[1] != vectors.shape[2]:
        raise ValueError(f"vectors need the shape (B, n, n), n vectors of n components, got {tuple(vectors.shape)}")
    if not vectors.is_floating_point():
        raise ValueError(f"vectors must be real numbers, got {vectors.dtype}")
    columns: list[Tensor] = []
    gaps: list[Tensor] = []
    for vector in vectors.unbind(1):
        rest = _without(_unit(vector), columns)
        gap = rest.norm(dim=-1, keepdim=True)
        gaps.append(gap.detach().squeeze(-1))
        is_dependent = gap <= _DEPENDENT * torch.finfo(vector.dtype).eps
        chosen = torch.where(is_dependent, _another(columns, vector), rest)
        columns.append(_unit(_without(_unit(chosen), columns)))
    return Orthonormal(torch.stack(columns, dim=-1), torch.stack(gaps).amin(dim=0))


def _without(vector: Float[Tensor, "B n"], columns: list[Tensor]) -> Float[Tensor, "B n"]:
    """The part of a vector that is orthogonal to the columns."""
    for column in columns:
        vector = vector - (vector * column).sum(dim=-1, keepdim=True) * column
    return vector


def _unit(vector: Float[Tensor, "B n"]) -> Float[Tensor, "B n"]:
    """The vector of length 1; 0 stays 0, with a gradient of 0."""
    largest = vector.detach().abs().amax(dim=-1, keepdim=True)
    scaled = vector / torch.where(largest > 0, largest, 1.0)  # squares of small numbers would vanish
    square = scaled.square().sum(dim=-1, keepdim=True)
    return scaled / torch.where(square > 0, square, 1.0).sqrt()


def _another(columns: list[Tensor], like: Float[Tensor, "B n"]) -> Float[Tensor, "B n"]:
    """A constant vector outside the span of the columns: the axis that is farthest from them."""
    axes = torch.eye(like.shape[-1]).to(like)
    if not columns:
        return axes[0].expand_as(like)
    covered = torch.stack(columns).detach().square().sum(dim=0)  # of axis k, by all columns
    return axes[covered.argmin(dim=-1)]


def to_special(g: Float[Tensor, "*B n n"]) -> Float[Tensor, "*B n n"]:
    """An element of SO(n) from one of O(n): the first column times the determinant.

    Symmetry: to_special(R g) = R to_special(g) for every rotation R.
    """
    sign = torch.linalg.det(g.detach()).sign()[..., None, None]
    return torch.cat([sign * g[..., :1], g[..., 1:]], dim=-1)


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of the first, with the gradient of the second (that of the first is cut off)."""
    return hard.detach() + (soft - soft.detach())  # in this order the value is that of hard exactly
