"""Soft actor-critic on a pendulum, one step of the environment and of the optimizer at a time."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash._seed import seeded
from rapidash.data import Batch, Dataset, Field, RowBatch
from rapidash.groups import Scalar, Vector
from rapidash.methods import Control, Objective, OrbitAverage, Score, Step, StepView, in_eval_mode, refuse_average
from rapidash.relax.rl._pendulum import EPISODE, MAX_TORQUE, Pendulum, Torque
from rapidash.relax.rl._pendulum_task import PendulumAgent, PendulumTask

if TYPE_CHECKING:
    from rapidash.methods import Task

_STATE, _TORQUE, _NUMBER = (Field(kind, level="cloud") for kind in (Vector(), Torque(), Scalar()))
_FIELDS = {"state": _STATE, "torque": _TORQUE, "reward": _NUMBER, "next_state": _STATE}
_WIDTHS = {"state": 3, "torque": 1, "reward": 1, "next_state": 3}


@dataclass(frozen=True)
class ActorCritic(Objective):
    r"""Soft actor-critic: in every training step one step of the pendulum, and one of the optimizer on a batch from all
    transitions so far.

    The critics minimize :math:`(Q_i(s, a) - r - \gamma (\min_j \bar Q_j(s', a') - \alpha \log \pi(a'|s')))^2`, the
    actor :math:`\alpha \log \pi(a|s) - \min_j Q_j(s, a)`, and the temperature alpha holds the entropy at -1. The score
    is the cost of an episode without exploration, minus its return, averaged over the states of the data; beside it the
    return and that of random torques.

    Args:
        first_steps: steps with random torques before the first training step, at least 1.
        discount: gamma, in [0, 1).
        decay: of the slow critics, in [0, 1).
        reward_scale: factor of the rewards of the library, positive.
    Raises: ValueError for values outside the above, or a task that is no pendulum.
    Source: Haarnoja et al., "Soft Actor-Critic Algorithms and Applications", arXiv 1812.05905.
    """

    first_steps: int = 1000
    discount: float = 0.99
    decay: float = 0.995
    reward_scale: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self)
        if self.first_steps < 1 or self.reward_scale <= 0:
            raise ValueError(
                f"first_steps must be at least 1 and reward_scale positive, got {self.first_steps} and "
                f"{self.reward_scale}"
            )
        if not (0 <= self.discount < 1 and 0 <= self.decay < 1):
            raise ValueError(f"discount and decay must be in [0, 1), got {self.discount} and {self.decay}")

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model itself. Raises: ValueError for a task that is no pendulum."""
        if not isinstance(task, PendulumTask):
            raise ValueError(f"actor-critic tries a pendulum: use the task 'pendulum', not {task.name!r}")
        return model

    def control(self, model: nn.Module, total_steps: int) -> "Trials":
        """The pendulum and the transitions."""
        return Trials(self, _agent(model), total_steps)

    def step(self, model: nn.Module, task: "Task", batch: Batch, rng: torch.Generator) -> Step:
        """The losses of critics, actor and temperature on a batch whose targets the control has computed."""
        agent = _agent(model)
        critics = (agent.values(batch["state"], batch["torque"]) - batch["target"]).square().mean(dim=1).sum()
        noise = torch.randn(batch["torque"].shape, generator=rng).to(batch["torque"])
        torque, density = agent.explore(batch["state"], noise)
        with _frozen(agent.critic_1, agent.critic_2):
            value = agent.values(batch["state"], torque).amin(dim=0)
        temperature = agent.log_temperature.exp().detach()
        actor = (temperature * density - value).mean()
        entropy = -(agent.log_temperature * (density.detach() - 1.0)).mean()
        return Step(critics + actor + entropy, torque, {"critics": critics, "actor": actor})

    def score(
        self,
        model: nn.Module,
        task: "Task",
        data: Dataset,
        *,
        train: Dataset,
        batch_size: int,
        seed: int = 0,
        average: OrbitAverage | None = None,
    ) -> Score:
        """The mean cost of episodes, see the class."""
        refuse_average(average, "episodes follow the torques of the model itself")
        assert isinstance(task, PendulumTask)
        like = next(model.parameters())
        generator = seeded(seed, "random torques")

        def most_probable(states: Float[Tensor, "B 3"]) -> Float[Tensor, "B 1"]:
            return model(RowBatch({"state": states.to(like)}, {"state": _STATE}))

        def at_random(states: Float[Tensor, "B 3"]) -> Float[Tensor, "B 1"]:
            return MAX_TORQUE * (2 * torch.rand(len(states), 1, generator=generator) - 1)

        with in_eval_mode(model), torch.no_grad():
            found, chance = (_returns(task, data.tensors["state"], torques) for torques in (most_probable, at_random))
        return Score(-found, {"return": found, "return of random torques": chance})


