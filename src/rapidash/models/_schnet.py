"""SchNet: interaction blocks of torch_geometric on the edges of this package."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from rapidash.geometry import safe_norm
from rapidash.models._baseline import library
from rapidash.models._baseline_config import BaselineConfig
from rapidash.models._network import Interface, Takes
from rapidash.models._radial_baseline import RadialBaseline


@dataclass(frozen=True)
class SchNetConfig(BaselineConfig):
    """Continuous-filter convolutions of ``torch_geometric`` on distances, see `SchNet`.

    Args:
        num_radial: Gaussians of the distance, at least 2.
    """

    libraries: ClassVar[tuple[str, ...]] = ("torch_geometric",)
    choices: ClassVar[dict[str, tuple[str, ...]]] = {**BaselineConfig.choices, "symmetry": ("E(3)", "E(2)")}
    counts: ClassVar[dict[str, int]] = {**BaselineConfig.counts, "num_radial": 2}

    symmetry: str = "E(3)"
    num_radial: int = 50

    @property
    def takes(self) -> Takes:
        """Norms and inner products: features are scalars."""
        return "invariants"

    def build(self, io: Interface) -> "SchNet":
        """A `SchNet` with fresh weights."""
        self.check_sizes(io)
        return SchNet(self, io)


class SchNet(RadialBaseline):
    r"""Features h of the points, which start as an embedding and take in each other through filters W of distances r.

    .. math:: h_i \mathrel{+}= B \, \sigma\Big(b + A' \sum_j A h_j \circ W(e_{ij}) \, w(r_{ij})\Big), \quad
        W = \mathrm{MLP}, \quad \sigma(x) = \log\frac{1 + e^x}{2}

    with e the Gaussians exp(-(r / r_c - m)^2 / (2 s^2)) about num_radial numbers m from 0 to 1, whose distance is s,
    and the products of pair scalars. With edges ``"radius-R"`` r_c is R, and w = (1 + cos(pi r / R)) / 2 falls to 0
    there; otherwise w is 1 and r_c is 1.5 times the largest distance that `calibrate` saw. The published network has
    scalars only; where vectors are asked for, they are mixtures of the channels of

    .. math:: \sum_j h_j \circ W_v(e_{ij}) \, w(r_{ij}) \, \frac{x_j - x_i}{r_{ij}}

    with a linear map W_v, times factors of the features.

    Symmetry: E(D), exact.
    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    Source: Schuett et al., "SchNet: A continuous-filter convolutional neural network for modeling quantum
        interactions", NeurIPS 2017, arXiv:1706.08566; ``torch_geometric``.
    """

    def __init__(self, config: SchNetConfig, io: Interface) -> None:
        super().__init__(config, io)
        blocks, width = library("torch_geometric.nn.models.schnet"), config.channels
        seen = config.num_radial + io.in_pairs
        self.embedding = nn.Linear(io.in_scalars, width)
        self.gaussians = blocks.GaussianSmearing(0.0, 1.0, config.num_radial)
        self.layers = nn.ModuleList(blocks.InteractionBlock(width, seen, width, 1.0) for _ in range(config.num_layers))
        self.vector_filter = nn.Linear(seen, width) if io.out_vectors else None
        self.vector_mix = nn.Linear(width, io.out_vectors, bias=False) if io.out_vectors else None
        self.head = self.make_head(width, io.out_scalars + io.out_vectors)

    def features(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C) after the last layer, and vectors (N, C, D), which are empty where none come out."""
        source, target = edges = self.edges_of(pos, batch)
        offset = pos[source] - pos[target]
        r = safe_norm(offset)
        share = r / self.reach
        seen = torch.cat([self.gaussians(share), pairs[source] * pairs[target]], dim=1)
        windowed = share if self.has_cutoff else torch.zeros_like(share)  # the window of the blocks is 1 at 0
        hidden = self.embedding(scalars)
        for layer in self.layers:
            hidden = hidden + layer(hidden, edges, windowed, seen)
        if self.vector_filter is None:
            return hidden, pos.new_zeros(len(pos), 0, pos.shape[1])
        window = (1 + (math.pi * windowed).cos()) / 2
        filters = self.vector_filter(seen) * (window / (r + (r == 0)))[:, None]
        messages = (hidden[source] * filters)[:, :, None] * offset[:, None]
        moved = pos.new_zeros(len(pos), hidden.shape[1], pos.shape[1])
        return hidden, moved.index_add(0, target, messages)
