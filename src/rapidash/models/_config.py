"""The configuration of a Rapidash network as plain values."""

from dataclasses import dataclass
from typing import Literal

from rapidash._plain import check_types

KernelMode = Literal["auto", "exact", "tabulated"]


@dataclass(frozen=True)
class RapidashConfig:
    """Arguments of `rapidash.models.Rapidash`, which documents them; every value is checked there, and types here.

    Raises: ValueError for a field of another type.
    """

    dim: int = 3
    symmetry: str = "E(3)"
    space: str = "R3xS2"
    num_orientations: int = 12
    grid: str = "fibonacci"
    in_scalars: int = 0
    in_vectors: int = 0
    in_pairs: int = 0
    out_scalars: int = 1
    out_vectors: int = 0
    level: Literal["node", "graph"] = "graph"
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

    def __post_init__(self) -> None:
        check_types(self)
