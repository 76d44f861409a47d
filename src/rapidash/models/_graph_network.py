"""A message-passing network for graphs without positions, which adjacency matrices describe."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.models._network import Interface, NetworkConfig, Takes


class GraphNetwork(nn.Module):
    r"""h_i <- h_i + MLP(h_i, mean of h_j over neighbors j, mean of h_j over all j), from the degrees of the nodes.

    Symmetry: equivariant to permutations of the nodes, or invariant with ``level="graph"``, in floating point. It tells
    apart no two graphs that color refinement (1-WL) does not.

    Args:
        in_features: numbers for each node, beside its degree.
        channels, num_layers: width and number of the layers, at least 1.
        out: outputs for each node or graph.
        level: ``"node"``, or ``"graph"``: the mean over the nodes.
    """

    def __init__(
        self, in_features: int, channels: int, num_layers: int, out: int, level: Literal["node", "graph"]
    ) -> None:
        super().__init__()
        self.in_features, self.level = in_features, level
        self.embedding = nn.Linear(1 + in_features, channels)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(3 * channels, channels), nn.LayerNorm(channels), nn.SiLU(), nn.Linear(channels, channels)
            )
            for _ in range(num_layers)
        )
        self.head = nn.Linear(channels, out)

    def forward(self, adjacency: Float[Tensor, "B N N"], nodes: Float[Tensor, "B N F"] | None = None) -> Tensor:
        """Outputs (B, N, out) or (B, out).

        Raises: ValueError for another number of features.
        """
        degree = adjacency.sum(dim=-1, keepdim=True)
        given = 0 if nodes is None else nodes.shape[-1]
        if given != self.in_features:
            raise ValueError(f"nodes need {self.in_features} features, got {given}")
        h = self.embedding(degree if nodes is None else torch.cat([degree, nodes], dim=-1))
        weights = adjacency / degree.clamp_min(1)
        for layer in self.layers:
            everywhere = h.mean(dim=1, keepdim=True).expand_as(h)
            h = h + layer(torch.cat([h, weights @ h, everywhere], dim=-1))
        out: Tensor = self.head(h)
        return out if self.level == "node" else out.mean(dim=1)


class PairsGraphNetwork(nn.Module):
    """A `GraphNetwork` that takes the entries of an adjacency matrix above the diagonal, row by row."""

    def __init__(self, network: GraphNetwork, num_nodes: int) -> None:
        super().__init__()
        self.network, self.num_nodes = network, num_nodes

    def forward(self, pairs: Float[Tensor, "B P"]) -> Tensor:
        """The outputs of the network."""
        first, second = torch.triu_indices(self.num_nodes, self.num_nodes, 1, device=pairs.device)
        half = pairs.new_zeros(len(pairs), self.num_nodes, self.num_nodes)
        half[:, first, second] = pairs
        out: Tensor = self.network(half + half.mT)
        return out


@dataclass(frozen=True)
class GraphNetworkConfig(NetworkConfig):
    """A message-passing network of graphs without positions: pairs of N nodes (B, N (N - 1) / 2) -> (B, out_scalars).

    Args:
        channels: width, at least 1.
        num_layers: at least 1.
    Raises: ValueError for values outside the above.
    """

    channels: int = 32
    num_layers: int = 4

    symmetry = "trivial"
    space = "graphs"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.channels < 1 or self.num_layers < 1:
            raise ValueError(f"channels and num_layers must be at least 1, got {self.channels} and {self.num_layers}")

    @property
    def takes(self) -> Takes:
        """Numbers side by side."""
        return "components"

    def build(self, io: Interface) -> PairsGraphNetwork:
        """The network, for ``in_scalars`` pairs.

        Raises: ValueError for vectors, positions, no output, or a number of inputs that is not one of pairs.
        """
        num_nodes = round((2 * io.in_scalars + 0.25) ** 0.5 + 0.5)
        if num_nodes < 2 or num_nodes * (num_nodes - 1) // 2 != io.in_scalars:
            raise ValueError(f"in_scalars must be N (N - 1) / 2, the pairs of N >= 2 nodes, got {io.in_scalars}")
        if io.dim or io.in_vectors or io.out_vectors or io.out_scalars < 1:
            raise ValueError(
                f"a graph network has scalars in and out, at least one of each, and no positions, got {io}"
            )
        return PairsGraphNetwork(GraphNetwork(0, self.channels, self.num_layers, io.out_scalars, io.level), num_nodes)
