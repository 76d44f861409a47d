"""From functions on a finite group and pixels to a few numbers per image: pooling, and a linear readout."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

Pooling = Literal["mean", "max", "mean+max"]


class FiberPool(nn.Module):
    """Mean or maximum over the group and all pixels, or both side by side.

    Symmetry: invariant to whatever permutes the group and the pixels, which is much more than the group.

    Args:
        pooling: ``"mean"``, ``"max"`` or ``"mean+max"``.
    Shape: fiber (B, C, O, H, W) -> (B, C), or (B, 2 C) for both.
    Raises: ValueError for another pooling.
    """

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            raise ValueError(f"pooling must be one of {get_args(Pooling)}, got {pooling!r}")
        self.pooling = pooling

    def forward(self, fiber: Float[Tensor, "B C O H W"]) -> Float[Tensor, "B K"]:
        """See the class."""
        flat = fiber.flatten(2)
        pooled = {"mean": flat.mean(dim=2), "max": flat.amax(dim=2)}
        return torch.cat([pooled[word] for word in self.pooling.split("+")], dim=1)


class FiberHead(nn.Module):
    """Invariants of a fiber, and a linear map of them to the outputs of a network.

    Args:
        channels: C of the fiber.
        num_outputs: of the linear map.
        pooling: which invariants, as `FiberPool`; `replace_invariants` puts others in their place.
        hidden_dim: features of a linear map with batch normalization before the last one; 0 for none.
    Shape: fiber (B, C, O, H, W) -> (B, num_outputs).
    """

    def __init__(self, channels: int, num_outputs: int, *, pooling: Pooling, hidden_dim: int = 0) -> None:
        super().__init__()
        self.channels, self.num_outputs = channels, num_outputs
        self.invariants: nn.Module = FiberPool(pooling)
        width = channels * len(pooling.split("+"))
        layers: list[nn.Module] = []
        if hidden_dim:
            layers, width = [nn.Linear(width, hidden_dim), nn.BatchNorm1d(hidden_dim)], hidden_dim
        self.readout = nn.Sequential(*layers, nn.Linear(width, num_outputs))

    def replace_invariants(self, invariants: nn.Module, num_invariants: int) -> None:
        """Other invariants, fiber (B, C, O, H, W) -> (B, num_invariants), and a fresh linear map of them alone."""
        self.invariants = invariants
        self.readout = nn.Sequential(nn.Linear(num_invariants, self.num_outputs))

    def forward(self, fiber: Float[Tensor, "B C O H W"]) -> Float[Tensor, "B num_outputs"]:
        """See the class."""
        out: Tensor = self.readout(self.invariants(fiber))
        return out
