r"""The input and the target of a denoising network F, as functions: the same for diffusion and flow matching.

With the spread :math:`\sigma_d` of the data, :math:`x_\sigma = x + \sigma\epsilon` and
:math:`c = (\sigma^2 + \sigma_d^2)^{-1/2}` (Karras et al., NeurIPS 2022),

.. math:: D(x_\sigma, \sigma) = \sigma_d^2 c^2\, x_\sigma + \sigma\sigma_d c\, F(c\, x_\sigma, u(\sigma)), \qquad
   T = c\, (\sigma x / \sigma_d - \sigma_d\, \epsilon),

so the target T of F has variance 1 where x has variance :math:`\sigma_d^2`. On the path
:math:`x_t = (1 - t) s_0 \epsilon + t x` of flow matching, input and target are the same with
:math:`\sigma = (1 - t) s_0 / t`.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def network_input(
    x: Float[Tensor, "N W"], noise: Float[Tensor, "N W"], sigma: Float[Tensor, "N 1"], spread: Float[Tensor, " W"]
) -> Float[Tensor, "N W"]:
    """c (x + sigma eps), of variance 1."""
    return (x + sigma * noise) / _total(sigma, spread)


def network_target(
    x: Float[Tensor, "N W"], noise: Float[Tensor, "N W"], sigma: Float[Tensor, "N 1"], spread: Float[Tensor, " W"]
) -> Float[Tensor, "N W"]:
    """T = c (sigma x / sigma_d - sigma_d eps)."""
    return (sigma * x / spread - spread * noise) / _total(sigma, spread)


def denoised(
    z: Float[Tensor, "N W"], output: Float[Tensor, "N W"], sigma: Tensor, spread: Float[Tensor, " W"]
) -> Float[Tensor, "N W"]:
    """D, the mean of the data given the noisy state z, from the output of F."""
    total = _total(sigma, spread)
    return (spread / total).square() * z + sigma * spread / total * output


def velocity(
    z: Float[Tensor, "N W"], output: Float[Tensor, "N W"], sigma: Tensor, spread: Float[Tensor, " W"]
) -> Float[Tensor, "N W"]:
    """dz / dsigma = (z - D) / sigma, without dividing by sigma."""
    total = _total(sigma, spread)
    return sigma * z / total.square() - spread * output / total


def flow_scale(time: Tensor, source_scale: float, spread: Float[Tensor, " W"]) -> Tensor:
    """m, the standard deviation of x_t."""
    return (((1 - time) * source_scale).square() + (time * spread).square()).sqrt()


def flow_velocity(
    z: Float[Tensor, "N W"], output: Float[Tensor, "N W"], time: Tensor, source_scale: float, spread: Tensor
) -> Float[Tensor, "N W"]:
    """v = dx_t / dt, the mean of x - s_0 eps given x_t, from the output of F for the input x_t / m."""
    scale = flow_scale(time, source_scale, spread)
    linear = (time * spread.square() - (1 - time) * source_scale**2) / scale.square()
    return linear * z + source_scale * spread / scale * output


def _total(sigma: Tensor, spread: Tensor) -> Tensor:
    return torch.sqrt(sigma.square() + spread.square())
