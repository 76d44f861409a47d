"""Networks: the user's knobs, the sizes that a task sets, and the interface of every network of clouds."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.groups import Group
from rapidash.registry import NETWORKS, Registry

Takes = Literal["vectors", "components", "invariants"]


@dataclass(frozen=True)
class Interface:
    """The inputs and outputs of a network, which a task sets and a user does not.

    Args:
        dim: dimension D of space, 2 or 3; 0 for data without positions.
        in_scalars, in_vectors: input features per point.
        in_pairs: number of point scalars whose products s_i s_j belong to the edges (charges).
        out_scalars, out_vectors, out_tensors: outputs per point or cloud; tensors are symmetric ones of rank 2, of a
            `Rapidash` with orientations, or without rotations.
        level: ``"graph"`` for an output per cloud, ``"node"`` for one per point.
        pool: ``"sum"`` or ``"mean"`` of the outputs over the points of a cloud; None: as the network's setting says.
    """

    dim: int = 3
    in_scalars: int = 0
    in_vectors: int = 0
    in_pairs: int = 0
    out_scalars: int = 1
    out_vectors: int = 0
    level: Literal["node", "graph"] = "graph"
    pool: Literal["sum", "mean"] | None = None
    out_tensors: int = field(default=0, metadata={"absent": 0})

    def __post_init__(self) -> None:
        check_fields(self)
        for name, allowed in (("dim", (0, 2, 3)), ("level", ("node", "graph")), ("pool", ("sum", "mean", None))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {getattr(self, name)!r}")
        counts = {
            entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name.startswith(("in_", "out_"))
        }
        if wrong := {name: count for name, count in counts.items() if count < 0}:
            raise ValueError(f"sizes must be at least 0, got {wrong}")


class RapidashOutput(NamedTuple):
    """Scalars (B or N, out_scalars) and vectors (B or N, out_vectors, D)."""

    scalars: Tensor
    vectors: Tensor


class TensorOutput(NamedTuple):
    """The output of a network with ``out_tensors``: beside those of `RapidashOutput`, tensors (B or N, T, D, D)."""

    scalars: Tensor
    vectors: Tensor
    tensors: Tensor


class NetworkConfig(ABC):
    """The knobs of a network as plain values: a frozen dataclass, registered in `rapidash.registry.NETWORKS`.

    ``symmetry`` is the name of the group of the layers, as `rapidash.groups.parse_group` reads it, and ``space`` that
    of the space on which features live, e.g. ``"R3"``; both are fields or properties. Sizes of inputs and outputs
    belong to the task, see `Interface`.
    """

    registry: ClassVar[Registry[type["NetworkConfig"]]] = NETWORKS
    gives_tensors: ClassVar[bool] = False  # symmetric ones of rank 2, as outputs
    symmetry: str
    space: str

    @property
    def kind(self) -> str:
        """The name under which the network is registered."""
        return self.registry.name_of(type(self))

    @property
    @abstractmethod
    def takes(self) -> Takes:
        """The way in which vectors of a point enter.

        ``"vectors"``: as vectors, since the features have directions; ``"components"``: each component is a scalar,
        since no rotation is kept; ``"invariants"``: by norms and inner products.
        """

    @abstractmethod
    def build(self, io: Interface) -> nn.Module:
        """A `Network` with fresh weights from torch's global generator.

        Raises: ValueError for knobs or sizes that do not fit together; ImportError naming a package that is missing.
        """

    def check_libraries(self) -> None:  # noqa: B027  (most have none)
        """Raise ImportError, naming what to install, where a library of the network is missing; by default none is."""


@runtime_checkable
class Network(Protocol):
    """A network of clouds of points, an ``nn.Module``: what tasks, methods and measures use of it."""

    @property
    def io(self) -> Interface:
        """The sizes it was built for."""

    @property
    def symmetry(self) -> Group:
        """The group of the layers."""

    @property
    def exact_symmetry(self) -> Group:
        """The part of it that holds in floating point."""

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers in their order; a method may put a wrapper in the place of one."""

    def calibrate(
        self,
        pos: Float[Tensor, "N D"],
        batch: Int[Tensor, " N"],
        *,
        scalars: Float[Tensor, "N Cs"] | None = None,
        vectors: Float[Tensor, "N Cv D"] | None = None,
        pairs: Float[Tensor, "N P"] | None = None,
    ) -> None:
        """Rescale the fresh network on one batch, where it wants to."""

    def __call__(
        self,
        pos: Float[Tensor, "N D"],
        batch: Int[Tensor, " N"] | None = None,
        *,
        scalars: Float[Tensor, "N Cs"] | None = None,
        vectors: Float[Tensor, "N Cv D"] | None = None,
        pairs: Float[Tensor, "N P"] | None = None,
    ) -> RapidashOutput | TensorOutput:
        """Scalars and vectors of every point or cloud, and tensors where the sizes say so."""


def cloud_network(config: NetworkConfig, io: Interface) -> Network:
    """The network of a configuration with fresh weights, for a task whose data are clouds.

    Raises: ValueError for a network of other data; and as `NetworkConfig.build`.
    """
    if io.out_tensors and not config.gives_tensors:
        raise ValueError(
            f"the network {config.kind!r} gives scalars and vectors, out_tensors={io.out_tensors} asks for tensors of "
            "rank 2: take 'rapidash' on a space with orientations"
        )
    network: Any = config.build(io)
    if missing := [name for name in ("io", "symmetry", "blocks", "calibrate") if not hasattr(network, name)]:
        raise ValueError(f"the network {config.kind!r} is not for clouds of points: it has no {', '.join(missing)}")
    return network
