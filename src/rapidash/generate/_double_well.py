"""Four particles in the plane with a double well between any two: a density that is known, and samples of it."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._seed import seeded
from rapidash.generate._noise import random_noise
from rapidash.generate._state import StateSpace


@dataclass(frozen=True)
class DoubleWell:
    r"""Energies of particles, in units of k_B T: the sum over pairs of (-4 u^2 + 0.9 u^4) / 2 with u = d - 4.

    Distances near 4 +- 1.49 are preferred, and the energy does not change under motions and swaps. The density
    exp(-E) of particles with zero mean is known up to its normalization.

    Args:
        num_particles: at least 2.
    Raises: ValueError for fewer, or in `energy` and `force` for positions of another number of particles.
    Source: Köhler, Klein, Noé, "Equivariant Flows", ICML 2020 (DW-4, without its linear term).
    """

    num_particles: int = 4

    def __post_init__(self) -> None:
        if self.num_particles < 2:
            raise ValueError(f"num_particles must be at least 2, got {self.num_particles}")

    def energy(self, pos: Float[Tensor, "*B n 2"]) -> Float[Tensor, "*B"]:
        """Energy of each configuration."""
        self._check(pos)
        first, second = torch.triu_indices(self.num_particles, self.num_particles, offset=1)
        u = (pos[..., first, :] - pos[..., second, :]).norm(dim=-1) - 4
        return (-2 * u.square() + 0.45 * u**4).sum(-1)

    def force(self, pos: Float[Tensor, "*B n 2"]) -> Float[Tensor, "*B n 2"]:
        """Minus the gradient of the energy."""
        self._check(pos)
        offset = pos[..., :, None, :] - pos[..., None, :, :]
        distance = offset.norm(dim=-1)
        u = distance - 4
        slope = (-4 * u + 1.8 * u**3) / distance.clamp(min=1e-9)
        return -(slope[..., None] * offset).sum(-2)

    def _check(self, pos: Tensor) -> None:
        if pos.shape[-2:] != (self.num_particles, 2):
            raise ValueError(
                f"pos must end in ({self.num_particles}, 2), particles in the plane, got {tuple(pos.shape)}"
            )


def metropolis_langevin(
    law: DoubleWell, pos: Float[Tensor, "B n 2"], *, num_steps: int, step: float, generator: torch.Generator
) -> tuple[Float[Tensor, "B n 2"], float]:
    """The last states of chains with the stationary density exp(-E) on zero-mean positions, and the accepted share.

    Proposals are x + step F(x) + sqrt(2 step) times noise of the subspace (the Metropolis-adjusted Langevin algorithm).

    Args:
        law: whose energy and force are used.
        pos: start of every chain.
        num_steps, step: of the chains; both positive.
        generator: of proposals and acceptance.
    """
    space, num = StateSpace(2), len(pos)
    batch = torch.arange(num).repeat_interleave(law.num_particles)
    energy, force, accepted = law.energy(pos), law.force(pos), 0.0
    for _ in range(num_steps):
        noise = random_noise(space, batch, num, generator).view_as(pos)
        ahead = pos + step * force + (2 * step) ** 0.5 * noise
        energy_ahead, force_ahead = law.energy(ahead), law.force(ahead)
        back = (pos - ahead - step * force_ahead).square().sum((1, 2))
        forth = (ahead - pos - step * force).square().sum((1, 2))
        log_ratio = energy - energy_ahead + (forth - back) / (4 * step)
        taken = torch.rand(num, generator=generator, dtype=torch.float64).log() < log_ratio
        accepted += float(taken.double().mean()) / num_steps
        pos, energy = torch.where(taken[:, None, None], ahead, pos), torch.where(taken, energy_ahead, energy)
        force = torch.where(taken[:, None, None], force_ahead, force)
    return pos, accepted


@lru_cache(maxsize=8)
def double_well_samples(split: str, size: int, num_steps: int = 1000) -> Float[Tensor, "size 4 2"]:
    """Independent samples of the density, each the end of a chain of its own.

    Chains begin at random places, relaxed by forces of limited length.

    Args:
        split: name of their random stream.
        size: number of samples.
        num_steps: of every chain, of length 0.02.
    """
    law, rng = DoubleWell(), seeded("double well", split)
    batch = torch.arange(size).repeat_interleave(law.num_particles)
    pos = 2 * random_noise(StateSpace(2), batch, size, rng).view(size, law.num_particles, 2)
    for _ in range(200):
        pos = pos + 0.02 * law.force(pos).clamp(-10, 10)
    pos = pos - pos.mean(1, keepdim=True)
    return metropolis_langevin(law, pos, num_steps=num_steps, step=0.02, generator=rng)[0]
