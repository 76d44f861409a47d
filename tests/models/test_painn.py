"""PaiNN against its formula, written out edge by edge; its symmetry, its cutoff, and what it refuses."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu

from rapidash.groups import E, Position, Vector
from rapidash.measure import Action, equivariance_error
from rapidash.models import Interface, PaiNN, PaiNNConfig
from tests.models.conftest import Inputs, random_inputs

SIZES: dict[str, Any] = {"in_scalars": 2, "in_pairs": 1, "out_scalars": 2}
NODE = Interface(out_vectors=2, level="node", **SIZES)


def built(io: Interface = NODE, **changes: Any) -> PaiNN:
    torch.manual_seed(0)
    return PaiNNConfig(**({"channels": 4, "num_layers": 2, "num_radial": 3} | changes)).build(io).double().eval()


def by_hand(model: PaiNN, x: Inputs, reach: float, cutoff: bool) -> tuple[Tensor, Tensor]:
    """Scalars (N, C) and vectors (N, C, 3) after all layers."""
    n = len(x.pos)
    s, v = x.scalars @ model.embedding.weight.T + model.embedding.bias, torch.zeros(n, 4, 3, dtype=torch.float64)
    for layer in model.layers:
        linear, _, last = layer.message
        phi = silu(s @ linear.weight.T + linear.bias) @ last.weight.T + last.bias
        new_s, new_v = s.clone(), v.clone()
        for i in range(n):
            for j in range(n):
                offset = x.pos[j] - x.pos[i]
                r = float(offset.norm())
                if i == j or x.batch[i] != x.batch[j] or (cutoff and r > reach):
                    continue
                seen = [math.sin(k * math.pi * r / reach) / r * reach for k in (1, 2, 3)]
                seen = torch.cat([torch.tensor(seen, dtype=torch.float64), x.pairs[i] * x.pairs[j]])
                window = (1 + math.cos(math.pi * r / reach)) / 2 if cutoff else 1.0
                a, b, c = (phi[j] * (layer.filter.weight @ seen + layer.filter.bias) * window).split(4)
                new_s[i] += a
                new_v[i] += b[:, None] * v[j] + c[:, None] * offset / r
        u, w = (torch.einsum("ab,nbd->nad", m, new_v) for m in layer.mix.weight.split(4))
        linear, _, last = layer.update
        both = torch.cat([new_s, w.square().sum(dim=2).sqrt()], dim=1)
        a = silu(both @ linear.weight.T + linear.bias) @ last.weight.T + last.bias
        s = new_s + a[:, :4] + a[:, 4:8] * (u * w).sum(dim=2)
        v = new_v + a[:, 8:, None] * u
    return s, v


@pytest.mark.parametrize("edges", ["fc", "radius-1.5"])
def test_features_and_outputs_are_those_of_the_formula(edges: str) -> None:
    model, x = built(edges=edges), random_inputs(3, 1, sizes=(5, 4))
    model.calibrate(x.pos, x.batch, scalars=x.scalars, pairs=x.pairs)
    largest = max(float((a - b).norm()) for c in (0, 1) for a in x.pos[x.batch == c] for b in x.pos[x.batch == c])
    reach = 1.5 if edges == "radius-1.5" else 1.5 * largest
    s, v = by_hand(model, x, reach, cutoff=edges != "fc")
    out = model(x.pos, x.batch, scalars=x.scalars, pairs=x.pairs)
    found = model.head(s)
    torch.testing.assert_close(out.scalars, found[:, :2])
    mixed = torch.einsum("ab,nbd->nad", model.vector_mix.weight, v)
    torch.testing.assert_close(out.vectors, found[:, 2:, None] * mixed)
    assert float(out.vectors.detach().norm()) > 1e-3


def test_it_is_equivariant_to_motions_and_reflections() -> None:
    model, x = built(), random_inputs(3, 0, sizes=(5, 4))
    assert model.symmetry == model.exact_symmetry == E(3)
    action = Action(E(3), {"pos": Position()}, Vector())

    def vectors(pos: Tensor) -> Tensor:
        return model(pos, x.batch, scalars=x.scalars, pairs=x.pairs).vectors[:, 0]

    assert equivariance_error(vectors, {"pos": x.pos}, action).max < 1e-10


def test_messages_end_smoothly_at_the_cutoff() -> None:
    """A point that crosses the radius changes nothing, also in the forces."""
    model = built(Interface(in_scalars=1, level="graph"), edges="radius-1.0")
    ones = torch.ones(3, 1, dtype=torch.float64)

    def energy_and_force(far: float) -> tuple[float, Tensor]:
        pos = torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [0.5 + far, 0.1, 0]], dtype=torch.float64, requires_grad=True)
        energy = model(pos, scalars=ones).scalars.sum()
        return float(energy.detach()), torch.autograd.grad(energy, pos)[0]

    edge = math.sqrt(1 - 0.01)
    inside, outside = energy_and_force(edge - 1e-7), energy_and_force(edge + 1e-7)
    assert inside[0] == pytest.approx(outside[0], abs=1e-12)
    torch.testing.assert_close(inside[1], outside[1], rtol=0, atol=1e-6)
    assert abs(energy_and_force(edge - 0.2)[0] - outside[0]) > 1e-6


def test_calibration_takes_large_inputs_down_and_leaves_small_ones_alone() -> None:
    """Positions and charges as of particles in a large box: three layers would be at 1e30."""
    x = random_inputs(3, 0, sizes=(5, 4))
    for factor, changed in ((1.0, 0), (20.0, 3)):
        model = built(channels=32, num_layers=3, num_radial=20)
        before = [layer.update[-1].weight.clone() for layer in model.layers]
        scalars = factor * x.scalars
        model.calibrate(x.pos, x.batch, scalars=scalars, pairs=x.pairs)
        ratios = [float((old / layer.update[-1].weight).mean().detach()) for old, layer in zip(before, model.layers)]
        assert all(math.log2(ratio) == pytest.approx(round(math.log2(ratio))) for ratio in ratios)
        assert sum(ratio > 1.5 for ratio in ratios) == changed
        out = model(x.pos, x.batch, scalars=scalars, pairs=x.pairs)
        assert float(out.scalars.detach().abs().max()) < 1e4


def test_points_on_top_of_each_other_have_finite_outputs_and_gradients() -> None:
    model, pos = (
        built(Interface(in_scalars=1, level="graph")),
        torch.zeros(3, 3, dtype=torch.float64, requires_grad=True),
    )
    out = model(pos, scalars=torch.ones(3, 1, dtype=torch.float64)).scalars.sum()
    (gradient,) = torch.autograd.grad(out, pos)
    assert bool(torch.isfinite(gradient).all())
    assert math.isfinite(float(out.detach()))


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match="num_radial"):
        PaiNNConfig(num_radial=0)
    with pytest.raises(ValueError, match="symmetry of a baseline"):
        PaiNNConfig(symmetry="SE(3)")
    with pytest.raises(ValueError, match="in_vectors must be 0, got 1"):
        PaiNNConfig().build(Interface(in_scalars=1, in_vectors=1))
