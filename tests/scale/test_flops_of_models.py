"""Counted operations against closed forms, and what cannot be counted."""

import pytest
import torch
from torch import nn

from rapidash.methods import Variant, build_model
from rapidash.models import RapidashConfig
from rapidash.scale import count_flops
from rapidash.tasks import get_task


def test_linear_maps_and_contractions_by_hand() -> None:
    model = nn.Sequential(nn.Linear(7, 5), nn.GELU(), nn.Linear(5, 3, bias=False))
    assert count_flops(model, torch.randn(11, 7)) == 2 * 11 * (7 * 5 + 5 * 3)
    # the input needs no gradient: of the first map only that of its weight
    assert count_flops(model, torch.randn(11, 7), backward=True) == 2 * 11 * (2 * 7 * 5 + 3 * 5 * 3)
    assert all(parameter.grad is None for parameter in model.parameters())


class Contraction(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bij,bjk->bik", x, x)


def test_einsum_by_hand() -> None:
    assert count_flops(Contraction(), torch.randn(4, 6, 6)) == 2 * 4 * 6**3


@pytest.mark.parametrize("space", ["R3", "R3xS2"])
def test_a_training_pass_is_three_passes_within_five_per_cent(space: str) -> None:
    task = get_task("nbody", num_train=16, num_val=16, num_test=16)
    config = RapidashConfig(space=space, channels=32, num_layers=3, num_orientations=8, kernel="exact")
    torch.manual_seed(0)
    model = build_model(task, Variant("network", config))
    batch = task.dataset("val").batch(torch.arange(16)).to("cpu", torch.float32)
    forward, both = count_flops(model, batch), count_flops(model, batch, backward=True)
    assert both == pytest.approx(3 * forward, rel=0.05)


def test_what_cannot_be_counted_is_named() -> None:
    task = get_task("nbody", num_train=16, num_val=16, num_test=16)
    network = RapidashConfig(symmetry="E(3)", space="R3", channels=8, num_layers=1)
    model = build_model(task, Variant("network", network)).double()
    batch = task.dataset("val").batch(torch.arange(4)).to("cpu", torch.float64)
    for module in model.modules():
        if hasattr(module, "backend"):
            module.backend = "reference"
    with pytest.raises(ValueError, match=r"without a count: (edge_conv|table_conv)"):
        count_flops(model, batch)
