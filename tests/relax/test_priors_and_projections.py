"""Penalties on weights: residual pathway priors, and the distance to the equivariant maps."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from relax_checks import FLAT, SMALL, STEPS, TASK, error, every_rotation_of_the_grid, trained
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import E
from rapidash.methods import FULL, Variant, build_model, in_view, view_ledger
from rapidash.models import RapidashConfig
from rapidash.relax import (
    PROJECTED,
    ProjectionPenalty,
    RelaxedLayer,
    ResidualPathwayPrior,
    WeightPrior,
    projection_distance,
    relaxed_layers,
)
from rapidash.relax._rpp import weights_under_prior
from rapidash.symmetry import SharedLinear

QUARTERS = (torch.arange(4)[None] + torch.arange(4)[:, None]) % 4  # C4 on four entries
MATRICES = nn.functional.one_hot(QUARTERS, 4).double().transpose(1, 2)


def test_the_prior_by_hand() -> None:
    layer = RelaxedLayer(nn.Linear(1, 2), nn.Linear(2, 1))
    with torch.no_grad():
        layer.eq.weight.copy_(torch.tensor([[1.0], [2.0]]))
        layer.free.weight.copy_(torch.tensor([[3.0, 4.0]]))
        layer.free.bias.fill_(5.0)
    terms = WeightPrior(free=10.0, eq=0.5).penalty(nn.ModuleList([layer, layer]))  # the same layer counts once
    assert {name: float(term.detach()) for name, term in terms.items()} == {
        "prior of free weights": 500.0,  # biases too
        "prior of equivariant weights": 2.5,
    }
    assert WeightPrior(0.0, 0.0).penalty(layer) == {}


def fitted(free: float, target: Tensor, *, has_branch: bool = True) -> tuple[float, float]:
    """Least squares of target x on few samples: |(I - P) W_free| over |W_eq + W_free|, and the loss."""
    rng = seeded("rpp")
    x = torch.randn(2, 4, generator=rng, dtype=torch.float64)
    torch.manual_seed(0)
    eq = SharedLinear.equivariant(QUARTERS, QUARTERS, bias=False).double()
    branch = nn.Linear(4, 4, bias=False).double()
    layer = RelaxedLayer(eq, branch, is_trained=False, gate=float(has_branch))
    prior = WeightPrior(free=free, eq=1e-6)
    descent = torch.optim.LBFGS(layer.parameters(), max_iter=400, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def loss() -> Tensor:
        return (layer(x) - x @ target.T).square().mean()

    def closure() -> Tensor:
        descent.zero_grad()
        total = loss() + sum(prior.penalty(layer).values())
        total.backward()
        return total

    descent.step(closure)
    whole = eq.weight.detach() + branch.weight.detach()
    distance = projection_distance(branch.weight.detach(), MATRICES, MATRICES)
    return float(distance / whole.norm()), float(loss().detach())


def test_the_prior_pulls_to_the_equivariant_maps_where_the_data_are_symmetric_and_yields_where_not() -> None:
    torch.manual_seed(1)
    symmetric = SharedLinear.equivariant(QUARTERS, QUARTERS, bias=False).double().weight.detach()
    without, _ = fitted(0.0, symmetric)
    pulled, _ = fitted(1e-2, symmetric)
    assert without > 0.1
    assert pulled < 1e-2 * without
    broken = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0])).double()
    far, loss = fitted(1e-3, broken)
    _, strict = fitted(1e-3, broken, has_branch=False)
    assert far > 100 * pulled
    assert loss < strict


def test_a_fresh_network_with_a_small_branch_and_its_parameter_groups() -> None:
    """The last matrix of a branch is scaled; the matrices under a prior are trained without decay, and no others."""
    variant = Variant("v", SMALL, methods=(ResidualPathwayPrior(hidden=8, scale=0.01),))
    whole = replace(variant, methods=(ResidualPathwayPrior(hidden=8, scale=1.0),))
    model, twin = build_model(TASK, variant), build_model(TASK, whole)
    for layer, other in zip(relaxed_layers(model), relaxed_layers(twin), strict=True):
        torch.testing.assert_close(layer.free.linear_2.weight, 0.01 * other.free.linear_2.weight)
        assert not isinstance(layer.gate, nn.Parameter)
        assert float(layer.gate) == 1.0
    groups = variant.methods[0].control(model, 10).param_groups()
    assert all(group.weight_decay == 0.0 and group.lr is None for group in groups)
    owned = [id(weight) for group in groups for weight in group.params]
    expected = weights_under_prior(model, "free") + weights_under_prior(model, "equivariant")
    assert owned == [id(weight) for weight in expected]
    assert len(weights_under_prior(model, "free")) == 2 * 4
    assert all(weight.dim() >= 2 for weight in weights_under_prior(model, "equivariant"))
    flat = build_model(TASK, replace(variant, model=FLAT))
    free = {id(weight) for weight in weights_under_prior(flat, "free")}
    for layer in relaxed_layers(flat):
        assert not free & {id(weight) for weight in layer.free.norm.parameters()}
        assert id(layer.free.kernel.weight) in free
    assert ResidualPathwayPrior(free=0.0, eq=0.0).control(model, 10).param_groups() == []


@pytest.mark.parametrize("model", [SMALL, FLAT], ids=["R3xS2", "R3"])
@pytest.mark.parametrize("method", [ResidualPathwayPrior(hidden=8, scale=1.0), ProjectionPenalty(scale=0.05)])
def test_projected_views_are_exact_before_and_after_training_and_full_ones_are_not(
    tmp_path: Path, model: RapidashConfig, method: ResidualPathwayPrior | ProjectionPenalty
) -> None:
    variant = Variant("v", model, methods=(method,))
    assert variant.primary_view == FULL
    for network in (build_model(TASK, variant), trained(variant, tmp_path)[0]):
        some = E(3).sample(12, generator=seeded("elements"))
        elements = every_rotation_of_the_grid(network) if model is SMALL else some
        with in_view(network, variant.methods, PROJECTED):
            assert error(network, elements) < 1e-10
        assert error(network, elements) > 1e-3
        assert method.finish(network) is network
    assert view_ledger(TASK, variant, PROJECTED).effective.name == "E(3)"
    assert view_ledger(TASK, variant, FULL).effective.name == "T(3)"


def test_the_projected_view_of_the_penalty_has_the_average_and_not_nothing() -> None:
    """A map that is its own average is the same in both views."""
    method = ProjectionPenalty(scale=0.5)
    network = build_model(TASK, Variant("v", SMALL, methods=(method,)))
    batch = TASK.dataset("val").batch(torch.arange(3))

    def predictions() -> tuple[Tensor, Tensor]:
        with torch.no_grad(), in_view(network, (method,), PROJECTED):
            projected = network(batch)
        with torch.no_grad():
            return network(batch), projected

    assert not torch.allclose(*predictions())
    with torch.no_grad():
        for layer in relaxed_layers(network):
            layer.free.weight.copy_(layer.free.averaged_weight())
    torch.testing.assert_close(*predictions())
    assert "averaged over the group" in view_ledger(TASK, Variant("v", SMALL, methods=(method,)), PROJECTED).reasons[-1]


def test_a_large_penalty_brings_the_maps_to_the_equivariant_ones(tmp_path: Path) -> None:
    steps = replace(STEPS, steps=60, eval_every=60, checkpoint_every=60, learning_rate=1e-2)
    rows = {}
    for weight in (0.0, 100.0):
        variant = Variant("v", SMALL, methods=(ProjectionPenalty(weight=weight),))
        _, result = trained(variant, tmp_path / str(weight), steps)
        rows[weight] = [value for name, value in result.history[-1].items() if name.startswith("value/distance")]
    assert len(rows[0.0]) == 2
    assert all(close < 0.7 * far for close, far in zip(rows[100.0], rows[0.0], strict=True))


def test_what_is_not_allowed_is_said() -> None:
    for make, message in (
        (lambda: ProjectionPenalty(weight=-1.0), "weight must be at least 0 and finite, as the weight of a penalty"),
        (lambda: ProjectionPenalty(scale=0.0), "scale must be positive and finite, got 0.0"),
        (lambda: WeightPrior(-1.0, 0.0), "free must be at least 0 and finite, as the inverse variance of a prior"),
        (lambda: ResidualPathwayPrior(eq=-1.0), "eq must be at least 0 and finite, as the inverse variance"),
        (lambda: ResidualPathwayPrior(hidden=0), "hidden must be at least 1 and scale positive, got 0"),
        (lambda: ResidualPathwayPrior(sees="all"), "sees must be one of 'directions', 'positions', got 'all'"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
