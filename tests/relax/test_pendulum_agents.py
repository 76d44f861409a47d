"""The pendulum, its reflection, and soft actor-critic on it."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributions, nn

from rapidash.data import Field, RowBatch
from rapidash.groups import Scalar, Vector, cyclic, octahedral, parse_group
from rapidash.methods import Method, Variant, build_model, in_view
from rapidash.models import EGNNConfig, MLPConfig
from rapidash.relax import bank_weights
from rapidash.relax.rl import (
    ActorCritic,
    GridWorldTask,
    Pendulum,
    PendulumTask,
    RelaxedMLP,
    RelaxedNetworks,
    ResidualNetworks,
    SharedNetworks,
    Torque,
    Trials,
)
from rapidash.tasks import get_task
from rapidash.testing._probes import Behind, InterruptedRunError
from rapidash.train import TrainConfig, train

pytest.importorskip("gymnasium")
SMALL = MLPConfig(hidden_dim=8)
TASK = PendulumTask(num_train=10, num_val=3, num_test=3)
REFLECTION = parse_group("C2(x)")
FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0])).double()


def variant(*methods: Method, objective: ActorCritic | None = None) -> Variant:
    return Variant("a", SMALL, methods=methods, objective=objective or ActorCritic(first_steps=30))


def run(given: Variant, run_dir: Path, steps: TrainConfig, ends_at: int | None = None) -> tuple[nn.Module, object]:
    model = build_model(TASK, given)
    sets = {"train_set": TASK.dataset("train"), "val_set": TASK.dataset("val"), "seed": 0, "run_dir": run_dir}
    methods = (*given.methods, Behind({}, ends_at))
    found = train(model, TASK, steps, objective=given.objective, methods=methods, progress=False, **sets)
    return model, found


def states(num: int) -> Tensor:
    angle, speed = torch.randn(2, num, dtype=torch.float64)
    return torch.stack([angle.cos(), angle.sin(), speed], dim=1)


def test_a_step_by_hand() -> None:
    """Horizontal, at rest, torque 1: the speed grows by (15 sin + 3 torque) / 20, the cost is angle^2 + 0.001."""
    pendulum = Pendulum()
    pendulum.start(torch.tensor([0.0, 1.0, 0.0]))
    assert pendulum.step(1.0) == pytest.approx(-((math.pi / 2) ** 2) - 0.001)
    speed = (15 + 3) / 20
    angle = math.pi / 2 + speed / 20
    assert pendulum.state.tolist() == pytest.approx([math.cos(angle), math.sin(angle), speed / 8])
    assert pendulum.get().tolist() == pytest.approx([angle, speed])
    pushed = Pendulum(constant=1.5)  # the agent's torque is limited to 2, its sum with the constant is not
    pushed.start(torch.tensor([0.0, 1.0, 0.0]))
    assert pushed.step(7.0) == pytest.approx(-((math.pi / 2) ** 2) - 0.001 * 3.5**2)
    assert float(pushed.state[2]) == pytest.approx((15 + 3 * 3.5) / 20 / 8)


def test_the_reflection_is_a_symmetry_and_a_constant_torque_breaks_it() -> None:
    torch.manual_seed(0)
    torques = torch.randn(20, 1, dtype=torch.float64)
    for constant in (0.0, 0.5):
        apart = 0.0
        one, other = Pendulum(constant), Pendulum(constant)
        start = states(1)[0]
        one.start(start)
        other.start(Vector().act(FLIP, start))
        for torque in torques:
            rewards = one.step(float(torque)), other.step(float(Torque().act(FLIP, torque)))
            apart = max(apart, abs(rewards[0] - rewards[1]))
            apart = max(apart, float((Vector().act(FLIP, one.state) - other.state).abs().max()))
        assert (apart < 1e-9) == (constant == 0)


def test_torques_know_the_reflection_alone() -> None:
    assert torch.equal(FLIP, REFLECTION.elements()[1])
    assert Torque().act(FLIP, torch.tensor([[2.0]])).tolist() == [[-2.0]]
    both = torch.stack([torch.eye(4).double(), FLIP])
    assert Torque().act(both, torch.tensor([[2.0], [3.0]])).tolist() == [[2.0], [-3.0]]
    with pytest.raises(ValueError, match=r"use the group 'C2\(x\)'"):
        Torque().act(parse_group("C4(x)").elements()[1], torch.ones(1, 1))


def test_a_perceptron_between_representations_is_equivariant_with_constant_weights() -> None:
    torch.manual_seed(0)
    network = RelaxedMLP(octahedral(), (Vector(), 3), (Vector(), 3), channels=4, num_layers=2, banks=2).double()
    x = torch.randn(5, 3, dtype=torch.float64)

    def error() -> float:
        with torch.no_grad():
            out = network(x)
            moved = [network(Vector().act(g, x)) - Vector().act(g, out) for g in octahedral().elements()]
        return float(torch.stack(moved).norm(dim=(1, 2)).max() / out.norm())

    assert error() < 1e-12
    turns = cyclic(3, dim=3)  # matrices that float32 rounds: a network that was in float32 is as exact as any
    other = RelaxedMLP(turns, (Vector(), 3), (Vector(), 3), channels=2, num_layers=1).float().double()
    with torch.no_grad():
        for g in turns.elements():
            torch.testing.assert_close(other(Vector().act(g, x)), Vector().act(g, other(x)), rtol=0, atol=1e-12)
    with torch.no_grad():
        for part in bank_weights(network):
            part.w += 0.1 * torch.randn_like(part.w)
    assert error() > 1e-3


def test_the_readout_by_hand() -> None:
    """Without hidden layers, psi = (1, 3): x is lifted to (x, -x), and f is (1 - 3) x at e, (3 - 1) x at the other."""
    network = RelaxedMLP(REFLECTION, (Torque(), 1), (Torque(), 1), channels=1, num_layers=0, banks=1)
    with torch.no_grad():
        network.body[0].filters.copy_(torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2))
    assert network(torch.tensor([[5.0]])).tolist() == [[-10.0]]  # the mean of -10 and -(10)


@pytest.mark.parametrize(
    "method", [SharedNetworks("C2(x)"), RelaxedNetworks("C2(x)", lr=0.0)], ids=["strict", "frozen"]
)
def test_actor_and_critics_keep_the_reflection_in_training(tmp_path: Path, method: Method) -> None:
    steps = TrainConfig(steps=12, batch_size=8, warmup_steps=2, eval_every=12, checkpoint_every=12, ema_decay=0.0)
    model = run(variant(method), tmp_path, steps)[0].double()
    x, torque = states(6), torch.randn(6, 1, dtype=torch.float64)
    flipped, opposite = Vector().act(FLIP, x), -torque
    with torch.no_grad():
        torch.testing.assert_close(model.values(flipped, opposite), model.values(x, torque), rtol=0, atol=1e-12)
        mean, log_std = model.actor(x).chunk(2, dim=1)
        mirrored = model.actor(flipped)
    torch.testing.assert_close(mirrored, torch.cat([-mean, log_std], dim=1), rtol=0, atol=1e-12)


def test_relaxed_and_residual_agents_leave_the_reflection(tmp_path: Path) -> None:
    steps = TrainConfig(steps=30, batch_size=8, warmup_steps=2, eval_every=30, checkpoint_every=30, ema_decay=0.0)
    x = states(6)
    for method in (RelaxedNetworks("C2(x)", banks=2, lr=0.05), ResidualNetworks("C2(x)")):
        given = variant(method)
        model = run(given, tmp_path / method.kind, steps)[0].double()
        batch, mirrored = (
            RowBatch({"state": seen}, {"state": Field(Vector(), level="cloud")}) for seen in (x, Vector().act(FLIP, x))
        )
        with torch.no_grad():
            assert (model(batch) + model(mirrored)).abs().max() > 1e-6
            if "constant" in method.views(model):
                with in_view(model, given.methods, "constant"):
                    torch.testing.assert_close(model(batch), -model(mirrored), rtol=0, atol=1e-12)


def test_the_density_of_random_torques() -> None:
    """It integrates to 1 over torques, and is that of a normal number through 2 tanh."""
    agent = build_model(TASK, variant()).double()
    noise = torch.linspace(-6, 6, 4001, dtype=torch.float64)[:, None]
    state = states(1).expand(4001, 3)
    with torch.no_grad():
        mean, log_std = agent.actor(state).chunk(2, dim=1)
        torque, density = agent.explore(state, noise)
    assert float(torch.trapezoid(density.exp(), torque[:, 0])) == pytest.approx(1.0, abs=1e-4)
    through = [distributions.TanhTransform(cache_size=1), distributions.AffineTransform(0.0, 2.0, cache_size=1)]
    squashed = distributions.TransformedDistribution(distributions.Normal(mean, log_std.exp()), through)
    inner = noise[:, 0].abs() < 1
    expected = squashed.log_prob(torque)[:, 0]
    torch.testing.assert_close(density[inner], expected[inner], rtol=0, atol=1e-6)


def test_critics_get_no_gradient_from_the_actor() -> None:
    model = build_model(TASK, variant(SharedNetworks("C2(x)")))
    control = variant().objective.control(model, 10)
    batch = control.batch(TASK.dataset("train").batch(torch.arange(8)), torch.Generator().manual_seed(0))
    step = variant().objective.step(model, TASK, batch, torch.Generator().manual_seed(1))
    step.parts["actor"].backward()
    assert all(p.grad is None for critic in (model.critic_1, model.critic_2) for p in critic.parameters())
    assert all(p.grad is not None for p in model.actor.parameters() if p.requires_grad)
    assert [part.w.requires_grad for part in bank_weights(model)] == [False] * len(bank_weights(model))


def test_losses_by_hand() -> None:
    """With critics that say c: (c - target)^2 twice, alpha E log pi - c, and the temperature's slope 1 - E log pi."""
    model, objective = build_model(TASK, variant()), ActorCritic()
    with torch.no_grad():
        for critic in (model.critic_1, model.critic_2):
            for parameter in critic.parameters():
                parameter.zero_()
    torch.manual_seed(0)
    rows = {"state": states(50).float(), "torque": torch.randn(50, 1), "target": torch.full((50,), 3.0)}
    batch = RowBatch(rows, {name: Field(Scalar(), level="cloud") for name in rows})
    plain = objective.step(model, TASK, batch, torch.Generator().manual_seed(1))
    assert plain.parts["critics"].item() == pytest.approx(2 * 3.0**2)
    density = plain.parts["actor"].item()  # alpha is 1
    plain.loss.backward()
    assert float(model.log_temperature.grad) == pytest.approx(1 - density, rel=1e-5)
    with torch.no_grad():
        for critic in (model.critic_1, model.critic_2):
            critic.network[-1].bias.fill_(5.0)
    raised = objective.step(model, TASK, batch, torch.Generator().manual_seed(1))
    assert raised.parts["critics"].item() == pytest.approx(2 * 2.0**2)
    assert raised.parts["actor"].item() == pytest.approx(density - 5.0, rel=1e-5)


