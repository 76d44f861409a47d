"""The knobs of a Rapidash network as plain values."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rapidash._plain import check_fields
from rapidash.groups import parse_group
from rapidash.models._network import Interface, NetworkConfig, Takes
from rapidash.nn import OrientationMaps

if TYPE_CHECKING:
    from rapidash.models._rapidash import Rapidash

KernelMode = Literal["auto", "exact", "tabulated"]


@dataclass(frozen=True)
class RapidashConfig(NetworkConfig):
    """Arguments of `rapidash.models.Rapidash`, which documents them, without the sizes of inputs and outputs.

    Every value is checked there, and types here. ``pool`` is used where the task does not set it.

    Raises: ValueError for a field of another type.
    """

    gives_tensors: ClassVar[bool] = True

    symmetry: str = "E(3)"
    space: str = "R3xS2"
    num_orientations: int = 12
    grid: str = "platonic"
    pool: Literal["sum", "mean"] = "sum"
    channels: int | tuple[int, ...] = 256
    num_layers: int | tuple[int, ...] = 7
    edges: str | tuple[str, ...] = "fc"
    ratios: float | tuple[float, ...] = 0.5
    skip_connections: bool = True
    basis_dim: int = 256
    basis_hidden_dim: int = 128
    max_degree: int = 3
    widening: int = 4
    layer_scale: float | None = None
    kernel: KernelMode = "auto"
    interpolation: Literal["linear", "cubic"] = "linear"
    table_size: int = 32
    recompute: bool = False
    subgroups: tuple[str, ...] = field(default=(), metadata={"absent": ()})
    orientation_mlp: OrientationMaps = field(default="pointwise", metadata={"absent": "pointwise"})
    bandlimit: int = field(default=1, metadata={"absent": 1})

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def takes(self) -> Takes:
        """Vectors where there are orientations, components where no rotation is kept, invariants otherwise."""
        if "x" in self.space:
            return "vectors"
        group = parse_group(self.symmetry)
        return "invariants" if group.linear.generators(group.dim).numel() else "components"

    def arguments(self, io: Interface) -> dict[str, Any]:
        """Keyword arguments of `Rapidash`."""
        return {**asdict(self), **asdict(io), "pool": io.pool or self.pool}

    def build(self, io: Interface) -> "Rapidash":
        """A `Rapidash` with fresh weights."""
        from rapidash.models._rapidash import Rapidash

        return Rapidash(**self.arguments(io))
