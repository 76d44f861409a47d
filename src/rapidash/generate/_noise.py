"""Gaussian noise in the state space: of a training batch, and of samples that are numbered."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.generate._state import StateSpace


def random_noise(
    space: StateSpace, batch: Int[Tensor, " N"], num_clouds: int, generator: torch.Generator
) -> Float[Tensor, "N W"]:
    """Standard normal noise of the state space, float64 on the CPU: positions have covariance I - 11^T / n."""
    noise = torch.randn(len(batch), space.width, generator=generator, dtype=torch.float64)
    return space.project(noise, batch.cpu(), num_clouds)


def numbered_noise(
    space: StateSpace, num_points: Sequence[int], indices: Sequence[int], num_draws: int, seed: int
) -> Float[Tensor, "K N W"]:
    """Several draws for clouds that have numbers: all of cloud i from ``seeded(seed, "sample", i)``.

    Args:
        space: of the noise.
        num_points: of each cloud.
        indices: the number of each cloud.
        num_draws: K, the start and what a sampler adds on its way.
        seed: of the samples.
    """
    draws = [
        torch.randn(num_draws, count, space.width, generator=seeded(seed, "sample", index), dtype=torch.float64)
        for count, index in zip(num_points, indices, strict=True)
    ]
    batch = torch.repeat_interleave(torch.arange(len(draws)), torch.tensor(num_points))
    return space.project(torch.cat(draws, dim=1), batch, len(draws))
