"""Forces by every backend, kernel and precision: the gradient of the energy, with a symmetric Jacobian."""

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from rapidash.groups import SO
from rapidash.models import Rapidash
from rapidash.ops import product_libraries, use_products

SIZES: dict[str, Any] = {"channels": 8, "num_layers": 2, "basis_dim": 8, "basis_hidden_dim": 8, "in_scalars": 1}
MODES = [
    {"space": space, "kernel": kernel, "interpolation": interpolation, "backend": backend}
    for space in ("R3", "R3xS2")
    for kernel, interpolation in (("exact", "linear"), ("tabulated", "linear"), ("tabulated", "cubic"))
    for backend in ("auto", "reference")
] + [{"space": "R3xS2", "orientation_mlp": maps, "channels": 16} for maps in ("bandlimited", "irreps")]


@pytest.fixture(autouse=True)
def fused_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """These networks are so small that their channel MLPs would be left to torch."""
    monkeypatch.setattr(sys.modules["rapidash.ops.channel_mlp"], "FEW", 0)


def network(**changes: Any) -> Rapidash:
    torch.manual_seed(1)
    model = Rapidash(**(SIZES | {"num_orientations": 6, "grid": "platonic"} | changes)).double().eval()
    pos, batch = cloud(torch.float64)
    model.calibrate(pos, batch, scalars=torch.ones_like(pos[:, :1]))
    return model


def cloud(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    pos = torch.randn(5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return pos.to(dtype), torch.zeros(5, dtype=torch.long)


def energy(model: Rapidash, pos: Tensor) -> Tensor:
    """Of positions that need gradients, or kernels chosen by "auto" are not those of the forces."""
    pos = pos if pos.requires_grad else pos.detach().requires_grad_()
    ones = pos.new_ones(len(pos), 1)
    return model(pos, torch.zeros(len(pos), dtype=torch.long), scalars=ones).scalars.sum()


def forces(model: Rapidash, pos: Tensor, create_graph: bool = False) -> Tensor:
    pos = pos if pos.requires_grad else pos.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(model, pos), pos, create_graph=create_graph)
    return -gradient


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_forces_are_the_gradient_and_their_jacobian_is_symmetric(mode: dict[str, Any]) -> None:
    model, (pos, _) = network(**mode), cloud(torch.float64)
    step, found, at = 1e-6, forces(model, pos), pos.clone().requires_grad_()
    flat = pos.flatten()
    for k in range(0, len(flat), 4):
        ends = [energy(model, (flat + s * step * torch.eye(len(flat))[k].double()).view(5, 3)) for s in (1, -1)]
        difference = float((ends[0] - ends[1]).detach()) / (2 * step)
        assert -float(found.flatten()[k]) == pytest.approx(difference, rel=1e-6, abs=1e-7 * float(found.abs().max()))
    own = forces(model, at, create_graph=True).flatten()
    jacobian = torch.stack([torch.autograd.grad(f, at, retain_graph=True)[0].flatten() for f in own])
    torch.testing.assert_close(jacobian, jacobian.T, rtol=0, atol=1e-10 * float(jacobian.abs().max()))
    assert float(jacobian.abs().max()) > 1e-6


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_two_runs_have_the_same_bits(mode: dict[str, Any]) -> None:
    model, (pos, _) = network(**mode).float(), cloud(torch.float32)
    first, second = ((energy(model, pos).detach(), forces(model, pos)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize("space", ["R3", "R3xS2"])
@pytest.mark.parametrize("kind", [*product_libraries(), "bfloat16"])
def test_forces_in_every_precision_are_near_those_of_float64(kind: str, space: str) -> None:
    """float32 to 1e-5 of the largest; operands in bfloat16, which keep 8 binary digits, to 5e-2."""
    model, (pos, _) = network(space=space), cloud(torch.float64)
    expected = forces(model, pos)
    with use_products(kind):
        found = forces(model.float(), pos.float())
    error = float((found - expected).abs().max() / expected.abs().max())
    assert error < (5e-2 if kind == "bfloat16" else 1e-5)
    assert error > (1e-4 if kind == "bfloat16" else 0)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode.get("interpolation") != "cubic"], ids=str)
def test_turned_samples_are_no_augmentation_for_an_equivariant_network(mode: dict[str, Any]) -> None:
    """Loss and gradients of the weights are those of the samples as they are, for the turns of the grid."""
    model, (pos, _) = network(**mode), cloud(torch.float64)
    turn = model.exact_symmetry.sample(1, generator=torch.Generator().manual_seed(3))[0, :3, :3]
    assert not torch.allclose(turn, torch.eye(3, dtype=turn.dtype))
    losses, gradients = [], []
    for seen in (pos, pos @ turn.T):
        at = seen.clone().requires_grad_()
        loss = energy(model, at).square() + forces(model, at, create_graph=True).square().sum()
        model.zero_grad()
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-9 * float(gradients[0].abs().max()))
    other = SO(3).sample(1, generator=torch.Generator().manual_seed(4))[0, :3, :3] * torch.tensor([2.0, 1.0, 1.0])
    changed = energy(model, pos @ other.T.to(pos)).detach() - energy(model, pos).detach()
    assert abs(float(changed)) > 1e-6  # and no other map does
