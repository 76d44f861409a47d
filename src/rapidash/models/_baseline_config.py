"""The configuration of a baseline: a network of a library, behind the interface of `Rapidash`."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from rapidash._names import unknown_name
from rapidash._plain import check_types
from rapidash.geometry import parse_edges

BaselineKind = Literal["EGNN", "DGCNN"]
_SYMMETRY = {"EGNN": "E", "DGCNN": "T"}
_COUNTS = {"in_scalars": 1, "in_vectors": 0, "in_pairs": 0, "out_scalars": 0, "out_vectors": 0, "num_fourier": 0}


@dataclass(frozen=True)
class BaselineConfig:
    """What to compare Rapidash with, as plain values; fields that `RapidashConfig` has too mean the same.

    Args:
        kind: ``"EGNN"`` (E(n)-equivariant graph network, layers of ``egnn-pytorch``) or ``"DGCNN"`` (edge convolutions
            of ``torch_geometric`` on coordinates relative to the centroid).
        dim: dimension of space D, 2 or 3.
        in_scalars: input features per point, at least 1.
        in_vectors: 0: features are scalars, so vectors enter as components or invariants.
        in_pairs: number of point scalars whose products s_i s_j are features of the edges.
        out_scalars, out_vectors: outputs; an EGNN has at least one scalar, and at most one vector, the way that a
            point has moved.
        level: ``"graph"`` for an output per cloud, ``"node"`` for one per point.
        pool: ``"sum"`` or ``"mean"`` of the outputs over the points of a cloud.
        pools_features: pool the largest and the mean features of each cloud instead, with an MLP behind them, as
            networks that classify shapes do; for scalars at graph level.
        channels, num_layers: width and number of layers, at least 1.
        edges: ``"fc"``, ``"knn-16"`` or ``"radius-0.5"``, in units of the positions.
        num_fourier: EGNN: frequencies of sines and cosines of the squared distance, beside itself.
        aggregate: DGCNN: how a point takes in its edges, ``"max"``, ``"mean"`` or ``"sum"``.
        norm: DGCNN: norm inside the edge convolutions, ``"batch"`` or ``"layer"``.
        is_dynamic: DGCNN: from the second layer on, neighbors are nearest in the features; edges must be ``"knn-K"``.
        dropout: share of the features that is dropped before the last linear map of ``pools_features``, in [0, 1).
    Raises: ValueError for values outside the above, or settings of the other kind.
    """

    kind: BaselineKind
    dim: int = 3
    in_scalars: int = 1
    in_vectors: int = 0
    in_pairs: int = 0
    out_scalars: int = 1
    out_vectors: int = 0
    level: Literal["node", "graph"] = "graph"
    pool: Literal["sum", "mean"] = "sum"
    pools_features: bool = False
    channels: int = 64
    num_layers: int = 4
    edges: str = "fc"
    num_fourier: int = 0
    aggregate: Literal["max", "mean", "sum"] = "max"
    norm: Literal["batch", "layer"] = "layer"
    is_dynamic: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_types(self)
        self._check_values()
        if self.in_vectors:
            raise ValueError(f"a baseline has no vector features: in_vectors must be 0, got {self.in_vectors}")
        if self.out_scalars + self.out_vectors == 0:
            raise ValueError("a network needs an output: out_scalars and out_vectors are 0")
        if self.kind == "EGNN" and (self.out_scalars < 1 or self.out_vectors > 1):
            raise ValueError(
                "an EGNN has at least one scalar and at most one vector, "
                f"got out_scalars={self.out_scalars}, out_vectors={self.out_vectors}"
            )
        if self.pools_features and (self.level != "graph" or self.out_vectors):
            raise ValueError(
                "pools_features is for scalars of level 'graph', "
                f"got level={self.level!r}, out_vectors={self.out_vectors}"
            )
        if self.dropout and not self.pools_features:
            raise ValueError(f"dropout={self.dropout} is for pools_features=True")
        if self.is_dynamic and not self.edges.startswith("knn-"):
            raise ValueError(f"is_dynamic needs edges 'knn-K', got {self.edges!r}")
        self._check_settings_of_kind()

    @property
    def symmetry(self) -> str:
        """Name of the symmetry of the layers: E(D) of an EGNN, T(D) of a DGCNN, which takes off the centroid."""
        return f"{_SYMMETRY[self.kind]}({self.dim})"

    @property
    def space(self) -> str:
        """The base space of the features, without orientations."""
        return f"R{self.dim}"

    def _check_values(self) -> None:
        choices = {"kind": BaselineKind, "level": Literal["node", "graph"], "pool": Literal["sum", "mean"]}
        choices |= {"aggregate": Literal["max", "mean", "sum"], "norm": Literal["batch", "layer"]}
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(unknown_name(f"{name} of a baseline", str(getattr(self, name)), get_args(allowed)))
        if self.dim not in (2, 3):
            raise ValueError(f"dim must be 2 or 3, got {self.dim}")
        least = {**_COUNTS, "channels": 1, "num_layers": 1}
        if wrong := {name: getattr(self, name) for name in least if getattr(self, name) < least[name]}:
            raise ValueError(f"sizes must be at least { {name: least[name] for name in wrong} }, got {wrong}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        parse_edges(self.edges)

    def _check_settings_of_kind(self) -> None:
        """What the kind does not read must stand as it is by default."""
        foreign = ("num_fourier",) if self.kind == "DGCNN" else ("aggregate", "norm", "is_dynamic")
        defaults = {entry.name: entry.default for entry in fields(self)}
        if wrong := {name: getattr(self, name) for name in foreign if getattr(self, name) != defaults[name]}:
            raise ValueError(f"{wrong} is no setting of a baseline of kind {self.kind!r}")
