"""A second method is one file more: noise on the inputs."""

from dataclasses import dataclass

import torch
from torch import nn

from rapidash.methods import Control, Method


@dataclass(frozen=True)
class Noise(Method):
    deviation: float = 0.1

    def control(self, model: nn.Module, total_steps: int) -> Control | None:
        return NoiseControl(self.deviation) if self.deviation else None


class NoiseControl(Control):
    def __init__(self, deviation: float) -> None:
        self.deviation = deviation

    def batch(self, batch: object, rng: torch.Generator) -> object:
        noise = torch.randn(batch["signal"].shape, generator=rng, dtype=batch["signal"].dtype)
        return batch.with_tensor("signal", batch["signal"] + self.deviation * noise)
