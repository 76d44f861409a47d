"""Agents whose networks keep, relax or prefer a symmetry: exact where they should be, and trained by the loop."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rapidash.groups import SO, Scalar, Vector, cyclic, dihedral, finite_table, permutation_action
from rapidash.methods import Augment, Method, Score, Variant, build_model, in_view, view_ledger
from rapidash.models import MLPConfig
from rapidash.relax import bank_weights
from rapidash.relax.rl import (
    ByMove,
    FittedQ,
    GridWorldTask,
    RelaxedNetworks,
    RelaxedQNetwork,
    ResidualNetworks,
    SharedNetworks,
    TargetNetwork,
)
from rapidash.tasks import get_task
from rapidash.testing import check_method, check_task
from rapidash.testing._probes import Behind, InterruptedRunError
from rapidash.train import TrainConfig, train

SMALL = MLPConfig(hidden_dim=8)
TASK = GridWorldTask(num_train=24)
C4 = cyclic(4)


def phi(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, outputs)).double()


def q_network(banks: int, group=C4) -> RelaxedQNetwork:
    return RelaxedQNetwork(group, Vector(), ByMove(), phi, num_actions=4, banks=banks).double()


def error(function: nn.Module, x: Tensor) -> float:
    """The largest relative |Q(g s) - g Q(s)| over quarter turns."""
    with torch.no_grad():
        out = function(x)
        found = [(function(Vector().act(g, x)) - ByMove().act(g, out)).norm() / out.norm() for g in C4.elements()]
    return float(torch.stack(found).max())


def test_the_values_by_hand() -> None:
    """phi(s) = x + 10 y: the value of the move turned once is phi of s turned back once, (x, y) -> (y, -x)."""
    network = RelaxedQNetwork(C4, Vector(), ByMove(), lambda k: nn.Linear(2, k, bias=False), num_actions=4, banks=2)
    network.double()
    with torch.no_grad():
        network.networks[0].weight.copy_(torch.tensor([[1.0, 10.0]]))
        network.networks[1].weight.copy_(torch.tensor([[0.0, 100.0]]))
        network.bank_weights.w.copy_(torch.tensor([[1.0, 1.0, 1.0, 2.0], [0.0, 0.0, 1.0, 0.0]]))
        found = network(torch.tensor([[3.0, 4.0]]).double())[0]
    # phi_1: (3, 4) -> 43; (4, -3) -> -26; (-3, -4) -> -43, with phi_2 -400; (-4, 3) -> 26, twice
    assert found.tolist() == pytest.approx([43.0, -26.0, -443.0, 52.0])


def test_constant_weights_are_equivariant_and_others_are_not() -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 2, dtype=torch.float64)
    network = q_network(3)
    assert error(network, x) < 1e-12
    with torch.no_grad():
        network.bank_weights.w += 0.1 * torch.randn(3, 4)
    assert error(network, x) > 1e-2
    halves = q_network(2, cyclic(2))  # two orbits of moves: phi has two outputs
    assert [part[-1].out_features for part in halves.networks] == [2, 2]
    half_turn = C4.elements()[2]
    torch.testing.assert_close(halves(Vector().act(half_turn, x)), ByMove().act(half_turn, halves(x)))


def test_with_the_same_network_in_every_bank_it_is_the_strict_one() -> None:
    strict, relaxed = q_network(1), q_network(4)
    for network in relaxed.networks:
        network.load_state_dict(strict.networks[0].state_dict())
    x = torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(relaxed(x), strict(x), rtol=0, atol=1e-6)


def variant(*methods: Method, objective: FittedQ | None = None) -> Variant:
    return Variant("a", SMALL, methods=methods, objective=objective)


def trained(given: Variant, run_dir: Path) -> nn.Module:
    model = build_model(TASK, given)
    steps = TrainConfig(steps=30, batch_size=16, warmup_steps=2, eval_every=30, checkpoint_every=30, ema_decay=0.0)
    sets = {"train_set": TASK.dataset("train"), "val_set": TASK.dataset("val"), "seed": 0, "run_dir": run_dir}
    objective = given.objective
    train(model, TASK, steps, objective=objective, methods=given.methods, progress=False, **sets)
    return model


@pytest.mark.parametrize(
    ("method", "is_exact"),
    [
        (SharedNetworks("C4"), True),
        (RelaxedNetworks("C4", lr=0.0), True),
        (RelaxedNetworks("C4", lr=0.05), False),
        (ResidualNetworks("C4"), False),
    ],
    ids=["strict", "frozen", "relaxed", "residual"],
)
def test_what_is_fixed_stays_equivariant_in_training(tmp_path: Path, method: Method, is_exact: bool) -> None:
    model = trained(variant(method, objective=FittedQ()), tmp_path).double()
    x = torch.randn(7, 2, dtype=torch.float64)
    if is_exact:
        assert error(model.values, x) < 1e-12
        assert torch.equal(*[part.w for part in bank_weights(model)[:1]] * 2)
        assert all(float(part.variation()) == 0 for part in bank_weights(model))
    else:
        assert error(model.values, x) > 1e-6


@pytest.mark.parametrize(
    "method",
    [
        SharedNetworks("C4"),
        RelaxedNetworks("C4", banks=2, lr=0.05, variation=0.01),
        ResidualNetworks("C4", free=0.1, shared=0.01),
    ],
    ids=["shared", "relaxed", "residual"],
)
def test_methods_keep_their_promises(tmp_path: Path, method: Method) -> None:
    check_method(method, TASK, variant(Augment("C4")), tmp_path)


def test_an_interrupted_run_continues_bit_for_bit(tmp_path: Path) -> None:
    """With its target network: stopped two steps after a checkpoint."""
    given = variant(Augment("C4"), RelaxedNetworks("C4", banks=2), objective=FittedQ())
    steps = TrainConfig(steps=16, batch_size=16, warmup_steps=2, eval_every=8, checkpoint_every=5)

    def run(run_dir: Path, ends_at: int | None = None) -> dict[str, Tensor]:
        model = build_model(TASK, given)
        sets = {"train_set": TASK.dataset("train"), "val_set": TASK.dataset("val"), "seed": 0, "run_dir": run_dir}
        methods = (*given.methods, Behind({}, ends_at))
        train(model, TASK, steps, objective=given.objective, methods=methods, progress=False, **sets)
        return model.state_dict()

    straight = run(tmp_path / "straight")
    with pytest.raises(InterruptedRunError):
        run(tmp_path / "killed", 12)
    torch.testing.assert_close(run(tmp_path / "killed"), straight, rtol=0, atol=0)


def test_the_task_keeps_its_promises() -> None:
    for dynamics in ("exact", "reflected"):
        check_task(GridWorldTask(dynamics, num_train=8), [Variant("a", SMALL)])
    assert get_task("grid-world", dynamics="reflected").world.dynamics == "reflected"
    train_set, val_set, test_set = (TASK.dataset(split) for split in ("train", "val", "test"))
    assert (len(train_set), len(val_set), len(test_set)) == (24, 40, 40)
    starts = {tuple(state) for data in (val_set, test_set) for state in data.tensors["state"].tolist()}
    assert len(starts) == 80
    assert (0.0, 0.0) not in starts


@pytest.mark.parametrize("methods", [(), (RelaxedNetworks("C4", banks=2),)], ids=["free", "relaxed"])
def test_targets_by_hand(methods: tuple[Method, ...]) -> None:
    """r + gamma max Q-bar(s'), and r alone where the walk has ended; the slow network follows, weights of banks too."""
    model = build_model(TASK, variant(*methods))
    control = FittedQ(decay=0.75).control(model, 10)
    assert isinstance(control, TargetNetwork)
    batch = TASK.dataset("train").batch(torch.arange(24))
    found = control.batch(batch, torch.Generator())["target"]
    with torch.no_grad():
        best = model(batch.with_tensor("state", batch["next_state"]).to(dtype=torch.float32)).amax(dim=1).double()
    ends = (batch["next_state"] == 0).all(dim=1)
    expected = batch["reward"] + torch.where(ends, 0.0, 0.9 * best)
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1.0
    before = [parameter.clone() for parameter in control.slow.parameters()]
    control.after(None)
    for old, new in zip(before, control.slow.parameters()):
        torch.testing.assert_close(new, old + 0.25)


class Exact(nn.Module):
    """Says the exact values, from a table."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(sign))

    def forward(self, batch: object) -> Tensor:
        world = TASK.world
        near = torch.cdist(batch["state"].double(), world.observed(torch.arange(81))).argmin(dim=1)
        return self.sign * world.optimal[near].float()


def test_walks_by_exact_values_arrive_and_by_opposite_ones_do_not() -> None:
    data = TASK.dataset("test")
    right, wrong = (FittedQ().score(Exact(sign), TASK, data, train=data, batch_size=64, seed=1) for sign in (1.0, -1.0))
    assert isinstance(right, Score)
    assert (right.error, wrong.error) == (0.0, 100.0)
    assert right.details["error of Q"] == pytest.approx(0.0, abs=1e-6)
    assert 0.0 <= right.details["failures with noisy states (%)"] <= 20.0


def test_ledgers_and_views() -> None:
    relaxed = variant(RelaxedNetworks("C4", banks=2))
    assert view_ledger(TASK, variant(SharedNetworks("C4")), "full").claimed_exactly.name == "C(4)"
    assert [view_ledger(TASK, relaxed, view).effective.name for view in ("full", "constant")] == ["trivial", "C(4)"]
    model = build_model(TASK, relaxed).double()
    with torch.no_grad():
        model.values.bank_weights.w[0, 0] += 0.3
    x = torch.randn(7, 2, dtype=torch.float64)
    with in_view(model, relaxed.methods, "constant"):
        assert error(model.values, x) < 1e-12
    assert error(model.values, x) > 1e-2


def test_the_weights_of_the_banks_have_a_rate_and_a_penalty_of_their_own() -> None:
    method = RelaxedNetworks("C4", banks=2, lr=0.03, variation=0.5)
    model = build_model(TASK, variant(method))
    (part,) = bank_weights(model)
    with torch.no_grad():
        part.w += torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    control = method.control(model, 10)
    (group,) = control.param_groups()
    assert (group.lr, [id(weight) for weight in group.params]) == (0.03, [id(part.w)])
    assert float(control.terms(None)["variation"].detach()) == pytest.approx(0.5 * 6)  # one of four off by 1: 6 pairs


def test_residual_networks_begin_equivariant_and_the_prior_weighs_both() -> None:
    method = ResidualNetworks("C4", free=0.5, shared=0.25)
    model = build_model(TASK, variant(method)).double()
    assert error(model.values, torch.randn(7, 2, dtype=torch.float64)) < 1e-2
    term = method.control(model, 10).terms(None)["prior"]
    sizes = [
        sum(float(p.detach().square().sum()) for p in part.parameters() if p.requires_grad)
        for part in (model.values.free, model.values.equivariant)
    ]
    assert float(term.detach()) == pytest.approx(0.5 * sizes[0] + 0.25 * sizes[1])
    assert replace(method, free=0.0, shared=0.0).control(model, 10) is None


@pytest.mark.usefixtures("shape_checks_off")
def test_errors_say_what_is_needed() -> None:
    with pytest.raises(ValueError, match=r"element 4 of D\(4\) leaves action 1 where it is, .* choose a subgroup"):
        q_network(1, dihedral(4))
    with pytest.raises(ValueError, match=r"C\(3\) cannot act on the actions: .* does not map the orientation grid"):
        q_network(1, cyclic(3))
    with pytest.raises(ValueError, match=r"SO\(2\) is not finite"):
        q_network(1, SO(2))
    with pytest.raises(ValueError, match=r"SE\(2\) is not finite"):
        SharedNetworks("SE(2)")
    with pytest.raises(ValueError, match=r"C\(4\) cannot act on the actions"):
        RelaxedQNetwork(C4, Scalar(), ByMove(), phi, num_actions=3)
    for wrong, text in (
        ({"banks": 0}, "banks must be"),
        ({"lr": -1.0}, "at least 0"),
        ({"variation": -1.0}, "at least"),
    ):
        with pytest.raises(ValueError, match=text):
            RelaxedNetworks("C4", **wrong)
    with pytest.raises(ValueError, match="free the larger one"):
        ResidualNetworks("C4", free=0.1, shared=0.2)
    with pytest.raises(ValueError, match=r"has no network whose symmetry can be chosen: .* one of these methods only"):
        build_model(TASK, variant(SharedNetworks("C4"), RelaxedNetworks("C4")))
    with pytest.raises(ValueError, match="use the task 'grid-world', not 'nbody'"):
        FittedQ().modify(nn.Linear(1, 1), get_task("nbody"))
    with pytest.raises(ValueError, match="decay must be"):
        FittedQ(decay=1.0)
    with pytest.raises(ValueError, match="num_train must be at least 1, got 0"):
        GridWorldTask(num_train=0)
    with pytest.raises(ValueError, match="dynamics must be one of"):
        get_task("grid-world", dynamics="odd")
    assert len(finite_table(C4)) == len(permutation_action(ByMove(), C4.elements(), (4,)))
