"""The knobs of variational autoencoders as plain values."""

from dataclasses import dataclass, field
from typing import get_args

from torch import nn

from rapidash._plain import check_fields
from rapidash.learn._autoencoders import VAE, Activation, CommutativeLieGroupVAE
from rapidash.models import Interface, NetworkConfig, Takes


@dataclass(frozen=True)
class VAEConfig(NetworkConfig):
    """Knobs of `VAE`.

    Args:
        num_latents: L, at least 1.
        hidden_dim: width of the hidden layers, at least 1.
        num_layers: hidden layers of the encoder, and of the decoder, at least 1.
        activation: ``"relu"``, with the initial weights of Glorot and Bengio, or ``"silu"``, with those of PyTorch.
    Raises: ValueError for sizes below 1, or another activation.
    """

    num_latents: int = 6
    hidden_dim: int = 256
    num_layers: int = 2
    activation: Activation = field(default="relu", metadata={"absent": "silu"})

    symmetry = "trivial"
    space = "rows"

    def __post_init__(self) -> None:
        check_fields(self)
        if min(self.num_latents, self.hidden_dim, self.num_layers) < 1:
            raise ValueError(f"sizes must be at least 1, got {self}")
        if self.activation not in get_args(Activation):
            raise ValueError(f"activation must be one of {get_args(Activation)}, got {self.activation!r}")

    @property
    def takes(self) -> Takes:
        """Numbers side by side."""
        return "components"

    def build(self, io: Interface) -> nn.Module:
        """A fresh network. Raises: ValueError for a task that does not ask for its input again."""
        return VAE(_num_pixels(io), self.num_latents, [self.hidden_dim] * self.num_layers, self.activation)


@dataclass(frozen=True)
class CommutativeLieGroupVAEConfig(VAEConfig):
    """Knobs of `CommutativeLieGroupVAE`.

    Args:
        num_latents, hidden_dim, num_layers, activation: as of `VAEConfig`.
        size: n of the matrices, at least 1.
        init_scale: standard deviation of the entries of the fresh generators, above 0.
    Raises: ValueError for values outside the above.
    """

    size: int = 6
    init_scale: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1 or not 0 < self.init_scale < float("inf"):
            raise ValueError(f"size must be at least 1 and init_scale positive, got {self.size} and {self.init_scale}")

    def build(self, io: Interface) -> nn.Module:
        """A fresh network. Raises: ValueError for a task that does not ask for its input again."""
        hidden = [self.hidden_dim] * self.num_layers
        sizes = (_num_pixels(io), self.num_latents, self.size, hidden)
        return CommutativeLieGroupVAE(*sizes, self.init_scale, self.activation)


def _num_pixels(io: Interface) -> int:
    if io.in_vectors or io.out_vectors or not 0 < io.in_scalars == io.out_scalars:
        raise ValueError(f"an autoencoder needs a task that asks for its input again, such as 'shape-images', got {io}")
    return io.in_scalars
