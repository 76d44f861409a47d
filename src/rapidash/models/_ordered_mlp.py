"""A multilayer perceptron on all coordinates of a cloud side by side: nothing is built in, not even permutations."""

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.geometry import centroids
from rapidash.groups import parse_group
from rapidash.models._mlp import hidden_layer
from rapidash.models._network import Interface, NetworkConfig, RapidashOutput, Takes
from rapidash.models._point_network import PointNetwork, scalars_and_vectors


@dataclass(frozen=True)
class OrderedMLPConfig(NetworkConfig):
    """A multilayer perceptron on clouds of a fixed number of points, in the order that they have, see `OrderedMLP`.

    Args:
        num_points: of every cloud, at least 1.
        symmetry: ``"T(3)"``, or ``"T(2)"`` in the plane.
        hidden_dim, num_layers: width and number of hidden layers, at least 1.
        dropout: share of the hidden features that is dropped in training, in [0, 1).
        use_direct: a linear map from inputs to outputs beside the hidden layers.
    Raises: ValueError for values outside the above.
    """

    num_points: int
    symmetry: str = "T(3)"
    hidden_dim: int = 128
    num_layers: int = 3
    dropout: float = 0.0
    use_direct: bool = field(default=True, metadata={"absent": True})

    def __post_init__(self) -> None:
        check_fields(self)
        if self.symmetry not in ("T(3)", "T(2)"):
            raise ValueError(f"symmetry of an ordered MLP must be 'T(3)' or 'T(2)', got {self.symmetry!r}")
        sizes = {name: getattr(self, name) for name in ("num_points", "hidden_dim", "num_layers")}
        if min(sizes.values()) < 1:
            raise ValueError(f"sizes of an ordered MLP must be at least 1, got {sizes}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")

    @property
    def space(self) -> str:  # type: ignore[override]
        """The space of the points."""
        return f"R{parse_group(self.symmetry).dim}"

    @property
    def takes(self) -> Takes:
        """Components: rotations are learned or not."""
        return "components"

    def build(self, io: Interface) -> "OrderedMLP":
        """An `OrderedMLP` with fresh weights.

        Raises: ValueError for input vectors, or no output.
        """
        if io.in_vectors:
            raise ValueError(f"an ordered MLP takes components of vectors: in_vectors must be 0, got {io.in_vectors}")
        if io.out_scalars + io.out_vectors == 0:
            raise ValueError("a network needs an output: out_scalars and out_vectors are 0")
        return OrderedMLP(self, io)


class OrderedMLP(PointNetwork):
    """Hidden layers on the numbers of all points of a cloud side by side, and by default a linear map beside them.

    The numbers of a point are its scalars, its pair scalars and its coordinates relative to the centroid of the cloud.
    Outputs of clouds are read off directly: there is nothing to pool.

    Symmetry: T(D), exact; rotations and permutations of the points are learned or not.
    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    Raises: ValueError for a cloud of another number of points.
    """

    reads_whole_clouds = True

    def __init__(self, config: OrderedMLPConfig, io: Interface) -> None:
        super().__init__(config, io)
        self.num_points = num = config.num_points
        inputs = num * (io.in_scalars + io.in_pairs + io.dim)
        outputs = (io.out_scalars + io.dim * io.out_vectors) * (num if io.level == "node" else 1)
        widths = [inputs, *[config.hidden_dim] * config.num_layers]
        self.layers = nn.ModuleList(hidden_layer(a, b, config.dropout) for a, b in pairwise(widths))
        self.head = nn.Linear(widths[-1], outputs)
        self.direct = nn.Linear(inputs, outputs, bias=False) if config.use_direct else None

    def compute(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> RapidashOutput:
        """The outputs of clouds whose points have the order of the training data."""
        num_clouds = int(batch[-1]) + 1
        sizes = torch.bincount(batch, minlength=num_clouds)
        if not bool((sizes == self.num_points).all()):
            wrong = int((sizes != self.num_points).nonzero()[0])
            raise ValueError(
                f"cloud {wrong} has {int(sizes[wrong])} points, this {self.kind} was made for num_points="
                f"{self.num_points} in a fixed order: take a transformer for clouds of different sizes"
            )
        centered = pos - centroids(pos, batch, num_clouds)[batch]
        inputs = hidden = torch.cat([scalars, pairs, centered], dim=1).reshape(num_clouds, -1)
        for layer in self.layers:
            hidden = layer(hidden)
        out = self.head(hidden)
        if self.direct is not None:
            out = out + self.direct(inputs)
        return scalars_and_vectors(out.reshape(-1, out.shape[1] // self._rows), self.io)

    @property
    def _rows(self) -> int:
        """Rows of outputs of a cloud."""
        return self.num_points if self.io.level == "node" else 1
