"""Denoisers that are known in closed form, as networks F of the common denoiser; tiny networks and chains of beads."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.generate import Denoiser
from rapidash.groups import SO
from rapidash.models import RapidashConfig

TINY = {"channels": 8, "num_layers": 1, "basis_dim": 8, "basis_hidden_dim": 8, "grid": "platonic"}


def tiny(symmetry: str, space: str, num_orientations: int = 8) -> RapidashConfig:
    return RapidashConfig(symmetry=symmetry, space=space, num_orientations=num_orientations, **TINY)


def chains(num: int, name: str) -> Tensor:
    """Chains of five beads 1.4 apart, nearly planar, with a small positive twist about the second bond."""
    rng = seeded("chains", name)
    base = torch.tensor([[0.0, 0.0, 0.0], [1.2, 0.7, 0.0], [2.4, 0.0, 0.0], [3.6, 0.7, 0.4], [4.8, 0.0, 0.8]])
    return base + 0.1 * torch.randn(num, 5, 3, generator=rng)


_H = 1.09 / 3**0.5  # of methane: 1.09 angstrom along the diagonals of a cube
_TETRAHEDRON = [(_H, _H, _H), (_H, -_H, -_H), (-_H, _H, -_H), (-_H, -_H, _H)]
_MOLECULES = (  # atomic numbers and positions in angstrom
    ((8, 1, 1), [(0, 0, 0), (0.96, 0, 0), (-0.24, 0.93, 0)]),
    ((7, 1, 1, 1), [(0, 0, 0), (0.94, 0, -0.38), (-0.47, 0.81, -0.38), (-0.47, -0.81, -0.38)]),
    ((6, 1, 1, 1, 1), [(0, 0, 0), *_TETRAHEDRON]),
    ((6, 8, 1, 1, 1, 1), [(0, 0, 0), (0.82, 0.82, 0.82), *_TETRAHEDRON[1:], (1.55, 1.1, 0.25)]),
)


def molecules(num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elements, positions and sizes of molecules, one kind after the other, with noise of 0.01 angstrom."""
    rng = seeded("molecules")
    z, pos, sizes = [], [], []
    for index in range(num):
        numbers, places = _MOLECULES[index % len(_MOLECULES)]
        turn = SO(3).sample(1, generator=rng)[0, :3, :3].double()
        clean = torch.tensor(places, dtype=torch.float64) @ turn.T
        z.append(np.array(numbers, dtype=np.uint8))
        pos.append((clean + 0.01 * torch.randn(clean.shape, generator=rng, dtype=torch.float64)).numpy())
        sizes.append(len(numbers))
    return np.concatenate(z), np.concatenate(pos).astype(np.float32), np.array(sizes, dtype=np.uint8)


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
