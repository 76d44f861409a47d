"""No measure changes the model, its mode, its gradients or the random state, on the CPU and on a GPU."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import SO, Scalar, Vector
from rapidash.measure import (
    Action,
    check_equivariance,
    empirical_equivariance_deviation,
    equivariance_error,
    equivariance_gap,
    invariance_scores,
    invariance_similarity,
    layerwise_equivariance_error,
    lie_derivative,
    local_equivariance_error,
    precision_check,
    relative_rms_deviation,
    symmetry_loss_share,
)

ACTION = Action(SO(3), Vector(), Scalar())
MEASURES: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "error": lambda m, x: equivariance_error(m, x, ACTION, num_elements=2),
    "check": lambda m, x: check_equivariance(m, x, ACTION, num_elements=2),
    "forward": lambda m, x: lie_derivative(m, x, ACTION),
    "double backward": lambda m, x: lie_derivative(m, x, ACTION, method="double_backward"),
    "difference": lambda m, x: lie_derivative(m, x, ACTION, method="difference"),
    "local": lambda m, x: local_equivariance_error(m, x, ACTION),
    "layers": lambda m, x: layerwise_equivariance_error(m, x, ACTION, Scalar()),
    "probes": lambda m, x: layerwise_equivariance_error(m, x, ACTION, Scalar(), method="hutchinson", probes=2),
    "predictions": lambda m, x: invariance_scores(m, x, ACTION, num_elements=2),
    "features": lambda m, x: invariance_similarity(m, x, ACTION, num_elements=2),
    "deviation": lambda m, x: empirical_equivariance_deviation(m, x, ACTION, num_elements=2),
    "relative deviation": lambda m, x: relative_rms_deviation(m, x, ACTION, num_elements=2),
    "loss share": lambda m, x: symmetry_loss_share(m, x, x.new_ones(12, 4), ACTION, num_elements=2),
    "gap": lambda m, x: equivariance_gap(m, x, lambda y: y.square().sum(), ACTION, num_elements=2),
    "precision": lambda m, x: precision_check(m.float(), x.float(), ACTION, num_elements=2),
}


class Noisy(nn.Module):
    """Every kind of state: parameters with gradients, batch statistics, dropout, and (at will) random numbers."""

    def __init__(self, *, is_random: bool = False) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4))
        self.is_random = is_random

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + (0 * torch.rand(()) if self.is_random else 0)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", MEASURES)
def test_nothing_is_left_behind(name: str, device: str) -> None:
    torch.manual_seed(0)
    model = Noisy(is_random=device == "cpu").to(device).double().eval()
    x = torch.randn(12, 3, generator=seeded(0), dtype=torch.float64).to(device)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    if name == "precision":
        model, x = model.float(), x.float()
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
    state, random_state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    MEASURES[name](model, x)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(state[k], v) and v.device == state[k].device for k, v in model.state_dict().items())
    assert all(torch.equal(p.grad, torch.ones_like(p)) and p.requires_grad for p in model.parameters())
    assert not any(part.training for part in model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


@pytest.mark.parametrize("name", MEASURES)
def test_training_mode_is_refused_everywhere(name: str) -> None:
    model = Noisy().double().eval()
    model.net[3].train()
    x = torch.randn(12, 3, generator=seeded(0), dtype=torch.float64)
    with pytest.raises(ValueError, match="training mode"):
        MEASURES[name](model, x)
