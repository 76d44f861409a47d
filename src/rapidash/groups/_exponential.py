"""Exponentials of rigid motions in closed form: no matrix function, and derivatives that hold at rest too."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_SMALL = 0.02  # of the squared angle: below it four terms of a power series are exact to rounding
_TERMS = 4


def motion_exponential(algebra: Float[Tensor, "*B n n"]) -> Float[Tensor, "*B n n"]:
    r"""exp(A) of the element A = (W v; 0 0) of the algebra of SE(2) or SE(3), W skew-symmetric; differentiable in A.

    With the angle s the linear part is 1 + a W + b W^2 and the translation (1 + b W + c W^2) v with a = sin(s) / s,
    b = (1 - cos(s)) / s^2 and c = (s - sin(s)) / s^3; in the plane W^2 = -s^2.
    """
    dim = algebra.shape[-1] - 1
    skew, shift = algebra[..., :dim, :dim], algebra[..., :dim, dim]
    square = (skew * skew).sum(dim=(-2, -1)) / 2  # s^2
    a, b, c = (each[..., None, None] for each in _coefficients(square))
    identity = torch.eye(dim, dtype=algebra.dtype, device=algebra.device)
    twice = skew @ skew
    linear = identity + a * skew + b * twice
    moved = ((identity + b * skew + c * twice) @ shift[..., None])[..., 0]
    top = torch.cat([linear, moved[..., None]], dim=-1)
    last = torch.zeros_like(top[..., :1, :])
    last[..., dim] = 1.0
    return torch.cat([top, last], dim=-2)


def _coefficients(square: Float[Tensor, "*B"]) -> tuple[Tensor, Tensor, Tensor]:
    """sin(s) / s, (1 - cos(s)) / s^2 and (s - sin(s)) / s^3, smooth functions of s^2."""
    is_small = square < _SMALL
    large = torch.where(is_small, torch.ones_like(square), square)
    small = torch.where(is_small, square, torch.zeros_like(square))
    angle = large.sqrt()
    half = (angle / 2).sin() / (angle / 2)
    closed = (angle.sin() / angle, half * half / 2, (angle - angle.sin()) / (angle * large))
    series = (_series(small, first) for first in (1, 2, 3))
    a, b, c = (torch.where(is_small, near, far) for near, far in zip(series, closed))
    return a, b, c


def _series(square: Tensor, first: int) -> Tensor:
    """sum_k (-s^2)^k / (2 k + first)!, by Horner's rule."""
    total = torch.ones_like(square)
    for k in range(_TERMS, 0, -1):
        total = 1 - square / ((2 * k + first - 1) * (2 * k + first)) * total
    return total / math.factorial(first)
