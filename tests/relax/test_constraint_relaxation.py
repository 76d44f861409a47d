"""Linear maps on a schedule: the gate follows the step, the penalties are what they say, the projection is exact."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from relax_checks import FLAT, SMALL, STEPS, TASK, error, every_rotation_of_the_grid, trained
from torch import Tensor, nn

from rapidash._plain import from_plain, to_plain
from rapidash._seed import seeded
from rapidash.groups import E, Vector, parse_group
from rapidash.methods import FULL, Method, Step, StepView, Variant, build_model, in_view, view_ledger
from rapidash.models import RapidashConfig
from rapidash.registry import METHODS
from rapidash.relax import (
    PROJECTED,
    Constant,
    ConstraintRelaxation,
    Decay,
    FiberMLP,
    LinearBranch,
    RelaxedLayer,
    Triangle,
    relaxed_layers,
    reynolds,
)


def test_schedules_by_hand() -> None:
    assert [Triangle()(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [0.0, 0.5, 1.0, 0.5, 0.0]
    assert [Triangle(peak=0.25)(share) for share in (0.125, 0.25, 0.625)] == [0.5, 1.0, 0.5]
    assert [Decay()(share) for share in (0.0, 0.25, 1.0)] == [1.0, 0.75, 0.0]
    assert Constant()(0.3) == 1.0
    with pytest.raises(ValueError, match=r"peak must be above 0 and below 1, got 1\.0"):
        Triangle(peak=1.0)


def test_a_method_with_a_schedule_survives_its_plain_form() -> None:
    method = ConstraintRelaxation(schedule=Triangle(peak=0.3), height=0.5)
    plain = to_plain(method)
    assert plain["schedule"] == {"kind": "triangle", "peak": 0.3}
    assert from_plain(Method, plain, complete=True) == method
    with pytest.raises(ValueError, match=r"unknown schedule 'triangel'.*did you mean 'triangle'"):
        from_plain(Method, plain | {"schedule": {"kind": "triangel"}})


def test_the_gate_follows_the_step_whatever_is_validated_in_between(tmp_path: Path) -> None:
    """12 steps, validated after 3, 6, 9 and 12: halfway up, at the top, halfway down, and closed."""
    steps = replace(STEPS, eval_every=3)
    _, result = trained(Variant("v", SMALL, methods=(ConstraintRelaxation(),)), tmp_path, steps)
    assert [row["value/gate"] for row in result.history] == [0.5, 1.0, 0.5, 0.0]
    last = result.history[-1]
    assert last["val_error/full"] == last["val_error"]  # the gate is 0: one function
    assert result.history[1]["val_error/full"] != result.history[1]["val_error"]
    assert {"loss/relaxation defect", "loss/relaxation size"} <= last.keys()


@pytest.mark.parametrize("model", [SMALL, FLAT], ids=["R3xS2", "R3"])
def test_the_projected_network_is_exact_before_and_after_training_and_the_full_one_is_not(
    tmp_path: Path, model: RapidashConfig
) -> None:
    method = ConstraintRelaxation(schedule=Constant(), defect_weight=0.0, scale=0.05)
    variant = Variant("v", model, methods=(method,))
    fresh, (after, _) = build_model(TASK, variant), trained(variant, tmp_path)
    for network in (fresh, after):
        some = E(3).sample(12, generator=seeded("elements"))
        elements = every_rotation_of_the_grid(network) if model is SMALL else some
        with in_view(network, (method,), PROJECTED):
            assert error(network, elements) < 1e-10
        assert error(network, elements) > 1e-3


def control_and_view(method: ConstraintRelaxation, model: RapidashConfig) -> tuple:
    """A control in the middle of a step, in float64."""
    network = build_model(TASK, Variant("v", model, methods=(method,))).double()
    batch = TASK.dataset("train").batch(torch.arange(4)).to(dtype=torch.float64)
    control = method.control(network, 10)
    control.before(5)
    out = network(batch)
    return network, control, StepView(5, 10, network, batch, Step(out.sum(), out), seeded("terms"))


def test_the_penalties_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """On R^3 by generators: W m for the size, and W (A m) for the defect, over blocks, points, channels and A."""
    method = ConstraintRelaxation(defect_weight=2.0, size_weight=3.0, scale=0.5)
    network, control, view = control_and_view(method, FLAT)
    seen = [layer._watched[0] for layer in control.layers]
    terms = control.terms(view)
    sizes, defects = [], []
    for layer, (x, edges) in zip(control.layers, seen, strict=True):
        m = layer.free.features(x, edges)  # (N, C, 3)
        w = layer.free.weight.unflatten(1, (-1, 3))
        sizes.append(torch.einsum("ocd,ncd->no", w, m).square().mean())
        turned = [m @ a[:3, :3].double().T for a in E(3).generators()[:3]]
        defects.append(torch.stack([torch.einsum("ocd,ncd->no", w, one) for one in turned]).square().mean())
    expected = {"relaxation defect": 2 * torch.stack(defects).mean().sqrt()}
    expected["relaxation size"] = 3 * torch.stack(sizes).mean().sqrt()
    assert terms.keys() == expected.keys()
    for name, value in terms.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=0)
    sum(terms.values()).backward()
    with_gradient = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.norm() > 0}
    assert with_gradient == {f"backbone.blocks.{k}.free.weight" for k in range(2)}  # the rest is not moved by it


def test_a_map_that_commutes_has_no_defect_and_one_of_zeros_a_finite_gradient() -> None:
    network, control, view = control_and_view(ConstraintRelaxation(size_weight=0.0), SMALL)
    with torch.no_grad():
        for layer in control.layers:
            layer.free.weight.copy_(layer.free.averaged_weight())
    assert float(control.terms(view)["relaxation defect"].detach()) <= 0.3 * 1.001e-6  # the root of what is added
    network, control, view = control_and_view(ConstraintRelaxation(), SMALL)
    with torch.no_grad():
        for layer in control.layers:
            layer.free.weight.zero_()
    sum(control.terms(view).values()).backward()
    for layer in relaxed_layers(network):
        assert torch.isfinite(layer.free.weight.grad).all()


def test_without_weights_nothing_is_computed() -> None:
    _, control, view = control_and_view(ConstraintRelaxation(size_weight=0.0, defect_weight=0.0), SMALL)
    assert control.terms(view) == {}


def test_the_ledger_of_each_view() -> None:
    variant = Variant("v", SMALL, methods=(ConstraintRelaxation(),))
    assert variant.primary_view == PROJECTED
    assert view_ledger(TASK, variant, PROJECTED).effective.name == "E(3)"
    assert view_ledger(TASK, variant, FULL).effective.name == "T(3)"


@dataclass(frozen=True)
class Own(ConstraintRelaxation):
    """The method on a model of one's own, whose layer it finds."""


