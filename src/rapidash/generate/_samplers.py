"""Samplers: a grid of noise levels or times, and Heun's method along it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._plain import check_fields
from rapidash.generate._denoiser import Denoiser
from rapidash.generate._levels import check_level

Project = Callable[[Tensor], Tensor]
_MOST_CHURN = math.sqrt(2) - 1


class Sampler(Protocol):
    """A way from noise to a sample."""

    @property
    def num_draws(self) -> int:
        """Draws of noise that `sample` uses, the start included."""
        ...

    def sample(self, denoiser: Denoiser, noise: Float[Tensor, "K N W"], project: Project) -> Float[Tensor, "N W"]:
        """States at the end, from ``num_draws`` standard normal draws of the state space."""
        ...


@dataclass(frozen=True)
class HeunSampler:
    r"""Heun's method from the highest level to 0, with noise that is added on the way.

    The levels are :math:`\sigma_i = (\sigma_{max}^{1/\rho} + \frac{i}{N-1} (\sigma_{min}^{1/\rho} -
    \sigma_{max}^{1/\rho}))^\rho` for i < N, and then 0: 2 N - 1 calls of the network. The start has the standard
    deviation :math:`\sqrt{\sigma_{max}^2 + \sigma_d^2}` of noisy data, which a start with :math:`\sigma_{max}` alone
    lacks: that shrinks what comes out. The state has zero mean after every step.

    Args:
        steps: N, at least 2.
        sigma_min, sigma_max: levels, in the network's unit of length.
        rho: positive, the larger the more steps at low levels.
        churn: by which share every level is raised before its step, at least 0 and at most 0.414 in effect: S_churn / N
            of Karras et al. (2022); 0: the ordinary differential equation.
        churn_min, churn_max: levels between which noise is added; None: no limit.
        churn_noise: scale of that noise.
        start: ``"data"``: as above, ``"noise"``: the standard deviation sigma_max.
    Raises: ValueError for values outside the above.
    Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", NeurIPS 2022.
    """

    steps: int = 32
    sigma_min: float = 0.002
    sigma_max: float = 10.0
    rho: float = 7.0
    churn: float = 0.4
    churn_min: float = 0.0
    churn_max: float | None = None
    churn_noise: float = 1.0
    start: Literal["data", "noise"] = "data"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.steps < 2:
            raise ValueError(f"steps must be at least 2, got {self.steps}")
        for name in ("sigma_min", "sigma_max"):
            check_level(name, getattr(self, name))
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min must lie below sigma_max, got {self.sigma_min} and {self.sigma_max}")
        if not 0 < self.rho < math.inf:
            raise ValueError(f"rho must be positive, got {self.rho}")
        for name in ("churn", "churn_min", "churn_noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.churn_max is not None and not self.churn_min <= self.churn_max:
            raise ValueError(f"churn_max must be at least churn_min, got {self.churn_max} and {self.churn_min}")
        if self.start not in ("data", "noise"):
            raise ValueError(f"start must be 'data' or 'noise', got {self.start!r}")

    @classmethod
    def released(cls) -> "HeunSampler":
        """The setting published for molecules: 50 steps from level 1, started with standard deviation 1, churn 10 / 50.

        Its start is too narrow by 1 / sqrt(2) for data of spread 1; the added noise makes up for most of that.
        """
        return cls(steps=50, sigma_max=1.0, churn=0.2, start="noise")

    @property
    def num_draws(self) -> int:
        """The start, and one for every step with churn."""
        return 1 + self.steps * (self.churn > 0)

    def levels(self) -> list[float]:
        """The N levels and 0."""
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return [(high + i / (self.steps - 1) * (low - high)) ** self.rho for i in range(self.steps)] + [0.0]

    def sample(self, denoiser: Denoiser, noise: Float[Tensor, "K N W"], project: Project) -> Float[Tensor, "N W"]:
        """States at level 0."""
        extra = denoiser.spread if self.start == "data" else torch.zeros_like(denoiser.spread)
        z = project(noise[0] * torch.sqrt(self.sigma_max**2 + extra.square()))
        for step, (sigma, below) in enumerate(pairwise(self.levels())):
            raised = sigma * (1 + self._churn_at(sigma))
            if raised > sigma:
                z = z + math.sqrt(raised**2 - sigma**2) * self.churn_noise * noise[step + 1]
            slope = denoiser.velocity(z, raised)
            ahead = z + (below - raised) * slope
            if below > 0:
                ahead = z + (below - raised) / 2 * (slope + denoiser.velocity(ahead, below))
            z = project(ahead)
        return z

    def _churn_at(self, sigma: float) -> float:
        inside = self.churn_min <= sigma and (self.churn_max is None or sigma <= self.churn_max)
        return min(self.churn, _MOST_CHURN) if inside else 0.0


@dataclass(frozen=True)
class FlowSampler:
    """Heun's method in the time of flow matching, from noise at 0 to data at 1; the last step is Euler's.

    A network that was trained on levels of diffusion has hardly seen times near 0: train it with levels of flow.

    Args:
        steps: at least 2.
        grid: of times: ``"uniform"``, or ``"quadratic"``: 1 - (1 - i / N)^2, finer near the data.
        source_scale: s_0, the standard deviation of the start, positive.
    Raises: ValueError for values outside the above.
    """

    steps: int = 32
    grid: Literal["uniform", "quadratic"] = "uniform"
    source_scale: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.steps < 2:
            raise ValueError(f"steps must be at least 2, got {self.steps}")
        if self.grid not in ("uniform", "quadratic"):
            raise ValueError(f"grid must be 'uniform' or 'quadratic', got {self.grid!r}")
        if not 0 < self.source_scale < math.inf:
            raise ValueError(f"source_scale must be positive, got {self.source_scale}")

    @property
    def num_draws(self) -> int:
        """The start."""
        return 1

    def times(self) -> list[float]:
        """From 0 to 1."""
        shares = [i / self.steps for i in range(self.steps + 1)]
        return shares if self.grid == "uniform" else [1 - (1 - share) ** 2 for share in shares]

    def sample(self, denoiser: Denoiser, noise: Float[Tensor, "K N W"], project: Project) -> Float[Tensor, "N W"]:
        """States at time 1."""
        z = project(self.source_scale * noise[0])
        for time, later in pairwise(self.times()):
            slope = denoiser.flow_velocity(z, time, self.source_scale)
            ahead = z + (later - time) * slope
            if later < 1:
                ahead = z + (later - time) / 2 * (slope + denoiser.flow_velocity(ahead, later, self.source_scale))
            z = project(ahead)
        return z
