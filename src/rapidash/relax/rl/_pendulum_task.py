"""The task of swinging a pendulum up: where episodes begin, and the networks of an actor and two critics."""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, Field, RowDataset
from rapidash.groups import DirectSum, MatrixGroup, Scalar, Vector, parse_group, trivial
from rapidash.methods import Split, Variant
from rapidash.models import Interface, MLPConfig
from rapidash.relax.rl._pendulum import MAX_SPEED, MAX_TORQUE, Pendulum, Torque
from rapidash.relax.rl._shared_mlp import OpenMLP
from rapidash.symmetry import Ledger

_LOG_STD = (-5.0, 2.0)


class PendulumAgent(nn.Module):
    """An actor, two critics, and the logarithm of the temperature.

    Args:
        model: the knobs of every network.
        constant: torque of the pendulum that it will try.
    Shape: batch with state (B, 3) -> torque (B, 1), the most probable one.
    """

    def __init__(self, model: MLPConfig, constant: float = 0.0) -> None:
        super().__init__()
        self.constant = constant

        def network(
            inputs: tuple[tuple[Vector | Torque, int], ...], outputs: tuple[tuple[Torque | Scalar, int], ...]
        ) -> OpenMLP:
            def make(size_in: int, size_out: int) -> nn.Module:
                return model.build(Interface(dim=0, in_scalars=size_in, out_scalars=size_out))

            sides = [(DirectSum(parts), sum(width for _, width in parts)) for parts in (inputs, outputs)]
            return OpenMLP(make, *sides, hidden_dim=model.hidden_dim, num_layers=model.num_layers)

        state, torque, number = (Vector(), 3), (Torque(), 1), (Scalar(), 1)
        self.actor: nn.Module = network((state,), (torque, number))
        self.critic_1: nn.Module = network((state, torque), (number,))
        self.critic_2: nn.Module = network((state, torque), (number,))
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Batch) -> Float[Tensor, "B 1"]:
        """The torque without exploration."""
        return MAX_TORQUE * torch.tanh(self.actor(batch["state"])[:, :1])

    def explore(self, state: Float[Tensor, "B 3"], noise: Float[Tensor, "B 1"]) -> tuple[Tensor, Tensor]:
        """A random torque (B, 1), from standard normal noise, and the logarithm of its density (B,)."""
        mean, log_std = self.actor(state).chunk(2, dim=1)
        log_std = log_std.clamp(*_LOG_STD)
        raw = mean + log_std.exp() * noise
        density = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        slope = 2 * (math.log(2) - raw - nn.functional.softplus(-2 * raw))  # log(1 - tanh(raw)^2)
        return MAX_TORQUE * torch.tanh(raw), (density - slope - math.log(MAX_TORQUE)).sum(dim=1)

    def values(self, state: Float[Tensor, "B 3"], torque: Float[Tensor, "B 1"]) -> Float[Tensor, "2 B"]:
        """The values that both critics give to states and torques."""
        seen = torch.cat([state, torque], dim=1)
        return torch.stack([self.critic_1(seen)[:, 0], self.critic_2(seen)[:, 0]])


@dataclass(frozen=True)
class PendulumTask:
    """Swing a pendulum up and hold it, see `rapidash.relax.rl.Pendulum`; for the objective ``"actor-critic"``.

    A sample is a state in which an episode begins: any angle, speeds from -1 to 1 rad/s.

    Args:
        constant: torque that is added to every torque of the agent; 0: the reflection is a symmetry.
        num_train, num_val, num_test: states.
    Raises: ValueError for values outside the above.
    """

    constant: float = 0.0
    num_train: int = 1000
    num_val: int = 20
    num_test: int = 50

    name: str = field(default="pendulum", init=False)
    dim: int = field(default=0, init=False)
    metric: str = field(default="cost of an episode", init=False)
    unit: str = field(default="1", init=False)
    output: Field = field(default=Field(Torque(), level="cloud"), init=False)

    def __post_init__(self) -> None:
        if min(self.num_train, self.num_val, self.num_test) < 1:
            raise ValueError(f"every split needs a state, got {self.num_train}, {self.num_val}, {self.num_test}")
        if not abs(self.constant) < MAX_TORQUE:
            raise ValueError(f"constant must be less than the agent's {MAX_TORQUE} either way, got {self.constant}")

    def pendulum(self) -> Pendulum:
        """One pendulum. Raises: ImportError where gymnasium is not installed."""
        return Pendulum(self.constant)

    @property
    def moves(self) -> None:
        """None: the torque that is added does not turn with test data."""

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """The reflection."""
        return (parse_group("C2(x)"),)

    def dataset(self, split: Split) -> RowDataset:
        """States in which episodes begin."""
        self.pendulum()  # what is missing is said before anything is trained
        size = {"train": self.num_train, "val": self.num_val, "test": self.num_test}[split]
        angle, speed = 2 * torch.rand(2, size, generator=seeded("pendulum", split), dtype=torch.float64) - 1
        state = torch.stack([(math.pi * angle).cos(), (math.pi * angle).sin(), speed / MAX_SPEED], dim=1)
        return RowDataset({"state": state}, {"state": Field(Vector(), level="cloud")})

    def build(self, variant: Variant) -> nn.Module:
        """The agent of a variant with fresh weights from torch's global generator.

        Raises: ValueError for another network than an MLP.
        """
        if not isinstance(variant.model, MLPConfig):
            raise ValueError(
                f"variant {variant.name!r}: agents have networks of kind 'mlp', got {variant.model.kind!r}"
            )
        return PendulumAgent(variant.model, self.constant)

    def ledger(self, variant: Variant) -> Ledger:
        """None, before a method adds some."""
        none = trivial(3)
        return Ledger(none, none, ("the networks see the components of state and torque",), True, False)

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Raises: ValueError: no torques are known that could be imitated."""
        raise ValueError("a pendulum is learned by trying: give the variant the objective 'actor-critic'")

    def errors(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Raises: ValueError, as `loss`."""
        raise ValueError("a pendulum is scored by episodes: give the variant the objective 'actor-critic'")
