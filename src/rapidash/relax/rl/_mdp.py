"""Finite decision processes: exact values, how far one is from symmetric, and what that means for its values."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class FiniteMDP:
    """A Markov decision process with finitely many states and actions.

    Args:
        rewards: expected reward R(s, a).
        transitions: P(t | s, a), the probability of each next state.
        discount: gamma, in [0, 1).
    Raises: ValueError for other shapes, rows of probabilities that do not add up to 1, or another discount.
    """

    rewards: Float[Tensor, "S A"]
    transitions: Float[Tensor, "S A S"]
    discount: float

    def __post_init__(self) -> None:
        shape = tuple(self.rewards.shape)
        if len(shape) != 2 or tuple(self.transitions.shape) != (*shape, shape[0]):
            raise ValueError(
                f"rewards (S, A) and transitions (S, A, S) must agree, got {shape} and {tuple(self.transitions.shape)}"
            )
        total = self.transitions.sum(dim=2)
        if bool((self.transitions < 0).any()) or not torch.allclose(total, torch.ones_like(total), atol=1e-9):
            raise ValueError("transitions[s, a] must be probabilities that add up to 1")
        if not 0 <= self.discount < 1:
            raise ValueError(f"discount must be in [0, 1), got {self.discount}")


def optimal_values(mdp: FiniteMDP, *, tolerance: float = 1e-12) -> Float[Tensor, "S A"]:
    """Q* by value iteration, Q <- R + gamma P max_a Q, to the given largest error."""
    q = torch.zeros_like(mdp.rewards)
    while True:
        before, q = q, mdp.rewards + mdp.discount * mdp.transitions @ q.amax(dim=1)
        if float((q - before).abs().max()) * mdp.discount <= tolerance * (1 - mdp.discount):
            return q


def invariance_gap(mdp: FiniteMDP, states: Int[Tensor, "G S"], actions: Int[Tensor, "G A"]) -> tuple[float, float]:
    """The distance of a process from symmetry under a finite group: the largest change of rewards and of transitions.

    Args:
        mdp: the process.
        states, actions: where each element takes each state and action, as `rapidash.groups.permutation_action` says.
    Returns: eps_R = max |R(g s, g a) - R(s, a)|, and eps_P, the largest total variation distance between
        P(. | g s, g a) and g P(. | s, a), half the sum of absolute differences.
    Raises: ValueError for actions of another size.
    """
    _check(mdp, states, actions)
    rewards, chances = 0.0, 0.0
    for to, act in zip(states, actions):
        rewards = max(rewards, float((mdp.rewards[to][:, act] - mdp.rewards).abs().max()))
        moved = mdp.transitions[to][:, act][:, :, to]  # [s, a, t]: P(g t | g s, g a)
        chances = max(chances, float((moved - mdp.transitions).abs().sum(dim=2).max()) / 2)
    return rewards, chances


def value_gap(q: Float[Tensor, "S A"], states: Int[Tensor, "G S"], actions: Int[Tensor, "G A"]) -> float:
    """The largest |Q(g s, g a) - Q(s, a)| over elements, states and actions."""
    return max(float((q[to][:, act] - q).abs().max()) for to, act in zip(states, actions))


def value_gap_bound(reward_gap: float, transition_gap: float, span: float, discount: float) -> float:
    r"""The bound :math:`(\epsilon_R + \gamma\, \rho(V^*)\, \epsilon_P) / (1 - \gamma)` on the gap of Q*.

    Args:
        reward_gap, transition_gap: eps_R and eps_P of `invariance_gap`.
        span: rho(V*) = max V* - min V*.
        discount: gamma, in [0, 1).
    Source: Park et al., "Approximate Equivariance in Reinforcement Learning", arXiv 2411.04225. With total variation
        and this span it holds by contraction: each backup adds at most the numerator and shrinks the gap by gamma.
    """
    return (reward_gap + discount * span * transition_gap) / (1 - discount)


def _check(mdp: FiniteMDP, states: Tensor, actions: Tensor) -> None:
    shape = tuple(mdp.rewards.shape)
    if states.dim() != 2 or actions.dim() != 2 or (states.shape[1], actions.shape[1]) != shape:
        raise ValueError(
            f"states (G, S) and actions (G, A) must move {shape[0]} states and {shape[1]} actions, "
            f"got {tuple(states.shape)} and {tuple(actions.shape)}"
        )
    if len(states) != len(actions):
        raise ValueError(f"one row per element each: got {len(states)} for states, {len(actions)} for actions")
