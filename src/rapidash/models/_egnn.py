"""An E(n)-equivariant graph network: layers of egnn-pytorch on the edges of this package."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.geometry import knn_edges, safe_norm
from rapidash.models._baseline import Baseline, library
from rapidash.models._baseline_config import EGNNConfig
from rapidash.models._network import Interface, RapidashOutput


class EGNN(Baseline):
    r"""E(n)-equivariant graph network, with messages m_ij from features, squared distances and products of pairs.

    .. math:: m_{ij} = \phi_e(h_i, h_j, |x_i - x_j|^2, s_i s_j), \quad
        x_i' = x_i + \sum_j \lambda \frac{x_j - x_i}{|x_j - x_i|} \phi_x(m_{ij}), \quad
        h_i' = h_i + \phi_h(h_i, \sum_j g(m_{ij}) m_{ij})

    with gates g, a learned scale :math:`\lambda`, and features normalized per cloud. Points move only where a vector is
    asked for, which is the way that they have moved; `calibrate` measures lengths in units of the mean distance to the
    nearest neighbor.

    Symmetry: E(D), exact.
    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    Source: Satorras et al., "E(n) Equivariant Graph Neural Networks", ICML 2021; ``egnn-pytorch``.
    """

    length_unit: Tensor
    joined = (("scalars",), ("pos", "scalars", "pairs"))

    def __init__(self, config: EGNNConfig, io: Interface) -> None:
        super().__init__(config, io)
        width, moves = config.channels, bool(io.out_vectors)
        make = library("egnn_pytorch").EGNN_Sparse
        settings = {"m_dim": width, "edge_attr_dim": io.in_pairs, "fourier_features": config.num_fourier}
        settings |= {"soft_edge": 1, "norm_feats": True, "norm_coors": moves, "update_coors": moves}
        first_moves = 0.1  # the library's 0.01 learns much more slowly
        self.embedding = nn.Linear(io.in_scalars, width)
        self.layers = nn.ModuleList(
            make(width, io.dim, **settings, norm_coors_scale_init=first_moves) for _ in range(config.num_layers)
        )
        self.head = self.make_head(width, io.out_scalars)
        self.register_buffer("length_unit", torch.ones(()))  # in units of the positions: calibrate sets it

    def features(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Features after the last layer, and how far each point has moved."""
        source, target = edges = self.edges_of(pos, batch)
        start = pos / self.length_unit
        state = torch.cat([start, self.embedding(scalars)], dim=1)
        for layer in self.layers:
            state = layer(state, edges, pairs[source] * pairs[target], batch)
        return state[:, pos.shape[1] :], self.length_unit * (state[:, : pos.shape[1]] - start)

    def outputs(self, features: Float[Tensor, "N F"], moved: Float[Tensor, "N D"]) -> RapidashOutput:
        """Scalars from the features; the vector is the way moved."""
        return RapidashOutput(self.head(features), moved[:, None][:, : self.io.out_vectors])

    @torch.no_grad()
    def calibrate(
        self,
        pos: Float[Tensor, "N D"],
        batch: Int[Tensor, " N"],
        *,
        scalars: Float[Tensor, "N Cs"] | None = None,
        vectors: Float[Tensor, "N Cv D"] | None = None,
        pairs: Float[Tensor, "N P"] | None = None,
    ) -> None:
        """Measure lengths in units of the mean distance of a point of this batch to its nearest neighbor."""
        super().calibrate(pos, batch, scalars=scalars, vectors=vectors, pairs=pairs)
        source, target = knn_edges(pos, batch, 2, clamp=True)
        distance = safe_norm(pos[source] - pos[target])[source != target]
        if len(distance) and distance.mean() > 0:
            self.length_unit.copy_(distance.mean())
