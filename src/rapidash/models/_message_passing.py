"""A message-passing network that sees the components of relative positions: no rotation is built in."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.models._baseline import Baseline
from rapidash.models._baseline_config import BaselineConfig
from rapidash.models._network import Interface, Takes
from rapidash.models._pooling import pool_points


@dataclass(frozen=True)
class MessagePassingConfig(BaselineConfig):
    """Messages between points from the components of their relative position, see `MessagePassing`.

    Args:
        aggregate: how a point takes in its messages, ``"mean"``, ``"sum"`` or ``"max"``.
    """

    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        **BaselineConfig.choices,
        "symmetry": ("T(3)", "T(2)"),
        "aggregate": ("mean", "sum", "max"),
    }

    symmetry: str = "T(3)"
    aggregate: Literal["mean", "sum", "max"] = "mean"

    @property
    def takes(self) -> Takes:
        """Components: rotations are learned or not."""
        return "components"

    def build(self, io: Interface) -> "MessagePassing":
        """A `MessagePassing` network with fresh weights."""
        self.check_sizes(io)
        return MessagePassing(self, io)


class MessagePassing(Baseline):
    r"""Messages m_ij from both points, their offset, and the products of their pair scalars: an EGNN without E(n).

    .. math:: m_{ij} = \phi_e(h_i, h_j, x_j - x_i, s_i s_j), \quad h_i' = h_i + \phi_h(h_i, \mathrm{mean}_j m_{ij})

    over the edges j -> i of other points; where a point has none, the mean is 0.

    Symmetry: T(D), and every permutation of the points, exact; rotations are learned or not.
    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    Source: Gilmer et al., "Neural Message Passing for Quantum Chemistry", ICML 2017.
    """

    def __init__(self, config: MessagePassingConfig, io: Interface) -> None:
        super().__init__(config, io)
        width = config.channels
        self.embedding = nn.Linear(io.in_scalars, width)
        self.layers = nn.ModuleList(
            MessageLayer(width, io.dim + io.in_pairs, config.aggregate) for _ in range(config.num_layers)
        )
        self.head = self.make_head(width, io.out_scalars + io.dim * io.out_vectors)

    def features(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Features after the last layer; no point moves."""
        source, target = edges = self.edges_of(pos, batch)
        attributes = torch.cat([pos[source] - pos[target], pairs[source] * pairs[target]], dim=1)
        hidden = self.embedding(scalars)
        for layer in self.layers:
            hidden = layer(hidden, attributes, edges)
        return hidden, torch.zeros_like(pos)


class MessageLayer(nn.Module):
    """One round of messages.

    Args:
        channels: C.
        num_attributes: A, numbers of an edge.
        aggregate: ``"mean"``, ``"sum"`` or ``"max"`` of the messages to a point.
    Shape: hidden (N, C), attributes (E, A), edges (2, E), sources and targets -> (N, C).
    """

    def __init__(self, channels: int, num_attributes: int, aggregate: Literal["mean", "sum", "max"]) -> None:
        super().__init__()
        self.aggregate = aggregate
        self.message = two_layers(2 * channels + num_attributes, channels)
        self.update = two_layers(2 * channels, channels)

    def forward(
        self, hidden: Float[Tensor, "N C"], attributes: Float[Tensor, "E A"], edges: Int[Tensor, "2 E"]
    ) -> Float[Tensor, "N C"]:
        """The features of the points after the round."""
        source, target = edges
        messages = self.message(torch.cat([hidden[target], hidden[source], attributes], dim=1))
        received = pool_points(messages, target, len(hidden), self.aggregate)
        return hidden + self.update(torch.cat([hidden, received], dim=1))


def two_layers(inputs: int, width: int) -> nn.Sequential:
    """LayerNorm between two linear maps, and SiLU."""
    return nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width))
