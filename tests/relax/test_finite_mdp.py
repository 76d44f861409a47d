"""Exact values of finite processes, and the bound on how far they are from symmetric."""

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import MatrixGroup, Vector, cyclic, dihedral, finite_table, permutation_action
from rapidash.relax.rl import (
    MOVES,
    ByMove,
    FiniteMDP,
    GridWorld,
    invariance_gap,
    optimal_values,
    value_gap,
    value_gap_bound,
)

SWAP = torch.tensor([[0, 1], [1, 0]])
ONE_ACTION = torch.tensor([[0], [0]])


def swapped(rewards: list[list[float]], transitions: list[list[list[float]]]) -> tuple[FiniteMDP, float, float, float]:
    """A process of two states that a group of two elements swaps; both gaps, and that of the values."""
    mdp = FiniteMDP(torch.tensor(rewards).double(), torch.tensor(transitions).double(), 0.9)
    return mdp, *invariance_gap(mdp, SWAP, ONE_ACTION), value_gap(optimal_values(mdp), SWAP, ONE_ACTION)


def test_gaps_by_hand() -> None:
    """Reward 1 for staying in the first state for ever: 1 / (1 - 0.9), where the bound is tight."""
    mdp, rewards, chances, values = swapped([[1.0], [0.0]], [[[1.0, 0.0]], [[0.0, 1.0]]])
    assert optimal_values(mdp).flatten().tolist() == pytest.approx([10.0, 0.0], abs=1e-9)
    assert (rewards, chances) == (1.0, 0.0)
    assert values == pytest.approx(value_gap_bound(rewards, chances, 10.0, 0.9), abs=1e-8)
    # from the first state always to itself, from the second to either: distance 1/2 from the mirror image
    _, rewards, chances, _ = swapped([[1.0], [1.0]], [[[1.0, 0.0]], [[0.5, 0.5]]])
    assert (rewards, chances) == (0.0, 0.5)
    assert value_gap_bound(0.1, 0.5, 2.0, 0.9) == pytest.approx((0.1 + 0.9 * 2 * 0.5) / 0.1)


def test_the_best_action_counts() -> None:
    """Wait for nothing, or take 1 and then nothing for ever."""
    rewards = torch.tensor([[0.0, 1.0], [0.0, 0.0]]).double()
    transitions = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]).double()
    found = optimal_values(FiniteMDP(rewards, transitions, 0.5))
    torch.testing.assert_close(found, torch.tensor([[0.5, 1.0], [0.0, 0.0]]).double())


def nearly_symmetric(group: MatrixGroup, epsilon: float, seed: int) -> tuple[FiniteMDP, Tensor, Tensor]:
    """A random process on three copies of the group, symmetric but for a share epsilon, with the actions of the group.

    A function of two or three things is symmetric when it is the mean over the group of a random one.
    """
    table = finite_table(group).table
    order = len(table)
    states = torch.cat([table + order * copy for copy in range(3)], dim=1)
    rng = seeded(seed, "mdp")

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng, dtype=torch.float64)

    rewards, chances = draw(3 * order, order), draw(3 * order, order, 3 * order) ** 8
    chances = chances / chances.sum(dim=2, keepdim=True)
    rewards = torch.stack([rewards[to][:, act] for to, act in zip(states, table)]).mean(dim=0)
    chances = torch.stack([chances[to][:, act][:, :, to] for to, act in zip(states, table)]).mean(dim=0)
    noise = draw(*chances.shape) ** 8
    chances = (1 - epsilon) * chances + epsilon * noise / noise.sum(dim=2, keepdim=True)
    return FiniteMDP(rewards + epsilon * (2 * draw(*rewards.shape) - 1), chances, 0.9), states, table


@pytest.mark.parametrize("epsilon", [0.0, 0.02, 0.1, 0.5])
def test_the_bound_holds_on_random_nearly_symmetric_processes(epsilon: float) -> None:
    shares = []
    for group in (cyclic(4), dihedral(3)):
        for seed in range(5):
            mdp, states, actions = nearly_symmetric(group, epsilon, seed)
            q = optimal_values(mdp)
            rewards, chances = invariance_gap(mdp, states, actions)
            best = q.amax(dim=1)
            bound = value_gap_bound(rewards, chances, float(best.max() - best.min()), mdp.discount)
            gap = value_gap(q, states, actions)
            assert gap <= bound + 1e-9
            shares.append(gap / bound if bound > 1e-9 else gap)
            assert (rewards > epsilon and chances > epsilon / 5) or (epsilon == 0 and max(rewards, chances) < 1e-12)
    assert max(shares) < 1e-9 if epsilon == 0 else 0.01 < max(shares) < 0.5


