"""Denoisers that are known in closed form, as networks F of the common denoiser; tiny networks and chains of beads."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.generate import Denoiser
from rapidash.models import RapidashConfig

TINY = {"channels": 8, "num_layers": 1, "basis_dim": 8, "basis_hidden_dim": 8, "grid": "platonic"}


def tiny(symmetry: str, space: str, num_orientations: int = 8) -> RapidashConfig:
    return RapidashConfig(symmetry=symmetry, space=space, num_orientations=num_orientations, **TINY)


def chains(num: int, name: str) -> Tensor:
    """Chains of five beads 1.4 apart, nearly planar, with a small positive twist about the second bond."""
    rng = seeded("chains", name)
    base = torch.tensor([[0.0, 0.0, 0.0], [1.2, 0.7, 0.0], [2.4, 0.0, 0.0], [3.6, 0.7, 0.4], [4.8, 0.0, 0.8]])
    return base + 0.1 * torch.randn(num, 5, 3, generator=rng)


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
