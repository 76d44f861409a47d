"""Smooth functions of a distance."""

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.geometry._transforms import is_watched


def safe_norm(x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B"]:
    """Euclidean norm whose derivatives of every order are 0 (not NaN) where x is exactly 0."""
    square = x.square().sum(dim=-1)
    if not (torch.is_grad_enabled() and x.requires_grad) and not is_watched(x):
        return square.sqrt()
    is_zero = square == 0
    return torch.where(is_zero, torch.zeros_like(square), torch.where(is_zero, torch.ones_like(square), square).sqrt())


def polynomial_cutoff(distance: Float[Tensor, "*B"], cutoff: float, power: int = 6) -> Float[Tensor, "*B"]:
    r"""A window that is 1 at distance 0 and falls to 0 at the cutoff with two continuous derivatives.

    .. math:: u(x) = 1 - \tfrac{(p+1)(p+2)}{2} x^p + p(p+2) x^{p+1} - \tfrac{p(p+1)}{2} x^{p+2}, \quad x = d / r < 1

    Args:
        distance: lengths in units of the positions.
        cutoff: r, positive, same unit.
        power: p, at least 1.
    Source: Gasteiger et al., "Directional Message Passing for Molecular Graphs" (DimeNet), ICLR 2020.
    """
    x = (distance / cutoff).clamp(max=1.0)
    p = power
    return 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
