"""The base of all baselines: edges, pooling, and an MLP from features to outputs."""

import warnings
from abc import abstractmethod
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.geometry import EdgeRule, Radius, parse_edges, tie_exception
from rapidash.models._baseline_config import BaselineConfig
from rapidash.models._network import Interface, RapidashOutput
from rapidash.models._point_network import PointNetwork, scalars_and_vectors
from rapidash.models._pooling import pool_points


class Baseline(PointNetwork):
    """A network of layers on points and edges, with the inputs and outputs of `Rapidash`: a backbone for any task.

    Symmetry: ``symmetry``, exact but for ``tie_exception``.
    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    Shape: pos (N, D), batch (N,) sorted, scalars (N, in_scalars), pairs (N, in_pairs) -> `RapidashOutput`.
    Raises: ImportError naming the package to install; ValueError for inputs of another shape.
    """

    head: nn.Sequential

    def __init__(self, config: BaselineConfig, io: Interface) -> None:
        super().__init__(config, io)
        self.config = config
        self.pool = io.pool or config.pool
        self.rules: list[EdgeRule] = [parse_edges(config.edges)]

    @property
    def tie_exception(self) -> str:
        """On which clouds the symmetry does not hold exactly, in words; empty if there are none."""
        (rule,) = self.rules
        if isinstance(rule, Radius):  # without the window of `Rapidash`, which is 0 there
            return f"clouds with points at the distance {rule.r:g}, as on a grid: there rounding decides"
        return tie_exception([rule])

    def compute(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> RapidashOutput:
        """The outputs of the points, pooled where the task wants those of clouds."""
        num_clouds = int(batch[-1]) + 1
        features, moved = self.features(pos, batch, scalars, pairs)
        if self.config.pools_features:
            both = [pool_points(features, batch, num_clouds, pool) for pool in ("max", "mean")]
            return RapidashOutput(self.head(torch.cat(both, dim=1)), pos.new_zeros(num_clouds, 0, self.io.dim))
        out = self.outputs(features, moved)
        if self.io.level == "node":
            return out
        return RapidashOutput(*(pool_points(values, batch, num_clouds, self.pool) for values in out))

    def edges_of(self, pos: Tensor, batch: Tensor) -> Int[Tensor, "2 E"]:
        """The edges of the rule, without those of a point to itself."""
        edges = self.rules[0](pos, batch)
        return edges[:, edges[0] != edges[1]]

    @abstractmethod
    def features(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, F) of the points, and the way (N, D) that each has moved (zero where none moves)."""

    def outputs(self, features: Float[Tensor, "N F"], moved: Float[Tensor, "N D"]) -> RapidashOutput:
        """Scalars, and the components of vectors, of every point."""
        return scalars_and_vectors(self.head(features), self.io)

    def make_head(self, width: int, outputs: int) -> nn.Sequential:
        """The MLP from features, pooled or of a point, to that many outputs."""
        config = self.config
        inputs = 2 * width if config.pools_features else width
        return nn.Sequential(
            nn.Linear(inputs, 2 * config.channels),
            nn.LayerNorm(2 * config.channels),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * config.channels, outputs),
        )


def library(module: str) -> Any:
    """A module of a baseline's library, without the warnings about itself that it gives when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(module)
