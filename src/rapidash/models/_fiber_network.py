"""The base of networks whose features are functions on a finite group and pixels."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from rapidash.groups import MatrixGroup, finite_table
from rapidash.nn import FiberHead


class FiberNetwork(nn.Module, ABC):
    """Layers that give functions on a finite group and pixels, and a head that makes them outputs.

    Args:
        group: G, under which the fiber moves by its regular representation.
        layers: from the input to the fiber (B, C, G, H, W), in their order.
        head: invariants of the fiber, and a linear map.
    """

    def __init__(self, group: MatrixGroup, layers: nn.ModuleList, head: FiberHead) -> None:
        super().__init__()
        self.group, self.order = group, len(finite_table(group))
        self.layers, self.head = layers, head

    @property
    def num_outputs(self) -> int:
        """Numbers per sample."""
        return self.head.num_outputs

    @abstractmethod
    def fiber(self, x: Tensor) -> Float[Tensor, "B C G H W"]:
        """The features in front of the head."""

    def forward(self, x: Tensor) -> Float[Tensor, "B num_outputs"]:
        """Outputs of every sample."""
        out: Tensor = self.head(self.fiber(x))
        return out