def test_transitions_are_those_of_the_pendulum_and_targets_those_of_the_slow_critics() -> None:
    objective = ActorCritic(first_steps=250, discount=0.5, reward_scale=0.25)
    model = build_model(TASK, variant(objective=objective))
    control = objective.control(model, 3)
    assert isinstance(control, Trials)
    data = TASK.dataset("train").batch(torch.arange(10))
    batch = control.batch(data, torch.Generator().manual_seed(0))
    memory = control.memory
    assert (control.count, control.time) == (250, 50)
    pendulum = Pendulum()
    for first, start in ((0, 0), (200, 1)):  # every episode of 200 steps begins at a state of the data
        pendulum.start(data["state"][start])
        for index in range(first, first + 5):
            torch.testing.assert_close(memory["state"][index], pendulum.state.float())
            reward = pendulum.step(float(memory["torque"][index]))
            assert float(memory["reward"][index]) == pytest.approx(reward, rel=1e-5)
            torch.testing.assert_close(memory["next_state"][index], pendulum.state.float(), rtol=1e-4, atol=1e-5)
    assert control.last_return == pytest.approx(float(memory["reward"][:200].sum()), rel=1e-4)
    with torch.no_grad():
        for critic in control.slow:
            for parameter in critic.parameters():
                parameter.zero_()
        model.log_temperature.fill_(-100.0)
    batch = control.batch(data, torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch["target"], 0.25 * batch["reward"])
    assert control.count == 251
    with torch.no_grad():
        model.log_temperature.fill_(0.0)
    batch = control.batch(RowBatch(dict(data.repeat(100).tensors), data.fields), torch.Generator().manual_seed(0))
    entropy = (batch["target"] - 0.25 * batch["reward"]).mean() / 0.5
    assert 0.5 < float(entropy) < math.log(4.0)  # of torques from -2 to 2, at most that of uniform ones