def actions_on_grid(world: GridWorld, group: MatrixGroup) -> tuple[Tensor, Tensor]:
    elements = finite_table(group).elements
    cells = world.cells.double()
    places = [(Vector().act(g, cells)[:, None] - cells).abs().sum(dim=2).argmin(dim=1) for g in elements]
    return torch.stack(places), permutation_action(ByMove(), elements, (4,))


def test_quarter_turns_keep_the_grid_and_a_reversed_quadrant_breaks_them() -> None:
    exact, reflected = GridWorld(), GridWorld("reflected")
    states, moves = actions_on_grid(exact, cyclic(4))
    assert moves[1].tolist() == [1, 2, 3, 0]
    assert torch.equal(MOVES.double() @ cyclic(4).elements()[1, :2, :2].T, MOVES[moves[1]].double())
    assert invariance_gap(exact.mdp, states, moves) == (0.0, 0.0)
    assert value_gap(exact.optimal, states, moves) < 1e-10
    rewards, chances = invariance_gap(reflected.mdp, states, moves)
    assert (rewards, chances) == (pytest.approx(0.25), 1.0)  # a reversed move is two moves of eight away
    assert value_gap(reflected.optimal, states, moves) > 0.2
    half_turn = [found[::2] for found in (states, moves)]
    assert invariance_gap(reflected.mdp, *half_turn) == (pytest.approx(0.25), 1.0)  # no subgroup is left


def test_the_grid_by_hand() -> None:
    """Three cells on a side: beside the middle one move ends the walk, from a corner two."""
    world = GridWorld(size=3, discount=0.5)
    assert world.cells.tolist()[:4] == [[-1, -1], [0, -1], [1, -1], [-1, 0]]
    assert world.next_cells[3].tolist() == [4, 6, 3, 0]  # right into the goal, down, the wall, up
    assert world.optimal[3].tolist() == pytest.approx([0.0, -1.0 + 0.5 * -0.5, -0.5, -1.0 + 0.5 * -0.5], abs=1e-9)
    broken = GridWorld("reflected", size=3)
    assert broken.next_cells[5].tolist() == [4, 2, 5, 8]  # every move is reversed at (1, 0)
    assert torch.equal(broken.next_cells[:3], world.next_cells[:3])
    best = world.optimal.argmax(dim=1)
    assert bool(world.arrives(torch.arange(9), lambda cells: best[cells]).all())
    assert world.arrives(torch.arange(9), lambda cells: torch.zeros_like(cells)).tolist() == [
        False,
        False,
        False,
        True,
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.usefixtures("shape_checks_off")
def test_errors_say_what_is_needed() -> None:
    rewards, chances = torch.zeros(2, 1), torch.full((2, 1, 2), 0.5)
    with pytest.raises(ValueError, match=r"must agree, got \(2, 1\) and \(2, 2\)"):
        FiniteMDP(rewards, chances[:, 0], 0.9)
    with pytest.raises(ValueError, match="add up to 1"):
        FiniteMDP(rewards, 2 * chances, 0.9)
    with pytest.raises(ValueError, match=r"discount must be in \[0, 1\), got 1"):
        FiniteMDP(rewards, chances, 1.0)
    with pytest.raises(ValueError, match=r"must move 2 states and 1 actions, got \(2, 3\) and \(2, 1\)"):
        invariance_gap(FiniteMDP(rewards, chances, 0.9), torch.zeros(2, 3).long(), ONE_ACTION)
    with pytest.raises(ValueError, match="got 2 for states, 1 for actions"):
        invariance_gap(FiniteMDP(rewards, chances, 0.9), SWAP, ONE_ACTION[:1])
    for wrong in ({"dynamics": "odd"}, {"size": 4}, {"discount": 1.0}):
        with pytest.raises(ValueError, match=rf"{next(iter(wrong))} must be"):
            GridWorld(**wrong)
