"""Schedule and parameter groups."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from rapidash._plain import to_plain
from rapidash.methods import ParamGroup
from rapidash.train import TrainConfig, learning_rate, parameter_groups
from rapidash.train._muon import StackedMuon
from rapidash.train._optim import build_optimizers, is_hidden_matrix, set_learning_rate


def test_schedule_by_hand() -> None:
    config = TrainConfig(steps=10, warmup_steps=2, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(11)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)  # half way through the cosine
    assert rates[10] == pytest.approx(0.0)
    assert all(a >= b for a, b in pairwise(rates[1:]))


def test_a_constant_rate_stays_and_leaves_the_keys_of_runs_as_they_are() -> None:
    config = TrainConfig(steps=6, warmup_steps=2, learning_rate=1.0, schedule="constant")
    assert [learning_rate(step, config) for step in range(6)] == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert "schedule" not in to_plain(TrainConfig(), for_key=True)
    assert to_plain(config, for_key=True)["schedule"] == "constant"
    with pytest.raises(ValueError, match=r"schedule must be one of 'cosine', 'constant', got 'consine'"):
        TrainConfig(schedule="consine")  # type: ignore[arg-type]


@pytest.mark.parametrize("warmup", [0, 10])
def test_schedule_without_warmup_and_with_nothing_else(warmup: int) -> None:
    config = TrainConfig(steps=10, warmup_steps=warmup, learning_rate=2.0)
    rates = [learning_rate(step, config) for step in range(10)]
    assert max(rates) == 2.0
    assert min(rates) > 0


def test_weight_decay_spares_biases_norms_and_layer_scales(toy) -> None:
    model = toy.Network()
    spared = {id(p) for group in parameter_groups(list(model.parameters()), 0.1) if not group["weight_decay"]
              for p in group["params"]}  # fmt: skip
    names = {name for name, parameter in model.named_parameters() if id(parameter) in spared}
    assert names == {"layer_scale", "mlp.0.bias", "mlp.1.weight", "mlp.1.bias", "mlp.3.bias", "head.bias"}


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weight_decay_acts_on_matrices_only(name: str) -> None:
    model = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16))
    config = TrainConfig(optimizer=name, weight_decay=0.5, learning_rate=0.1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for optimizer in build_optimizers(model, config):
        optimizer.step()
    after = model.state_dict()
    torch.testing.assert_close(after["0.weight"], before["0.weight"] * 0.95)
    for key in ("0.bias", "1.weight", "1.bias"):
        assert torch.equal(after[key], before[key])


def test_muon_takes_hidden_matrices_and_adamw_the_rest() -> None:
    model = nn.Sequential(nn.Linear(3, 32), nn.Linear(32, 64), nn.Linear(64, 1))
    muon, adamw = build_optimizers(model, TrainConfig(optimizer="muon"))
    assert isinstance(muon, StackedMuon)
    assert [p.shape for group in muon.param_groups for p in group["params"]] == [(64, 32)]
    assert sum(len(group["params"]) for group in adamw.param_groups) == 5


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].requires_grad_(False)
    (optimizer,) = build_optimizers(model, TrainConfig())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


def owned(optimizer: str, **settings: float) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Two layers, the second of which has an optimizer of its own; weights and gradients are 1."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
            parameter.grad = torch.ones_like(parameter)
    group = ParamGroup(list(model[1].parameters()), optimizer=optimizer, **settings)
    rest, own = build_optimizers(model, TrainConfig(learning_rate=0.1, weight_decay=0.5), [group])
    assert {id(p) for g in rest.param_groups for p in g["params"]} == {id(p) for p in model[0].parameters()}
    set_learning_rate([rest, own], 0.01)
    for each in (rest, own):
        each.step()
    return model, own


def test_owned_parameters_keep_their_own_rate_and_follow_plain_descent() -> None:
    model, own = owned("sgd", lr=0.2, weight_decay=0.25)
    assert isinstance(own, torch.optim.SGD)
    # w - lr (grad + decay w), for weights and biases alike
    torch.testing.assert_close(model[1].weight.detach(), torch.full((2, 2), 1.0 - 0.2 * 1.25).double())
    torch.testing.assert_close(model[1].bias.detach(), torch.full((2,), 1.0 - 0.2 * 1.25).double())
    # AdamW: a first step of size lr, decay lr * 0.5 on matrices only, at the rate of this step
    torch.testing.assert_close(model[0].weight.detach(), torch.full((2, 2), 1.0 - 0.005 - 0.01).double())
    torch.testing.assert_close(model[0].bias.detach(), torch.full((2,), 1.0 - 0.01).double())


def test_owned_parameters_without_a_rate_follow_the_schedule() -> None:
    model, own = owned("sgd")
    torch.testing.assert_close(model[1].weight.detach(), torch.full((2, 2), 1.0 - 0.01).double())
    model, own = owned("adamw", weight_decay=0.25)
    assert isinstance(own, torch.optim.AdamW)
    torch.testing.assert_close(model[1].weight.detach(), torch.full((2, 2), 1.0 - 0.0025 - 0.01).double())


def test_the_smaller_side_decides_what_muon_takes() -> None:
    sizes = [(16, 16), (15, 40), (40, 15), (64, 16), (2, 16, 16)]
    assert [is_hidden_matrix(torch.zeros(size)) for size in sizes] == [True, False, False, True, False]