def test_an_interrupted_run_continues_bit_for_bit(tmp_path: Path) -> None:
    """With the pendulum in the middle of an episode, its memory and the slow critics."""
    given = variant(RelaxedNetworks("C2(x)", banks=2))
    steps = TrainConfig(steps=14, batch_size=8, warmup_steps=2, eval_every=7, checkpoint_every=5)
    straight = run(given, tmp_path / "straight", steps)
    with pytest.raises(InterruptedRunError):
        run(given, tmp_path / "killed", steps, ends_at=12)
    continued = run(given, tmp_path / "killed", steps)
    torch.testing.assert_close(continued[0].state_dict(), straight[0].state_dict(), rtol=0, atol=0)
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in found.history]
        for _, found in (straight, continued)
    ]
    assert rows[0] == rows[1]
    assert {"val/return", "val/return of random torques", "value/return with exploration"} <= rows[0][0].keys()
    assert rows[0][0]["val_error"] == -rows[0][0]["val/return"] > 0


@pytest.mark.usefixtures("shape_checks_off")
def test_errors_say_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="actor-critic tries a pendulum: use the task 'pendulum', not 'grid-world'"):
        build_model(GridWorldTask(), variant())
    with pytest.raises(ValueError, match=r"C4\(x\) cannot act on the output: .* use the group 'C2\(x\)'"):
        build_model(TASK, variant(SharedNetworks("C4(x)")))
    with pytest.raises(ValueError, match=r"C\(2\) cannot act on the input"):
        build_model(TASK, variant(SharedNetworks("C2")))
    with pytest.raises(ValueError, match="agents have networks of kind 'mlp', got 'EGNN'"):
        build_model(TASK, Variant("a", EGNNConfig()))
    with pytest.raises(ValueError, match=r"constant must be less than the agent's 2\.0 either way, got 2\.5"):
        get_task("pendulum", constant=2.5)
    with pytest.raises(ValueError, match="every split needs a state"):
        PendulumTask(num_val=0)
    for wrong in ({"first_steps": 0}, {"reward_scale": 0.0}, {"discount": 1.0}, {"decay": -0.1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ActorCritic(**wrong)
    batch = TASK.dataset("val").batch(torch.arange(2))
    for part in (TASK.loss, TASK.errors):
        with pytest.raises(ValueError, match="give the variant the objective 'actor-critic'"):
            part(torch.zeros(2, 1), batch)
    with pytest.raises(ValueError, match="cannot act on the input"):
        RelaxedMLP(cyclic(4), (Vector(), 3), (Scalar(), 1), channels=2, num_layers=1)
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(ImportError, match=r"the pendulum needs gymnasium: pip install 'rapidash\[rl\]'"):
        TASK.dataset("train")