class Trials(Control):
    """A pendulum that the agent tries, every transition so far, and slow copies of the critics.

    Args:
        objective: the settings.
        agent: in training.
        total_steps: of the run.
    """

    def __init__(self, objective: ActorCritic, agent: PendulumAgent, total_steps: int) -> None:
        self.objective, self.agent = objective, agent
        self.pendulum = Pendulum(agent.constant)
        self.slow = copy.deepcopy(nn.ModuleList([agent.critic_1, agent.critic_2])).requires_grad_(False)
        size = objective.first_steps + total_steps
        self.memory = {name: torch.zeros(size, width) for name, width in _WIDTHS.items()}
        self.count, self.time = 0, EPISODE  # transitions so far; steps of the present episode
        self.total, self.last_return = 0.0, 0.0

    def batch(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Transitions of the past with targets, after one more step of the pendulum."""
        starts = batch["state"]
        for index in range(self.objective.first_steps if self.count == 0 else 1):
            if self.time == EPISODE:
                self.pendulum.start(starts[index // EPISODE % len(starts)])
                self.time, self.total = 0, 0.0
            self._try(rng)
        places = torch.randint(self.count, (batch.num_samples,), generator=rng)
        like = self.agent.log_temperature
        drawn = {name: values[places].to(like) for name, values in self.memory.items()}
        drawn["reward"] = drawn["reward"][:, 0]
        noise = torch.randn(drawn["torque"].shape, generator=rng).to(like)
        with torch.no_grad():
            torque, density = self.agent.explore(drawn["next_state"], noise)
            seen = torch.cat([drawn["next_state"], torque], dim=1)
            value = torch.stack([critic(seen)[:, 0] for critic in self.slow]).amin(dim=0)
            value = value - self.agent.log_temperature.exp() * density
        target = self.objective.reward_scale * drawn["reward"] + self.objective.discount * value
        return RowBatch({**drawn, "target": target}, {**_FIELDS, "target": _NUMBER})

    def _try(self, rng: torch.Generator) -> None:
        """One step of the pendulum: at first with random torques, then as the agent explores."""
        state = self.pendulum.state
        if self.count < self.objective.first_steps:
            torque = MAX_TORQUE * (2 * torch.rand(1, 1, generator=rng) - 1)
        else:
            like = self.agent.log_temperature
            with torch.no_grad():
                torque, _ = self.agent.explore(state[None].to(like), torch.randn(1, 1, generator=rng).to(like))
        reward = self.pendulum.step(float(torque))
        found = {"state": state, "torque": torque[0], "reward": reward, "next_state": self.pendulum.state}
        for name, value in found.items():
            self.memory[name][self.count] = torch.as_tensor(value)
        self.count, self.time, self.total = self.count + 1, self.time + 1, self.total + reward
        if self.time == EPISODE:
            self.last_return = self.total

    def after(self, view: StepView) -> None:
        """The slow critics follow."""
        fast = nn.ModuleList([self.agent.critic_1, self.agent.critic_2])
        with torch.no_grad():
            for slow, parameter in zip(self.slow.parameters(), fast.parameters(), strict=True):
                slow.lerp_(parameter, 1 - self.objective.decay)

    def values(self) -> Mapping[str, float]:
        """The return of the last episode with exploration, and the temperature."""
        temperature = float(self.agent.log_temperature.detach().exp())
        return {"return with exploration": self.last_return, "temperature": temperature}

    def state_dict(self) -> dict[str, Any]:
        """The slow critics, the transitions, and where the pendulum is."""
        numbers = {"count": self.count, "time": self.time, "total": self.total, "last_return": self.last_return}
        memory = {name: values[: self.count].clone() for name, values in self.memory.items()}
        slow = {name: tensor.clone() for name, tensor in self.slow.state_dict().items()}
        return {**numbers, "memory": memory, "slow": slow, "pendulum": self.pendulum.get()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a run stopped."""
        self.count, self.time = state["count"], state["time"]
        self.total, self.last_return = state["total"], state["last_return"]
        for name, values in state["memory"].items():
            self.memory[name][: self.count] = values
        self.slow.load_state_dict(state["slow"])
        self.pendulum.set(state["pendulum"])


def _agent(model: nn.Module) -> PendulumAgent:
    return next(part for part in model.modules() if isinstance(part, PendulumAgent))


def _returns(task: PendulumTask, states: Float[Tensor, "B 3"], torques: Any) -> float:
    """The mean return of episodes that begin at the given states, side by side."""
    pendulums = [task.pendulum() for _ in states]
    for pendulum, state in zip(pendulums, states, strict=True):
        pendulum.start(state)
    total = 0.0
    for _ in range(EPISODE):
        chosen: Sequence[list[float]] = torques(torch.stack([pendulum.state for pendulum in pendulums])).tolist()
        total += sum(pendulum.step(torque) for pendulum, (torque,) in zip(pendulums, chosen, strict=True))
    return total / len(states)


@contextmanager
def _frozen(*parts: nn.Module) -> Iterator[None]:
    """Within the block no parameter of the parts gets a gradient."""
    parameters = [(p, p.requires_grad) for part in parts for p in part.parameters()]
    for parameter, _ in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, flag in parameters:
            parameter.requires_grad_(flag)
