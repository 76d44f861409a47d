"""The task of walking a grid: transitions to learn from, and cells from which a learned policy is tried."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, Field, RowDataset
from rapidash.groups import MatrixGroup, Scalar, Vector, cyclic, trivial
from rapidash.methods import Split, Variant
from rapidash.models import Interface
from rapidash.relax.rl._grid_world import ByMove, Dynamics, GridWorld
from rapidash.relax.rl._networks import OpenQNetwork
from rapidash.symmetry import Ledger


class GridAgent(nn.Module):
    """Values (B, 4) of the four moves from the coordinates of a cell."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()

        def make(inputs: int, outputs: int) -> nn.Module:
            return variant.model.build(Interface(dim=0, in_scalars=inputs, out_scalars=outputs))

        self.values = OpenQNetwork(make, Vector(), ByMove(), state_dim=2, num_actions=4)

    def forward(self, batch: Batch) -> Float[Tensor, "B 4"]:
        """A value for every move."""
        return self.values(batch["state"])


@dataclass(frozen=True)
class GridWorldTask:
    """Values of moves on a square grid, see `rapidash.relax.rl.GridWorld`.

    A sample is a transition from a random cell by a random move: state, move (as four numbers, one of them 1), reward,
    next state, the discount of what follows (0 where the walk ends), and the cell's exact values Q*. The objective
    ``"fitted-q"`` learns from the transitions and is scored by walks; without it the exact values are fitted, and their
    error is the metric. The cells of validation and test, where walks begin, are different ones; the transitions may
    begin anywhere.

    Args:
        dynamics: ``"exact"``, or ``"reflected"``: moves are reversed in one quadrant.
        num_train: transitions, at least 1.
    Raises: ValueError for values outside the above.
    """

    dynamics: Dynamics = "exact"
    num_train: int = 6000

    name: str = field(default="grid-world", init=False)
    dim: int = field(default=0, init=False)
    metric: str = field(default="error of Q", init=False)
    unit: str = field(default="1", init=False)
    output: Field = field(default=Field(ByMove(), level="cloud"), init=False)

    def __post_init__(self) -> None:
        self.world  # noqa: B018  (which checks the dynamics)
        if self.num_train < 1:
            raise ValueError(f"num_train must be at least 1, got {self.num_train}")

    @property
    def world(self) -> GridWorld:
        """The grid."""
        return GridWorld(self.dynamics)

    @property
    def moves(self) -> None:
        """None: the grid does not turn with test data."""

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """Quarter turns."""
        return (cyclic(4),)

    def dataset(self, split: Split) -> RowDataset:
        """Transitions of a split; for ``"val"`` and ``"test"`` one from each of half of the cells."""
        world = self.world
        others = torch.arange(world.size**2)
        others = others[others != world.goal]
        generator = seeded("grid-world", split)
        if split == "train":
            cells = others[torch.randint(len(others), (self.num_train,), generator=generator)]
        else:
            halves = others[torch.randperm(len(others), generator=seeded("grid-world", "halves"))]
            cells = halves[:40] if split == "val" else halves[40:]
        moves = torch.randint(4, (len(cells),), generator=generator)
        reached = world.next_cells[cells, moves]
        tensors = {
            "state": world.observed(cells),
            "move": torch.nn.functional.one_hot(moves, 4).double(),
            "reward": world.mdp.rewards[cells, moves],
            "next_state": world.observed(reached),
            "discount": world.discount * (reached != world.goal).double(),
            "optimal": world.optimal[cells],
        }
        point, number, by_move = (Field(kind, level="cloud") for kind in (Vector(), Scalar(), ByMove()))
        fields = {"state": point, "move": by_move, "reward": number, "next_state": point, "discount": number}
        return RowDataset(tensors, {**fields, "optimal": by_move})

    def build(self, variant: Variant) -> nn.Module:
        """The agent of a variant with fresh weights from torch's global generator."""
        return GridAgent(variant)

    def ledger(self, variant: Variant) -> Ledger:
        """None, before a method adds some."""
        none = trivial(2)
        return Ledger(none, none, ("the network sees the coordinates of the cell",), True, False)

    def loss(self, prediction: Float[Tensor, "B 4"], batch: Batch) -> Float[Tensor, ""]:
        """Mean squared difference from the exact values."""
        return (prediction - batch["optimal"]).square().mean()

    def errors(self, prediction: Float[Tensor, "B 4"], batch: Batch) -> Float[Tensor, " B"]:
        """The mean absolute difference from the exact values of a cell's moves."""
        return (prediction - batch["optimal"]).abs().mean(dim=1)
