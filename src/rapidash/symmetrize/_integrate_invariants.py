"""Invariant integration in the place of the pooling of a group-convolutional network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from torch import nn

from rapidash._plain import check_fields
from rapidash.methods import Method
from rapidash.models import FiberNetwork, ImageGCNNConfig, NetworkConfig, SignalGCNNConfig
from rapidash.symmetrize._integrands import Integrand, Linear, Mlp, Monomial, WeightedSum
from rapidash.symmetrize._invariant_integration import InvariantIntegration

if TYPE_CHECKING:
    from rapidash.methods import Task

FunctionName = Literal["monomial", "weighted-sum", "mlp", "linear"]


@dataclass(frozen=True)
class IntegrateInvariants(Method):
    """Invariant integration, with batch normalization, in the place of the pooling of a group-convolutional network.

    The network keeps the symmetry that it has. It has num_invariants C O k^2 weights more, so a fair neighbor has them
    elsewhere: one more layer, or a wider readout.

    Args:
        function: psi, see `InvariantIntegration`.
        num_invariants: K, at least 1.
        kernel_size: pixels that psi sees on a side, odd; 1 for functions on a group alone.
        hidden: features in between, of ``"mlp"``.
        eps: of ``"monomial"``.
    Raises: ValueError for values outside the above.
    Source: Rath and Condurache, arXiv 2303.01567.
    """

    function: FunctionName = "monomial"
    num_invariants: int = 16
    kernel_size: int = 3
    hidden: int = 16
    eps: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self)
        if self.function not in get_args(FunctionName):
            raise ValueError(f"function must be one of {get_args(FunctionName)}, got {self.function!r}")
        if self.num_invariants < 1:
            raise ValueError(f"num_invariants must be at least 1, got {self.num_invariants}")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")
        _ = self.integrand  # which checks its settings

    @property
    def integrand(self) -> Integrand:
        """Psi as a value."""
        made: dict[str, Integrand] = {
            "monomial": Monomial(self.eps),
            "weighted-sum": WeightedSum(),
            "mlp": Mlp(self.hidden),
            "linear": Linear(),
        }
        return made[self.function]

    def check(self, model: NetworkConfig) -> None:
        """It needs a network whose last features live on a finite group, and pixels for a kernel of several."""
        if not isinstance(model, ImageGCNNConfig | SignalGCNNConfig):
            raise ValueError(f"it replaces the pooling of 'image-gcnn' or 'signal-gcnn', got {model.kind!r}")
        if model.readout_dim:
            raise ValueError("it brings a readout of its own: set readout_dim=0")
        if isinstance(model, SignalGCNNConfig) and self.kernel_size != 1:
            raise ValueError(f"functions on a group have no pixels: set kernel_size=1, got {self.kernel_size}")

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """Replace the invariants of every such network, and the readout behind them."""
        networks = [part for part in model.modules() if isinstance(part, FiberNetwork)]
        if not networks:
            raise ValueError(f"{type(model).__name__} has no network with features on a finite group")
        for network in networks:
            invariants = InvariantIntegration(
                network.group,
                network.head.channels,
                self.num_invariants,
                self.integrand,
                kernel_size=self.kernel_size,
                batch_norm=True,
            )
            network.head.replace_invariants(invariants, self.num_invariants)
        return model
