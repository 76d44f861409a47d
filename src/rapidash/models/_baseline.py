"""The base of all baselines: the interface of `Rapidash`, edges, pooling, and the check that their library is there."""

import warnings
from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.geometry import EdgeRule, Radius, check_cloud, parse_edges, tie_exception
from rapidash.groups import Group, parse_group
from rapidash.models._baseline_config import BaselineConfig
from rapidash.models._network import Interface, RapidashOutput
from rapidash.models._pooling import pool_points
from rapidash.nn import check_types


class Baseline(nn.Module, ABC):
    """A network of a library with the inputs and outputs of `Rapidash`: a backbone for any task.

    Symmetry: ``symmetry``, exact but for ``tie_exception``.
    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    Shape: pos (N, D), batch (N,) sorted, scalars (N, in_scalars), pairs (N, in_pairs) -> `RapidashOutput`.
    Raises: ImportError naming the package to install; ValueError for inputs of another shape.
    """

    head: nn.Sequential
    layers: nn.ModuleList
    joined: ClassVar[tuple[tuple[str, ...], ...]] = (("pos", "scalars", "pairs"),)
    """Arguments that are joined before they meet weights: their common type must be that of the network."""

    def __init__(self, config: BaselineConfig, io: Interface) -> None:
        super().__init__()
        config.check_libraries()
        self.config, self.io = config, io
        self.pool = io.pool or config.pool
        self.symmetry = parse_group(config.symmetry, io.dim)
        self.rules: list[EdgeRule] = [parse_edges(config.edges)]

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers."""
        return self.layers

    @property
    def exact_symmetry(self) -> Group:
        """The whole symmetry: there is no grid."""
        return self.symmetry

    @property
    def tie_exception(self) -> str:
        """On which clouds the symmetry does not hold exactly, in words; empty if there are none."""
        (rule,) = self.rules
        if isinstance(rule, Radius):  # without the window of `Rapidash`, which is 0 there
            return f"clouds with points at the distance {rule.r:g}, as on a grid: there rounding decides"
        return tie_exception([rule])

    def forward(
        self,
        pos: Float[Tensor, "N D"],
        batch: Int[Tensor, " N"] | None = None,
        *,
        scalars: Float[Tensor, "N Cs"] | None = None,
        vectors: Float[Tensor, "N Cv D"] | None = None,
        pairs: Float[Tensor, "N P"] | None = None,
    ) -> RapidashOutput:
        """Scalars and vectors per point or cloud; ``vectors`` must be None: features are scalars."""
        if batch is None:
            batch = torch.zeros(len(pos), dtype=torch.long, device=pos.device)
        self._check_inputs(pos, batch, scalars, vectors, pairs)
        scalars, pairs = (pos.new_zeros(len(pos), 0) if values is None else values for values in (scalars, pairs))
        num_clouds = int(batch[-1]) + 1
        features, moved = self.features(pos, batch, scalars, pairs)
        if self.config.pools_features:
            both = [pool_points(features, batch, num_clouds, pool) for pool in ("max", "mean")]
            return RapidashOutput(self.head(torch.cat(both, dim=1)), pos.new_zeros(num_clouds, 0, self.io.dim))
        out = self.outputs(features, moved)
        if self.io.level == "node":
            return out
        return RapidashOutput(*(pool_points(values, batch, num_clouds, self.pool) for values in out))

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
        """Measure on one batch what the network wants to know of the scale of the data; by default nothing."""
        self._check_inputs(pos, batch, scalars, vectors, pairs)

    @abstractmethod
    def features(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, F) of the points, and the way (N, D) that each has moved (zero where none moves)."""

    @abstractmethod
    def outputs(self, features: Float[Tensor, "N F"], moved: Float[Tensor, "N D"]) -> RapidashOutput:
        """Scalars and vectors of every point."""

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

    def _check_inputs(
        self, pos: Tensor, batch: Tensor, scalars: Tensor | None, vectors: Tensor | None, pairs: Tensor | None
    ) -> None:
        check_cloud(pos, batch)
        io = self.io
        given = {"pos": pos, "scalars": scalars, "vectors": vectors, "pairs": pairs}
        check_types("network", self, *({name: given[name] for name in names} for names in self.joined))
        widths = {"pos": io.dim, "scalars": io.in_scalars, "vectors": 0, "pairs": io.in_pairs}
        for name, expected in widths.items():
            tensor = given[name]
            if tensor is not None and (tensor.dim() < 2 or len(tensor) != len(pos)):
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected ({len(pos)}, {expected})")
            found = 0 if tensor is None else tensor.shape[1]
            if found != expected:
                raise ValueError(f"{name} has {found} columns, this {self.config.kind} was made for {expected}")


def library(module: str) -> Any:
    """A module of a baseline's library, without the warnings about itself that it gives when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(module)
