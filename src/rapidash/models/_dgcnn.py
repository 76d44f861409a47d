"""A dynamic graph network: edge convolutions of torch_geometric on coordinates relative to the centroid."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.geometry import KNN, centroids
from rapidash.models._baseline import Baseline, library
from rapidash.models._baseline_config import DGCNNConfig
from rapidash.models._network import Interface


class DGCNN(Baseline):
    r"""Edge convolutions h_i' = max_j MLP(h_i, h_j - h_i), whose features h hold the coordinates in every layer.

    Coordinates are relative to the centroid of the cloud. The outputs are read off the features of all layers. From the
    second layer on, the neighbors can be those nearest in the features. Pairs enter as features of the points.

    Symmetry: T(D), exact; rotations are learned or not.
    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    Source: Wang et al., "Dynamic Graph CNN for Learning on Point Clouds", ACM TOG 38 (2019); ``torch_geometric``.
    """

    config: DGCNNConfig

    def __init__(self, config: DGCNNConfig, io: Interface) -> None:
        super().__init__(config, io)
        make, width = library("torch_geometric.nn").EdgeConv, config.channels
        inputs = [io.in_scalars + io.in_pairs, *[width] * (config.num_layers - 1)]
        self.layers = nn.ModuleList(
            make(edge_mlp(2 * (size + io.dim), width, config.norm), aggr=config.aggregate) for size in inputs
        )
        self.head = self.make_head(width * config.num_layers, io.out_scalars + io.dim * io.out_vectors)

    def features(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Features of all layers, side by side; no point moves."""
        centered = pos - centroids(pos, batch, int(batch[-1]) + 1)[batch]
        edges, hidden = self.rules[0](pos, batch), torch.cat([scalars, pairs], dim=1)
        found: list[Tensor] = []
        for layer in self.layers:
            if self.config.is_dynamic and found:
                assert isinstance(self.rules[0], KNN)
                edges = nearest_in_features(hidden, torch.bincount(batch).tolist(), self.rules[0].k)
            hidden = layer(torch.cat([hidden, centered], dim=1), edges)
            found.append(hidden)
        return torch.cat(found, dim=1), torch.zeros_like(pos)


def edge_mlp(inputs: int, width: int, norm: str) -> nn.Sequential:
    """Two linear maps, each with norm and SiLU, which is smooth: forces are gradients."""
    make = nn.BatchNorm1d if norm == "batch" else nn.LayerNorm
    sizes = ((inputs, width), (width, width))
    return nn.Sequential(*(part for a, b in sizes for part in (nn.Linear(a, b), make(b), nn.SiLU())))


@torch.no_grad()
def nearest_in_features(features: Float[Tensor, "N F"], sizes: Iterable[int], k: int) -> Int[Tensor, "2 E"]:
    """Edges from the k points of its cloud with the nearest features to each point, itself among them."""
    edges, first = [], 0
    for cloud in features.split(list(sizes)):
        nearest = torch.cdist(cloud, cloud).topk(min(k, len(cloud)), largest=False).indices
        target = torch.arange(len(cloud), device=features.device).repeat_interleave(nearest.shape[1])
        edges.append(torch.stack([nearest.flatten(), target]) + first)
        first += len(cloud)
    return torch.cat(edges, dim=1)
