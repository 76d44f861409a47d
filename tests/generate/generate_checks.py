"""Denoisers that are known in closed form, as networks F of the common denoiser."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rapidash.generate import Denoiser


def ideal_denoiser(mean: Callable[[Tensor, float], Tensor], spread: Tensor) -> Denoiser:
    """The denoiser whose D(z, sigma) is a given function: F = (D - c_skip z) / c_out, told the level by its code."""

    def network(scaled: Tensor, code: float) -> Tensor:
        sigma = math.exp(4 * code)
        total = torch.sqrt(sigma**2 + spread.square())
        z = scaled * total
        return (mean(z, sigma) - (spread / total).square() * z) * total / (sigma * spread)

    return Denoiser(network, spread)


def gaussian_denoiser(scale: float, width: int, spread: float = 1.0) -> Denoiser:
    """For data N(0, scale^2)."""
    spreads = torch.full((width,), spread, dtype=torch.float64)
    return ideal_denoiser(lambda z, sigma: scale**2 / (scale**2 + sigma**2) * z, spreads)
