"""Log-likelihood of clouds by the probability-flow ordinary differential equation."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.generate._denoiser import Denoiser
from rapidash.generate._samplers import HeunSampler
from rapidash.generate._state import StateSpace, check_sizes

EXACT_FREEDOM = 64  # degrees of freedom up to which the divergence is summed over all of them


@dataclass(frozen=True)
class LogLikelihood:
    """Log density of clouds in nats, with respect to the volume of the zero-mean subspace.

    Args:
        log_density: (B,) in the network's unit of length.
        freedom: D (n - 1).
    """

    log_density: Float[Tensor, " B"]
    freedom: int

    def per_freedom(self, unit_length: float = 1.0) -> Float[Tensor, " B"]:
        """Nats per degree of freedom, for positions in units of which the network's is ``unit_length``."""
        return self.log_density / self.freedom - math.log(unit_length)


@torch.no_grad()
def log_likelihood(
    denoiser: Denoiser,
    z: Float[Tensor, "N D"],
    num_clouds: int,
    space: StateSpace,
    *,
    grid: HeunSampler | None = None,
    num_probes: int | None = None,
    generator: torch.Generator | None = None,
) -> LogLikelihood:
    r"""log p(x) = log N(x(sigma_max); 0, sigma_max^2 + sigma_d^2) + the integral of div dx/dsigma up to sigma_max.

    Heun's method runs through the levels of the grid, from sigma_min up. The data are blurred by sigma_min.

    Args:
        denoiser: of one state space, applied to all clouds at once.
        z: states of clouds of one size, (B n, D), positions only.
        num_clouds: B.
        space: of the states, without scalars: of these there is a bound only, and no likelihood.
        grid: whose levels are used; default: 32 steps to level 10.
        num_probes: random vectors of signs (Hutchinson) for the divergence; None: all degrees of freedom, at most 64.
        generator: of the probes, on the CPU.
    Raises: ValueError for no clouds, clouds of several sizes or of one point, scalars in the state, or more degrees of
        freedom than 64 without probes; no probe.
    """
    if num_clouds < 1:
        raise ValueError(f"a likelihood needs at least one cloud, got {num_clouds}")
    size, rest = divmod(len(z), num_clouds)
    if rest or space.num_scalars:
        raise ValueError(
            f"a likelihood needs clouds of one size and positions only, got {len(z)} points in {num_clouds} clouds and "
            f"{space.num_scalars} scalars"
        )
    check_sizes(torch.tensor([size]))
    freedom = space.dim * (size - 1)
    if num_probes is not None and num_probes < 1:
        raise ValueError(f"num_probes must be at least 1, got {num_probes}")
    if num_probes is None and freedom > EXACT_FREEDOM:
        raise ValueError(f"clouds have {freedom} degrees of freedom, more than {EXACT_FREEDOM}: set num_probes")
    batch = torch.arange(num_clouds, device=z.device).repeat_interleave(size)
    if num_probes is None:
        probes, share = _basis(space, size, num_clouds, z), 1.0
    else:
        signs = torch.randint(2, (num_probes, *z.shape), generator=generator).to(z) * 2 - 1
        probes, share = space.project(signs, batch, num_clouds), 1 / num_probes

    def slopes(state: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """The velocity, and its divergence in the subspace by cloud."""
        divergence = z.new_zeros(num_clouds)
        velocity = state
        for probe in probes:
            velocity, moved, *_ = torch.func.jvp(lambda at: denoiser.velocity(at, sigma), (state,), (probe,))
            divergence = divergence + share * (probe * moved).unflatten(0, (num_clouds, size)).sum((1, 2))
        return velocity, divergence

    levels = (grid or HeunSampler()).levels()[-2::-1]
    state, total = space.project(z, batch, num_clouds), z.new_zeros(num_clouds)
    for low, high in pairwise(levels):
        step = high - low
        velocity, divergence = slopes(state, low)
        ahead, divergence_ahead = slopes(state + step * velocity, high)
        state = space.project(state + step / 2 * (velocity + ahead), batch, num_clouds)
        total = total + step / 2 * (divergence + divergence_ahead)
    variance = levels[-1] ** 2 + space.spread**2
    square = state.unflatten(0, (num_clouds, size)).square().sum((1, 2))
    return LogLikelihood(total - square / (2 * variance) - freedom / 2 * math.log(2 * math.pi * variance), freedom)


def _basis(space: StateSpace, size: int, num_clouds: int, like: Tensor) -> Float[Tensor, "K N D"]:
    """An orthonormal basis of the subspace, the same for every cloud."""
    ones = torch.full((size, 1), 1 / math.sqrt(size), dtype=torch.float64)
    points = torch.linalg.svd(ones, full_matrices=True).U[:, 1:]  # (n, n - 1), orthogonal to the mean
    axes = torch.eye(space.dim, dtype=torch.float64)
    basis = torch.einsum("nk,de->kdne", points, axes).flatten(0, 1)
    return basis.repeat(1, num_clouds, 1).to(like)
