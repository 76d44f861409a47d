"""One denoiser for diffusion and flow matching: two views of one network F."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.generate._levels import level_code
from rapidash.generate._preconditioning import denoised, flow_scale, flow_velocity, velocity

ScaledNetwork = Callable[[Tensor, float], Tensor]


class Denoiser:
    """The denoiser D of a network F, and the velocities of its two ordinary differential equations.

    Args:
        network: F, from states of variance 1 (N, W) and the code of their level, one for all, to (N, W).
        spread: standard deviation of every column in the data, (W,).
    """

    def __init__(self, network: ScaledNetwork, spread: Float[Tensor, " W"]) -> None:
        self.network, self.spread = network, spread

    def denoised(self, z: Float[Tensor, "N W"], sigma: float) -> Float[Tensor, "N W"]:
        """D(z, sigma), the mean of the data given the noisy state."""
        level = z.new_tensor(sigma)
        return denoised(z, self._output(z, level), level, self.spread)

    def velocity(self, z: Float[Tensor, "N W"], sigma: float) -> Float[Tensor, "N W"]:
        """dz / dsigma at a level."""
        level = z.new_tensor(sigma)
        return velocity(z, self._output(z, level), level, self.spread)

    def flow_velocity(self, z: Float[Tensor, "N W"], time: float, source_scale: float) -> Float[Tensor, "N W"]:
        """dz / dt at a time from 0 (noise of standard deviation ``source_scale``) to 1 (data)."""
        t = z.new_tensor(time)
        scaled = z / flow_scale(t, source_scale, self.spread)
        level = (1 - t) * source_scale / t
        return flow_velocity(z, self.network(scaled, float(level_code(level))), t, source_scale, self.spread)

    def _output(self, z: Tensor, level: Tensor) -> Tensor:
        scaled = z / torch.sqrt(level.square() + self.spread.square())
        return self.network(scaled, float(level_code(level)))
