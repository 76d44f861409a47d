"""A multilayer perceptron for rows of numbers, such as those of a table."""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from rapidash._plain import check_fields
from rapidash.models._network import Interface, NetworkConfig, Takes


@dataclass(frozen=True)
class MLPConfig(NetworkConfig):
    """A multilayer perceptron x (B, in_scalars) -> (B, out_scalars) for data without positions.

    Args:
        hidden_dim: width of the hidden layers, at least 1.
        num_layers: number of hidden layers; 0 is a linear map.
        dropout: share of the hidden features that is dropped in training, in [0, 1).
    Raises: ValueError for values outside the above.
    """

    hidden_dim: int = 64
    num_layers: int = 2
    dropout: float = 0.0

    symmetry = "trivial"
    space = "rows"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.hidden_dim < 1 or self.num_layers < 0:
            raise ValueError(
                f"hidden_dim must be at least 1 and num_layers at least 0, got {self.hidden_dim} and {self.num_layers}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")

    @property
    def takes(self) -> Takes:
        """Numbers side by side."""
        return "components"

    def build(self, io: Interface) -> nn.Sequential:
        """Linear, LayerNorm, SiLU and dropout for each hidden layer, and a linear map.

        Raises: ValueError for vectors, or no input or output.
        """
        if io.in_vectors or io.out_vectors or min(io.in_scalars, io.out_scalars) < 1:
            raise ValueError(f"an MLP has scalars in and out, at least one of each, got {io}")
        sizes = [io.in_scalars, *[self.hidden_dim] * self.num_layers]
        hidden = [part for a, b in pairwise(sizes) for part in hidden_layer(a, b, self.dropout)]
        return nn.Sequential(*hidden, nn.Linear(sizes[-1], io.out_scalars))


def hidden_layer(inputs: int, width: int, dropout: float) -> nn.Sequential:
    """Linear, LayerNorm, SiLU and dropout."""
    return nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), nn.SiLU(), nn.Dropout(dropout))
