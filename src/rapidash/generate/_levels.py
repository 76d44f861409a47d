"""Laws of the noise level in training: how often each level is seen, and what it weighs."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from jaxtyping import Float
from torch import Tensor

CODE_RANGE = 2.5  # of ln(sigma) / 4
LEVEL_RANGE = math.exp(-4 * CODE_RANGE), math.exp(4 * CODE_RANGE)
_EDGE = 1e-9  # quantiles 0 and 1 would be no noise, or nothing but noise


class Levels(Protocol):
    """A law of the noise level sigma > 0."""

    def quantile(self, share: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Levels below which shares in [0, 1] of the law lie, or above: any monotone function onto the law."""
        ...

    def weight(self, sigma: Float[Tensor, " B"], spread: float) -> Float[Tensor, " B"]:
        """The weight of the squared error of F at a level."""
        ...


@dataclass(frozen=True)
class LogNormalLevels:
    """ln sigma ~ N(mean, std^2), every level with weight 1: diffusion as Karras et al. (2022) train it.

    Args:
        mean, std: of ln sigma; std is positive.
    Raises: ValueError for values outside the above.
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and 0 < self.std < math.inf):
            raise ValueError(f"mean must be finite and std positive, got {self.mean} and {self.std}")

    def quantile(self, share: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """exp(mean + std times the normal quantile)."""
        return (self.mean + self.std * torch.special.ndtri(share.clamp(_EDGE, 1 - _EDGE))).exp()

    def weight(self, sigma: Float[Tensor, " B"], spread: float) -> Float[Tensor, " B"]:
        """1: Karras' weight of |D - x|^2 is that of |F - T|^2 without one."""
        return torch.ones_like(sigma)


@dataclass(frozen=True)
class FlowLevels:
    r"""Levels and weights of flow matching, x_t = (1 - t) s_0 eps + t x: sigma = (1 - t) s_0 / t.

    The squared error of the velocity x - s_0 eps is that of F times :math:`(s_0 \sigma_d / m)^2`, with
    :math:`m^2 = (1 - t)^2 s_0^2 + t^2 \sigma_d^2`.

    Args:
        law: of t: ``"uniform"``, or ``"logit-normal"`` (logit of t standard normal).
        source_scale: s_0, positive.
    Raises: ValueError for values outside the above.
    """

    law: Literal["uniform", "logit-normal"] = "uniform"
    source_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.law not in ("uniform", "logit-normal") or not 0 < self.source_scale < math.inf:
            raise ValueError(
                f"law must be 'uniform' or 'logit-normal' and source_scale positive, got {self.law!r} and "
                f"{self.source_scale}"
            )

    def quantile(self, share: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """The level at the quantile of t."""
        share = share.clamp(_EDGE, 1 - _EDGE)
        time = share if self.law == "uniform" else torch.special.ndtri(share).sigmoid()
        return (1 - time) / time * self.source_scale

    def weight(self, sigma: Float[Tensor, " B"], spread: float) -> Float[Tensor, " B"]:
        """(s_0 sigma_d / m)^2."""
        time = self.source_scale / (self.source_scale + sigma)
        return (self.source_scale * spread / time).square() / (sigma.square() + spread**2)


Law = Literal["log-normal", "uniform-time", "logit-normal-time"]
_LAWS: dict[str, Levels] = {
    "log-normal": LogNormalLevels(),
    "uniform-time": FlowLevels("uniform"),
    "logit-normal-time": FlowLevels("logit-normal"),
}


def parse_levels(name: str) -> Levels:
    """The law with a name: ``"log-normal"``, ``"uniform-time"`` or ``"logit-normal-time"``.

    Raises: ValueError for another name.
    """
    if name not in _LAWS:
        raise ValueError(f"levels must be one of {', '.join(map(repr, get_args(Law)))}, got {name!r}")
    return _LAWS[name]


def level_code(sigma: Tensor) -> Tensor:
    """u = ln(sigma) / 4 clipped to [-2.5, 2.5], the number by which a network knows the level."""
    return (sigma.log() / 4).clamp(-CODE_RANGE, CODE_RANGE)


def check_level(name: str, sigma: float) -> None:
    """Raise ValueError for a level that is not positive, or that the code of the network does not tell from another."""
    least, most = LEVEL_RANGE
    if not least <= sigma <= most:
        raise ValueError(f"{name} must be a noise level from {least:.3g} to {most:.3g}, got {sigma}")
