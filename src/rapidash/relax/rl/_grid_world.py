"""A square grid with a goal in its middle, which quarter turns keep unless the moves are reversed in a quadrant."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from rapidash.groups import GridPermutation, Representation
from rapidash.relax.rl._mdp import FiniteMDP, optimal_values

Dynamics = Literal["exact", "reflected"]
MOVES = torch.tensor([[1, 0], [0, 1], [-1, 0], [0, -1]])  # move i is the first one turned i times by 90 degrees


@dataclass(frozen=True)
class ByMove(Representation):
    """Numbers for the four moves (..., 4), which quarter turns and mirrors of the plane permute.

    Raises: ValueError (act) for another number of moves, or an element that takes a move to none of the others.
    """

    def act(self, g: Float[Tensor, "*B 3 3"], x: Shaped[Tensor, "... 4"]) -> Shaped[Tensor, "... 4"]:
        """(g f)(a) = f(g^-1 a)."""
        return GridPermutation(MOVES.double()).act(g, x.unsqueeze(-1)).squeeze(-1)


@dataclass(frozen=True)
class GridWorld:
    """Walk to the middle of a square, where the walk ends; a move into the wall stays.

    The reward of a move is minus the distance left, in moves of those from a corner.

    Quarter turns about the middle move cells and moves together. With ``"exact"`` dynamics nothing else changes; with
    ``"reflected"`` ones every move is reversed in one quadrant (x > 0, y >= 0), so that only the identity is left.

    Args:
        dynamics: ``"exact"`` or ``"reflected"``.
        size: cells on a side, odd, at least 3.
        discount: gamma, in [0, 1).
    Raises: ValueError for values outside the above.
    """

    dynamics: Dynamics = "exact"
    size: int = 9
    discount: float = 0.9

    def __post_init__(self) -> None:
        if self.dynamics not in get_args(Dynamics):
            raise ValueError(f"dynamics must be one of {get_args(Dynamics)}, got {self.dynamics!r}")
        if self.size < 3 or self.size % 2 == 0:
            raise ValueError(f"size must be odd and at least 3, so that there is a cell in the middle, got {self.size}")
        if not 0 <= self.discount < 1:
            raise ValueError(f"discount must be in [0, 1), got {self.discount}")

    @cached_property
    def cells(self) -> Int[Tensor, "S 2"]:
        """The coordinates (x, y) of all cells, from the middle, row by row."""
        axis = torch.arange(self.size) - self.size // 2
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        return torch.stack([x.flatten(), y.flatten()], dim=1)

    @property
    def goal(self) -> int:
        """The index of the middle cell."""
        return self.size**2 // 2

    @cached_property
    def next_cells(self) -> Int[Tensor, "S 4"]:
        """The cell after each move; the goal is never left."""
        cells = self.cells
        reversed_here = (cells[:, 0] > 0) & (cells[:, 1] >= 0) & (self.dynamics == "reflected")
        steps = torch.where(reversed_here[:, None, None], -MOVES, MOVES)
        half = self.size // 2
        reached = (cells[:, None] + steps).clamp(-half, half)
        found = (reached[..., 1] + half) * self.size + reached[..., 0] + half
        found[self.goal] = self.goal
        return found

    def observed(self, cells: Int[Tensor, " B"]) -> Float[Tensor, "B 2"]:
        """The input of a network for cells: their coordinates in units of half the side, in [-1, 1]."""
        return self.cells[cells].double() / (self.size // 2)

    @cached_property
    def mdp(self) -> FiniteMDP:
        """The process in full."""
        transitions = torch.nn.functional.one_hot(self.next_cells, self.size**2).double()
        rewards = -self.cells.abs().sum(dim=1)[self.next_cells].double() / (self.size - 1)
        return FiniteMDP(rewards, transitions, self.discount)

    @cached_property
    def optimal(self) -> Float[Tensor, "S 4"]:
        """The exact values Q*."""
        return optimal_values(self.mdp)

    def arrives(
        self, cells: Int[Tensor, " B"], policy: Callable[[Int[Tensor, " B"]], Int[Tensor, " B"]]
    ) -> Bool[Tensor, " B"]:
        """Whether walks from some cells, by the moves of a policy, are in the middle after 4 size steps."""
        for _ in range(4 * self.size):
            cells = self.next_cells[cells, policy(cells)]
        return cells == self.goal