class OwnNetwork(nn.Module):
    def __init__(self, free: nn.Module) -> None:
        super().__init__()
        self.layer = RelaxedLayer(nn.Linear(3, 3), free)


class Pair(LinearBranch):
    """A branch of one's own, on vectors under quarter turns about z."""

    def __init__(self) -> None:
        super().__init__(parse_group("C4(z)"), Vector(), Vector())
        self.weight = nn.Parameter(torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))

    def features(self, x: Tensor) -> Tensor:
        return x

    def map(self, features: Tensor) -> Tensor:
        return features @ self.used_weight.T

    def averaged_weight(self) -> Tensor:
        matrices = self.group.elements()[:, :3, :3].float()
        return reynolds(self.weight, matrices, matrices)


def test_a_linear_branch_of_ones_own_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """W takes z to x, and x to nothing. Quarter turns leave z: W g z - g W z is x - g x, of squares 0, 2, 4 and 2."""
    monkeypatch.setitem(METHODS, "own", Own)
    method = Own(size_weight=0.0, defect_weight=1.0)
    network = method.modify(OwnNetwork(Pair()), TASK)
    control = method.control(network, 10)
    found = {}
    for seed in range(20):
        control.before(5)
        network.layer(torch.tensor([[0.0, 0.0, 1.0]]))
        view = StepView(
            5, 10, network, TASK.dataset("train").batch(torch.arange(1)), Step(torch.zeros(())), seeded(seed)
        )
        found[round(float(3 * control.terms(view)["relaxation defect"].detach() ** 2), 4)] = True
    assert set(found) == {0.0, 2.0, 4.0}
    control.before(5)
    network.layer(torch.tensor([[0.0, 0.0, 1.0]]).expand(64, 3))
    defect = float(control.terms(replace(view, rng=seeded("rows")))["relaxation defect"].detach())
    assert 1.2 < 3 * defect**2 < 2.8  # every row has an element of its own, so the mean is near 2
    assert 3 * defect**2 not in (0.0, 2.0, 4.0)
    assert float(network.layer.gate) == 1.0
    assert float(network.layer.free.averaged_weight().detach().abs().max()) < 1e-6


def test_what_it_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong, message in (
        ({"defect_weight": -1.0}, "defect_weight must be at least 0 and finite, as the weight of a penalty, got -1.0"),
        ({"size_weight": float("inf")}, "size_weight must be at least 0 and finite"),
        ({"moved": "both"}, "moved must be one of 'auto', 'lie', 'finite', got 'both'"),
        ({"schedule": "triangle"}, r"schedule must be a Schedule, e\.g\. Triangle\(\), got 'triangle'"),
        ({"scale": 0.0}, "height must be finite and scale positive"),
    ):
        with pytest.raises(ValueError, match=message):
            ConstraintRelaxation(**wrong)
    lie = ConstraintRelaxation(moved="lie")
    with pytest.raises(ValueError, match=r"moved='lie' needs generators, and .* FiberLinear, has none: use 'finite'"):
        lie.control(build_model(TASK, Variant("v", SMALL, methods=(lie,))), 10)
    crooked = replace(SMALL, grid="repulsion", num_orientations=7)
    with pytest.raises(ValueError, match=r"cannot act on this grid of 7 orientations .* choose grid='platonic'"):
        build_model(TASK, Variant("v", crooked, methods=(lie,)))
    monkeypatch.setitem(METHODS, "own", Own)
    model = Own().modify(OwnNetwork(FiberMLP(1, 3, hidden=2)), TASK)
    with pytest.raises(ValueError, match=r"free branch FiberMLP does not say how the group acts.*LinearBranch"):
        Own().control(model, 10)
