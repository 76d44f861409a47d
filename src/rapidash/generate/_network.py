"""The base of networks that denoise clouds, and the batches that they take."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import CloudBatch, Field
from rapidash.generate._levels import level_code
from rapidash.generate._modulation import LevelModulation
from rapidash.generate._preconditioning import network_input, network_target
from rapidash.generate._state import StateSpace
from rapidash.groups import Position, Scalar

LEVEL = Field(Scalar(), level="cloud")
CONSTANTS = ("unit_length", "condition_middle", "condition_scale", "condition_low", "condition_high")


class DenoisingNetwork(nn.Module, ABC):
    """A network F of noisy clouds: (N, W), positions of variance 1 in, with zero mean out.

    Its network of clouds is ``backbone``. It reads of a batch ``pos`` (the noisy positions), ``features`` (the noisy
    scalars, where there are any), ``level`` (the code of the noise level), and what the task gives of a cloud, such as
    the kinds of its points.

    Args:
        space: of the states.
        kinds: name of the field that tells points apart, if there is one; only points of one kind may swap.
        num_constants: how many of `CONSTANTS` the data have, and after them numbers that the task keeps.
    """

    constants: Tensor
    backbone: Any  # a `Network`, which is a module
    turns_samples: bool  # the network has learned clouds in one pose: samples are turned at random
    turns_states: bool  # in sampling the network sees states that are turned at random

    def __init__(self, space: StateSpace, *, kinds: str | None = None, num_constants: int = 1) -> None:
        super().__init__()
        self.space, self.kinds = space, kinds
        self.register_buffer("constants", torch.ones(num_constants))
        self.modulation: LevelModulation | None = None
        self.turns_samples = self.turns_states = False

    @property
    def unit_length(self) -> float:
        """The length of the data in which the network's positions have variance 1."""
        return float(self.constants[0])

    def modulate(self) -> None:
        """Let the level modulate the blocks of the network too, with new weights. Raises: as `LevelModulation`."""
        self.modulation = LevelModulation(self.backbone)

    def told(self, batch: CloudBatch) -> AbstractContextManager[None]:
        """A context within which the network knows the levels of a batch, where they modulate it."""
        if self.modulation is None:
            return nullcontext()
        return self.modulation.told(self.backbone, batch["level"][batch.batch])

    @abstractmethod
    def output(self, batch: CloudBatch) -> Float[Tensor, "N W"]:
        """The output before its mean is taken off."""

    def forward(self, batch: CloudBatch) -> Float[Tensor, "N W"]:
        """F of the noisy clouds."""
        with self.told(batch):
            return self.space.project(self.output(batch), batch.batch, batch.num_clouds)

    def calibrate(self, batch: CloudBatch) -> None:
        """Keep the constants of the data, so that samples need none of them."""
        self.constants.copy_(batch["constants"][0])


def denoising_part(model: nn.Module) -> DenoisingNetwork:
    """The denoising network within a model. Raises: ValueError for a model without one."""
    for part in model.modules():
        if isinstance(part, DenoisingNetwork):
            return part
    raise ValueError(f"{type(model).__name__} has no denoising network: it was not built by a task that generates")


def noised(batch: CloudBatch, space: StateSpace, sigma: Float[Tensor, " B"], noise: Float[Tensor, "N W"]) -> CloudBatch:
    """The batch with its clean states ``clean`` noised: input ``pos`` (and ``features``), ``level`` and ``target``.

    Args:
        batch: with the clean states (N, W) in the network's unit of length.
        space: of the states.
        sigma: level of each cloud.
        noise: standard normal, in the state space.
    """
    x = space.project(batch["clean"].double(), batch.batch, batch.num_clouds)
    level, spread = sigma.double()[batch.batch, None], space.spreads(x)
    seen, target = network_input(x, noise, level, spread), network_target(x, noise, level, spread)
    like = batch["clean"].dtype
    made = batch.with_tensor("target", target.to(like), space.field)
    return with_state(made, space, seen.to(like), level_code(sigma)[:, None].to(like))


def with_state(batch: CloudBatch, space: StateSpace, seen: Tensor, code: Float[Tensor, "B 1"]) -> CloudBatch:
    """The batch with other noisy states of variance 1, at levels of the given codes."""
    batch = batch.with_tensor("pos", seen[:, : space.dim], Field(Position())).with_tensor("level", code, LEVEL)
    return batch.with_tensor("features", seen[:, space.dim :], Field(Scalar())) if space.num_scalars else batch
