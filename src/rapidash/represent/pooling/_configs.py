"""The knobs of networks of sites as plain values."""

from dataclasses import dataclass

from torch import nn

from rapidash._plain import check_fields
from rapidash.models import Interface, NetworkConfig, Takes
from rapidash.represent.pooling._networks import ColumnsNetwork, EncoderNetwork, TwoStageNetwork


@dataclass(frozen=True)
class SiteColumnsConfig(NetworkConfig):
    """A linear classifier of the columns as they are, see `ColumnsNetwork`; it has no knobs."""

    symmetry = "trivial"
    space = "rows"

    @property
    def takes(self) -> Takes:
        """Numbers side by side."""
        return "components"

    def build(self, io: Interface) -> nn.Module:
        """A fresh network. Raises: ValueError for fewer than two classes or no column."""
        return ColumnsNetwork(io.in_scalars, io.out_scalars)


@dataclass(frozen=True)
class SiteEncoderConfig(NetworkConfig):
    """Knobs of `EncoderNetwork`.

    Args:
        latent_dim: n, at least 2.
        hidden_dim: width of hidden layers, at least 1.
        num_layers: hidden layers of the encoder, at least 0.
    Raises: ValueError for values outside the above.
    """

    latent_dim: int = 16
    hidden_dim: int = 64
    num_layers: int = 2

    symmetry = "trivial"
    space = "rows"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.latent_dim < 2 or self.hidden_dim < 1 or self.num_layers < 0:
            raise ValueError(
                f"latent_dim must be at least 2, hidden_dim at least 1 and num_layers at least 0, got {self}"
            )

    @property
    def takes(self) -> Takes:
        """Numbers side by side."""
        return "components"

    def build(self, io: Interface) -> nn.Module:
        """A fresh network. Raises: ValueError for fewer than two classes or no column."""
        return EncoderNetwork(io.in_scalars, io.out_scalars, self.latent_dim, self.hidden_dim, self.num_layers)


@dataclass(frozen=True)
class TwoStageEncoderConfig(SiteEncoderConfig):
    """Knobs of `TwoStageNetwork`: those of `SiteEncoderConfig`, and K, the covariates of the task, at least 1."""

    num_covariates: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_covariates < 1:
            raise ValueError(f"num_covariates must be at least 1, got {self.num_covariates}")

    def build(self, io: Interface) -> nn.Module:
        """A fresh network. Raises: ValueError for fewer than two classes or no column."""
        sizes = (io.in_scalars, io.out_scalars, self.latent_dim, self.hidden_dim, self.num_layers)
        return TwoStageNetwork(*sizes, self.num_covariates)
