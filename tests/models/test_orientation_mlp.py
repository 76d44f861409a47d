"""Networks whose channel maps have a weight for each part of a signal on the orientations."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu

from rapidash.models import Rapidash
from rapidash.nn import OrientationLinear

SMALL: dict[str, Any] = {
    "grid": "platonic",
    "in_scalars": 2,
    "out_scalars": 1,
    "out_vectors": 1,
    "channels": 8,
    "num_layers": 2,
    "basis_dim": 8,
    "layer_scale": 0.5,
}


def clouds() -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    pos, scalars = (torch.randn(14, size, generator=rng, dtype=torch.float64) for size in (3, 2))
    return pos, torch.arange(2).repeat_interleave(7), scalars


@pytest.mark.parametrize("maps", ["bandlimited", "irreps"])
@pytest.mark.parametrize("symmetry", ["E(3)", "SE(3)"])
@pytest.mark.parametrize("num", [4, 6, 8, 12, 20])
def test_every_motion_of_the_grid_is_kept_exactly(maps: str, symmetry: str, num: int) -> None:
    torch.manual_seed(0)
    model = Rapidash(symmetry=symmetry, num_orientations=num, orientation_mlp=maps, **SMALL).double()
    pos, batch, scalars = clouds()
    motions = model.exact_symmetry.linear.elements
    assert len(motions) == {4: 12, 6: 24, 8: 24, 12: 60, 20: 60}[num] * (2 if symmetry == "E(3)" else 1)
    with torch.no_grad():
        out = model(pos, batch, scalars=scalars)
        for g in motions:
            moved = model(pos @ g.T + 0.3, batch, scalars=scalars)
            torch.testing.assert_close(moved.scalars, out.scalars, rtol=0, atol=1e-10)
            torch.testing.assert_close(moved.vectors, out.vectors @ g.T, rtol=0, atol=1e-10)


def test_a_block_is_its_formula() -> None:
    """x + s (W2 GELU(W1 LayerNorm(conv(x)))), each map by its parts, written out; with a readout after it."""
    torch.manual_seed(0)
    model = Rapidash(num_orientations=12, orientation_mlp="bandlimited", **SMALL).double()
    (block, *_), x = model.blocks, torch.randn(5, 12, 8, dtype=torch.float64)
    block.conv = torch.nn.Identity()
    block.conv.forward = lambda x, *_: x
    centered = x - x.mean(dim=-1, keepdim=True)
    normed = centered / (centered.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    hidden, mapped = normed, []
    for layer in (block.linear_1, block.linear_2):
        assert isinstance(layer, OrientationLinear)
        assert [(part.dim, part.copies) for part in layer.parts] == [(1, 1), (3, 1)]
        mean = hidden.mean(dim=1, keepdim=True)
        dipole = torch.einsum("oi,mod->mid", model.grid, hidden) * 3 / 12  # of a grid that integrates degree 2 exactly
        dipole = torch.einsum("oi,mid->mod", model.grid, dipole)
        mapped.append(mean @ layer.weights[0].T + dipole @ layer.weights[1].T + layer.bias)
        hidden = gelu(mapped[-1])
    edges = SimpleNamespace(backend="auto"), None, None
    torch.testing.assert_close(block(x, *edges), x + 0.5 * mapped[1], rtol=0, atol=1e-12)
    output = torch.nn.Linear(8, 2).double()
    torch.testing.assert_close(block(x, *edges, output=output), output(x + 0.5 * mapped[1]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("maps", ["bandlimited", "irreps"])
def test_a_saved_network_comes_back(tmp_path: Path, maps: str) -> None:
    model = Rapidash(num_orientations=12, orientation_mlp=maps, bandlimit=2, **SMALL)
    again = Rapidash.from_pretrained(model.save_pretrained(tmp_path / "network"))
    assert again.config == model.config
    assert (again.config.orientation_mlp, again.config.bandlimit) == (maps, 2)
    pos, batch, scalars = (tensor if tensor.dtype == torch.long else tensor.float() for tensor in clouds())
    assert torch.equal(again(pos, batch, scalars=scalars).vectors, model(pos, batch, scalars=scalars).vectors)


@pytest.mark.parametrize("maps", ["bandlimited", "irreps"])
@pytest.mark.parametrize("recompute", [False, True])
def test_compiled_maps_give_values_and_gradients_of_the_definition(maps: str, recompute: bool) -> None:
    torch.manual_seed(0)
    settings = SMALL | {"channels": 16, "recompute": recompute, "kernel": "exact"}
    model = Rapidash(num_orientations=12, orientation_mlp=maps, **settings)
    pos, batch, scalars = (tensor if tensor.dtype == torch.long else tensor.float() for tensor in clouds())
    model.calibrate(pos, batch, scalars=scalars)
    found = []
    for network in (model.with_kernel("exact", backend="reference"), model.with_kernel("exact")):
        out = network(pos, batch, scalars=scalars)
        loss = out.scalars.square().sum() + out.vectors.square().sum()
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        found.append([out.scalars.detach(), out.vectors.detach(), *gradients])
    for want, got in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4 * max(1.0, float(want.abs().max())))


def test_all_weights_learn_and_forces_have_gradients() -> None:
    model = Rapidash(num_orientations=6, orientation_mlp="irreps", **SMALL).double()
    pos, batch, scalars = clouds()
    pos.requires_grad_()
    energy = model(pos, batch, scalars=scalars).scalars.sum()
    (force,) = torch.autograd.grad(energy, pos, create_graph=True)
    force.square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for block in model.blocks for weight in block.linear_1.weights)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_outputs_have_the_degrees_that_the_maps_keep(degree: int) -> None:
    """All but the trace of a tensor is of degree 2, and a vector of degree 1: refused where they would be zero."""
    settings = SMALL | {"num_orientations": 12, "out_vectors": int(degree > 0), "out_tensors": int(degree > 1)}
    model = Rapidash(**settings, orientation_mlp="bandlimited", bandlimit=degree).double()
    pos, batch, scalars = clouds()
    with torch.no_grad():
        out = model(pos, batch, scalars=scalars)
    if degree > 0:
        assert float(out.vectors.abs().max()) > 1e-4
    if degree > 1:
        trace = out.tensors.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] * torch.eye(3, dtype=torch.float64)
        assert float((out.tensors - trace).abs().max()) > 1e-4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": "R3"}, "orientation_mlp='bandlimited' needs orientations, and space R3 has none"),
        ({"orientation_mlp": "bands"}, "orientation_mlp"),
        ({"bandlimit": 3}, "bandlimit=3 needs 16 components, which 12 orientations do not tell apart"),
        ({"orientation_mlp": "irreps", "grid": "fibonacci"}, "use grid='platonic' with 4, 6, 8, 12 or 20"),
        ({"out_tensors": 1}, "out_tensors=1 needs degree 2 .* bandlimit=1 keeps less: use bandlimit=2"),
        ({"out_vectors": 3, "bandlimit": 0}, "out_vectors=3 needs degree 1 .* bandlimit=0 keeps less: use bandlimit=1"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    settings = SMALL | {"num_orientations": 12, "orientation_mlp": "bandlimited", "out_vectors": 0} | changes
    with pytest.raises(ValueError, match=message):
        Rapidash(**settings)
