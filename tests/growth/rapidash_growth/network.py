"""A network for data without positions."""

from dataclasses import dataclass

from torch import Tensor, nn

from rapidash.models import Interface, NetworkConfig, Takes


class MLP(nn.Module):
    """Features, and a linear map of them."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Dropout(0.1), nn.Linear(hidden, hidden))
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.tanh(self.body(x)))


@dataclass(frozen=True)
class GrowthMLP(NetworkConfig):
    """An MLP of one width."""

    hidden: int = 8
    symmetry: str = "trivial"
    space: str = "rows"

    @property
    def takes(self) -> Takes:
        return "components"

    def build(self, io: Interface) -> nn.Module:
        return MLP(io.in_scalars, self.hidden, io.out_scalars)
