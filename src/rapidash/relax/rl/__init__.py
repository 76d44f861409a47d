"""Reinforcement learning with networks that keep a symmetry nearly: tasks, objectives, methods, and exact values."""

from rapidash.relax.rl._actor_critic import ActorCritic, Trials
from rapidash.relax.rl._fitted_q import FittedQ, TargetNetwork
from rapidash.relax.rl._grid_world import MOVES, ByMove, GridWorld
from rapidash.relax.rl._grid_world_task import GridAgent, GridWorldTask
from rapidash.relax.rl._mdp import FiniteMDP, invariance_gap, optimal_values, value_gap, value_gap_bound
from rapidash.relax.rl._methods import RelaxedNetworks, ResidualNetworks, SharedNetworks
from rapidash.relax.rl._networks import OpenNetwork, OpenQNetwork, RelaxedQNetwork
from rapidash.relax.rl._pendulum import Pendulum, Torque
from rapidash.relax.rl._pendulum_task import PendulumAgent, PendulumTask
from rapidash.relax.rl._shared_mlp import OpenMLP, RelaxedMLP

__all__ = [
    "MOVES",
    "ActorCritic",
    "ByMove",
    "FiniteMDP",
    "FittedQ",
    "GridAgent",
    "GridWorld",
    "GridWorldTask",
    "OpenMLP",
    "OpenNetwork",
    "OpenQNetwork",
    "Pendulum",
    "PendulumAgent",
    "PendulumTask",
    "RelaxedMLP",
    "RelaxedNetworks",
    "RelaxedQNetwork",
    "ResidualNetworks",
    "SharedNetworks",
    "TargetNetwork",
    "Torque",
    "Trials",
    "invariance_gap",
    "optimal_values",
    "value_gap",
    "value_gap_bound",
]
