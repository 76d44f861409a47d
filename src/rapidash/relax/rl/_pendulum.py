"""The swing-up of a pendulum, `Pendulum-v1` of gymnasium, with a constant torque that breaks its reflection."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rapidash.groups import Representation

EPISODE = 200  # steps
MAX_TORQUE = 2.0
MAX_SPEED = 8.0


@dataclass(frozen=True)
class Torque(Representation):
    """Torques (..., K) under the reflection of the pendulum, the half turn ``C2(x)`` of (cos, sin, speed): the sign of
    the sine.

    Raises: ValueError (act) for an element that is no reflection of the pendulum.
    """

    def act(self, g: Float[Tensor, "*B 4 4"], x: Shaped[Tensor, "... K"]) -> Shaped[Tensor, "... K"]:
        """The torques, each with the sign of the element."""
        sign = g[..., 1, 1]
        expected = torch.diag_embed(torch.stack([torch.ones_like(sign), sign, sign, torch.ones_like(sign)], dim=-1))
        if g.shape[-2:] != (4, 4) or float((g - expected).abs().max()) > 1e-6:
            raise ValueError("torques know the reflection of the pendulum alone: use the group 'C2(x)'")
        return sign.round().to(x).reshape(*sign.shape, *(1,) * (x.dim() - sign.dim())) * x


class Pendulum:
    """One pendulum of gymnasium; states are (cos, sin, speed / 8), torques in [-2, 2].

    Reflected states (cos, -sin, -speed) under reflected torques have reflected futures and the same rewards, unless
    ``constant`` torque is added to each. (The library limits the sum, so its limit is raised by as much, and the square
    of the sum, times 0.001, is in its cost.)

    Args:
        constant: torque that is added, in the unit of the library.
    Raises: ImportError where gymnasium is not installed.
    Source: Towers et al., "Gymnasium", arXiv 2407.17032.
    """

    def __init__(self, constant: float = 0.0) -> None:
        try:
            import gymnasium
        except ImportError as error:
            raise ImportError("the pendulum needs gymnasium: pip install 'rapidash[rl]'") from error
        env: Any = gymnasium.make("Pendulum-v1", disable_env_checker=True).unwrapped
        self.env = env
        self.constant = constant
        self.env.max_torque = MAX_TORQUE + abs(constant)
        self.env.reset(seed=0)

    def start(self, state: Float[Tensor, "3"]) -> None:
        """Begin at a state."""
        cosine, sine, speed = state.tolist()
        self.set(torch.tensor([math.atan2(sine, cosine), MAX_SPEED * speed], dtype=torch.float64))

    def step(self, torque: float) -> float:
        """Apply a torque for one step of 0.05 s; the reward."""
        total = min(max(torque, -MAX_TORQUE), MAX_TORQUE) + self.constant
        return float(self.env.step([total])[1])

    @property
    def state(self) -> Float[Tensor, "3"]:
        """The observation of an agent, float64: cosine and sine of the angle, and the speed over the largest speed."""
        angle, speed = self.env.state
        return torch.tensor([math.cos(angle), math.sin(angle), speed / MAX_SPEED], dtype=torch.float64)

    def get(self) -> Float[Tensor, "2"]:
        """The angle and its speed, in which the library computes, for `set`."""
        return torch.tensor([float(value) for value in self.env.state], dtype=torch.float64)

    def set(self, state: Float[Tensor, "2"]) -> None:
        """Continue at an angle and a speed."""
        self.env.state = state.numpy().copy()
