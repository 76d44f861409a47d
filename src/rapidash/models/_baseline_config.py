"""The knobs of the baselines: networks of other libraries, behind the interface of `Rapidash`."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Literal

from rapidash._names import unknown_name
from rapidash._plain import check_fields
from rapidash.geometry import parse_edges
from rapidash.groups import parse_group
from rapidash.models._network import Interface, NetworkConfig, Takes

if TYPE_CHECKING:
    from rapidash.models._baseline import Baseline

_DISTRIBUTIONS = {"torch_geometric": "torch_geometric", "egnn_pytorch": "egnn-pytorch"}


@dataclass(frozen=True)
class BaselineConfig(NetworkConfig):
    """The common fields of all baselines; those that `RapidashConfig` has too mean the same.

    Args:
        symmetry: of the layers, which is that of the architecture.
        pool: ``"sum"`` or ``"mean"`` of the outputs over the points of a cloud, where the task does not set it.
        pools_features: pool the largest and the mean features of each cloud instead, with an MLP behind them, as
            networks that classify shapes do; for scalars at graph level.
        channels, num_layers: width and number of layers, at least 1.
        edges: ``"fc"``, ``"knn-16"`` or ``"radius-0.5"``, in units of the positions.
        dropout: share of the features that is dropped before the last linear map of ``pools_features``, in [0, 1).
    Raises: ValueError for values outside the above.
    """

    libraries: ClassVar[tuple[str, ...]] = ()
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"pool": ("sum", "mean")}
    counts: ClassVar[dict[str, int]] = {"channels": 1, "num_layers": 1}  # least values

    symmetry: str = ""
    pool: Literal["sum", "mean"] = "sum"
    pools_features: bool = False
    channels: int = 64
    num_layers: int = 4
    edges: str = "fc"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        for name, allowed in self.choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(unknown_name(f"{name} of a baseline", str(getattr(self, name)), allowed))
        if wrong := {name: getattr(self, name) for name, least in self.counts.items() if getattr(self, name) < least}:
            raise ValueError(f"sizes must be at least { {name: self.counts[name] for name in wrong} }, got {wrong}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if self.dropout and not self.pools_features:
            raise ValueError(f"dropout={self.dropout} is for pools_features=True")
        parse_edges(self.edges)

    @property
    def space(self) -> str:  # type: ignore[override]
        """The base space of the features, without orientations."""
        return f"R{parse_group(self.symmetry).dim}"

    def check_libraries(self) -> None:
        """Raise ImportError, naming what to install, where a library of the network is missing."""
        missing = [_DISTRIBUTIONS[name] for name in self.libraries if find_spec(name) is None]
        if missing:
            raise ImportError(
                f'the baseline {self.kind} needs {" and ".join(missing)}: pip install "rapidash[study]", or leave it '
                "out with --variants"
            )

    def check_sizes(self, io: Interface) -> None:
        """Raise ValueError for inputs and outputs that the network cannot have."""
        if io.in_scalars < 1:
            raise ValueError(f"a baseline needs in_scalars of at least 1, got {io.in_scalars}")
        if io.in_vectors:
            raise ValueError(f"a baseline has no vector features: in_vectors must be 0, got {io.in_vectors}")
        if io.out_scalars + io.out_vectors == 0:
            raise ValueError("a network needs an output: out_scalars and out_vectors are 0")
        if self.pools_features and (io.level != "graph" or io.out_vectors):
            raise ValueError(
                f"pools_features is for scalars of level 'graph', got level={io.level!r}, out_vectors={io.out_vectors}"
            )


@dataclass(frozen=True)
class EGNNConfig(BaselineConfig):
    """An E(n)-equivariant graph network of layers of ``egnn-pytorch``, see `EGNN`.

    Args:
        num_fourier: frequencies of sines and cosines of the squared distance, beside itself.
    """

    libraries: ClassVar[tuple[str, ...]] = ("torch_geometric", "egnn_pytorch")
    choices: ClassVar[dict[str, tuple[str, ...]]] = {**BaselineConfig.choices, "symmetry": ("E(3)", "E(2)")}
    counts: ClassVar[dict[str, int]] = {**BaselineConfig.counts, "num_fourier": 0}

    symmetry: str = "E(3)"
    num_fourier: int = 0

    @property
    def takes(self) -> Takes:
        """Norms and inner products: features are scalars."""
        return "invariants"

    def build(self, io: Interface) -> "Baseline":
        """An `EGNN` with fresh weights; it has at least one scalar output, and at most one vector."""
        from rapidash.models._egnn import EGNN

        self.check_sizes(io)
        if io.out_scalars < 1 or io.out_vectors > 1:
            raise ValueError(
                "an EGNN has at least one scalar and at most one vector, "
                f"got out_scalars={io.out_scalars}, out_vectors={io.out_vectors}"
            )
        return EGNN(self, io)


@dataclass(frozen=True)
class DGCNNConfig(BaselineConfig):
    """Edge convolutions of ``torch_geometric`` on coordinates relative to the centroid, see `DGCNN`.

    Args:
        aggregate: how a point takes in its edges, ``"max"``, ``"mean"`` or ``"sum"``.
        norm: inside the edge convolutions, ``"batch"`` or ``"layer"``.
        is_dynamic: from the second layer on, neighbors are nearest in the features; edges must be ``"knn-K"``.
    """

    libraries: ClassVar[tuple[str, ...]] = ("torch_geometric",)
    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        **BaselineConfig.choices,
        "symmetry": ("T(3)", "T(2)"),
        "aggregate": ("max", "mean", "sum"),
        "norm": ("batch", "layer"),
    }

    symmetry: str = "T(3)"
    aggregate: Literal["max", "mean", "sum"] = "max"
    norm: Literal["batch", "layer"] = "layer"
    is_dynamic: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.is_dynamic and not self.edges.startswith("knn-"):
            raise ValueError(f"is_dynamic needs edges 'knn-K', got {self.edges!r}")

    @property
    def takes(self) -> Takes:
        """Components: rotations are learned or not."""
        return "components"

    def build(self, io: Interface) -> "Baseline":
        """A `DGCNN` with fresh weights."""
        from rapidash.models._dgcnn import DGCNN

        self.check_sizes(io)
        return DGCNN(self, io)
