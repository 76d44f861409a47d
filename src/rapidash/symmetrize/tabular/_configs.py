"""The knobs of networks in context as plain values."""

from dataclasses import dataclass

from rapidash._plain import check_fields
from rapidash.models import Interface, NetworkConfig, Takes
from rapidash.symmetrize.tabular._equitabpfn import EquiTabPFN
from rapidash.symmetrize.tabular._fixed_head import FixedHeadPFN


@dataclass(frozen=True)
class _InContextConfig(NetworkConfig):
    """The knobs that both networks have."""

    dim: int = 64
    num_blocks: int = 4
    num_heads: int = 4

    symmetry = "trivial"
    space = "rows"

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def takes(self) -> Takes:
        """Numbers side by side."""
        return "components"


@dataclass(frozen=True)
class EquiTabPFNConfig(_InContextConfig):
    """Knobs of `EquiTabPFN`, which documents them.

    Raises: ValueError for a field of another type.
    """

    decoder_hidden: int = 64

    def build(self, io: Interface) -> EquiTabPFN:
        """An `EquiTabPFN` for tables of ``io.in_scalars`` features; how many classes there are is no size of it."""
        return EquiTabPFN(io.in_scalars, self.dim, self.num_blocks, self.num_heads, self.decoder_hidden)


@dataclass(frozen=True)
class FixedHeadPFNConfig(_InContextConfig):
    """Knobs of `FixedHeadPFN`, which documents them; the task says how many classes the head has.

    Raises: ValueError for a field of another type.
    """

    num_blocks: int = 6

    def build(self, io: Interface) -> FixedHeadPFN:
        """A `FixedHeadPFN` for tables of ``io.in_scalars`` features and at most ``io.out_scalars`` classes."""
        return FixedHeadPFN(io.in_scalars, io.out_scalars, self.dim, self.num_blocks, self.num_heads)
