"""SchNet against its formula, written out edge by edge; its symmetry, forces and pinned outputs; what it refuses."""

import math
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from rapidash._plain import from_plain, to_plain
from rapidash.groups import E, Position, Scalar, Vector
from rapidash.measure import Action, equivariance_error
from rapidash.methods import Variant
from rapidash.models import Interface, SchNet, SchNetConfig
from tests.models.conftest import Inputs, random_inputs
from tests.models.test_pinned_outputs import fill, waves

SIZES: dict[str, Any] = {"in_scalars": 2, "in_pairs": 1, "out_scalars": 2}
NODE, ENERGY = Interface(out_vectors=2, level="node", **SIZES), Interface(in_scalars=1)
EDGES = ("fc", "radius-1.5")


def built(io: Interface = NODE, **changes: Any) -> SchNet:
    torch.manual_seed(0)
    return SchNetConfig(**({"channels": 4, "num_layers": 2, "num_radial": 3} | changes)).build(io).double().eval()


def calibrated(x: Inputs, io: Interface = NODE, **changes: Any) -> SchNet:
    model = built(io, **changes)
    model.calibrate(x.pos, x.batch, scalars=x.scalars, pairs=x.pairs)
    return model


def sigma(x: Tensor) -> Tensor:
    return softplus(x) - math.log(2)


def by_hand(model: SchNet, x: Inputs, reach: float, cutoff: bool) -> tuple[Tensor, Tensor]:
    """Features (N, C) and vectors (N, C, 3)."""
    n, edges = len(x.pos), []
    for i in range(n):
        for j in range(n):
            offset = x.pos[j] - x.pos[i]
            r = float(offset.norm())
            if i != j and x.batch[i] == x.batch[j] and not (cutoff and r > reach):
                seen = [math.exp(-((r / reach - middle) ** 2) / (2 * 0.5**2)) for middle in (0, 0.5, 1)]
                seen = torch.cat([torch.tensor(seen, dtype=torch.float64), x.pairs[i] * x.pairs[j]])
                edges.append((i, j, seen, (1 + math.cos(math.pi * r / reach)) / 2 if cutoff else 1.0, offset / r))
    h = model.embedding(x.scalars)
    for layer in model.layers:
        first, _, second = layer.mlp
        taken = torch.zeros(n, 4, dtype=torch.float64)
        for i, j, seen, window, _ in edges:
            taken[i] += (layer.conv.lin1.weight @ h[j]) * second(sigma(first(seen))) * window
        h = h + layer.lin(sigma(layer.conv.lin2(taken)))
    v = torch.zeros(n, 4, 3, dtype=torch.float64)
    if model.vector_filter is not None:
        for i, j, seen, window, direction in edges:
            v[i] += (h[j] * model.vector_filter(seen) * window)[:, None] * direction
    return h, v


@pytest.mark.parametrize("edges", EDGES)
def test_features_and_outputs_are_those_of_the_formula(edges: str) -> None:
    x = random_inputs(3, 1, sizes=(5, 4))
    model = calibrated(x, edges=edges)
    largest = max(float((a - b).norm()) for c in (0, 1) for a in x.pos[x.batch == c] for b in x.pos[x.batch == c])
    reach = 1.5 if edges == "radius-1.5" else 1.5 * largest
    h, v = by_hand(model, x, reach, cutoff=edges != "fc")
    out = model(x.pos, x.batch, scalars=x.scalars, pairs=x.pairs)
    found = model.head(h)
    torch.testing.assert_close(out.scalars, found[:, :2], rtol=1e-6, atol=1e-7)  # the library's coefficient is rounded
    assert model.vector_mix is not None
    mixed = torch.einsum("ab,nbd->nad", model.vector_mix.weight, v)
    torch.testing.assert_close(out.vectors, found[:, 2:, None] * mixed, rtol=1e-6, atol=1e-7)
    assert float(out.vectors.detach().norm()) > 1e-3


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("dim", [2, 3])
def test_it_is_equivariant_to_motions_and_reflections(edges: str, dim: int) -> None:
    x = random_inputs(dim, 0, sizes=(5, 4))
    io = Interface(dim, out_vectors=2, level="node", **SIZES)
    model = calibrated(x, io, edges=edges, symmetry=f"E({dim})")
    assert model.symmetry == model.exact_symmetry == E(dim)

    def values(pos: Tensor) -> dict[str, Tensor]:
        out = model(pos, x.batch, scalars=x.scalars, pairs=x.pairs)
        return {"scalars": out.scalars, "vectors": out.vectors}

    action = Action(E(dim), {"pos": Position()}, {"scalars": Scalar(), "vectors": Vector()})
    assert equivariance_error(values, {"pos": x.pos}, action).max < 1e-10


PINNED = {"fc": (1.291630097, -0.125134779, 0.118602738), "radius-1.5": (1.307511412, -0.122272504, 0.012933489)}


@pytest.mark.parametrize("edges", EDGES)
def test_outputs_are_pinned(edges: str) -> None:
    """Weights and inputs are formulas, so that no initialization decides."""
    model = built(edges=edges)
    fill(model)
    pos, batch = waves("pos", 5, 3) / 2, torch.tensor([0, 0, 0, 1, 1])
    out = model(pos, batch, scalars=waves("scalars", 5, 2), pairs=waves("pairs", 5, 1))
    found = (out.scalars.sum(), out.scalars[2, 1], out.vectors[1, 0, 2])
    assert [float(value.detach()) for value in found] == pytest.approx(PINNED[edges], rel=1e-6)


@pytest.mark.parametrize("edges", EDGES)
def test_forces_are_the_gradient_and_can_be_trained(edges: str) -> None:
    pos = random_inputs(3, 2, sizes=(5,)).pos.requires_grad_()
    model, ones = built(ENERGY, edges=edges), torch.ones(5, 1, dtype=torch.float64)

    def energy(at: Tensor) -> Tensor:
        return model(at, scalars=ones).scalars.sum()

    def forces(at: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(energy(at), at, create_graph=True)
        return -gradient

    step = torch.zeros(5, 3, dtype=torch.float64)
    step[1, 2] = 1e-5
    slope = float(energy(pos + step).detach() - energy(pos - step).detach()) / 2e-5
    assert float(forces(pos)[1, 2].detach()) == pytest.approx(-slope, rel=1e-6)
    assert torch.autograd.gradcheck(forces, pos, fast_mode=True)
    forces(pos).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.layers.parameters())
    assert float(forces(pos).detach().sum(dim=0).abs().max()) < 1e-10


def test_messages_end_smoothly_at_the_cutoff() -> None:
    """A point that crosses the radius changes nothing, also in the vectors and in the gradient."""
    model = built(Interface(in_scalars=1, out_vectors=1), edges="radius-1.0")
    ones = torch.ones(3, 1, dtype=torch.float64)

    def found(far: float) -> tuple[Tensor, Tensor]:
        pos = torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [0.5 + far, 0.1, 0]], dtype=torch.float64, requires_grad=True)
        out = model(pos, scalars=ones)
        values = torch.cat([out.scalars.flatten(), out.vectors.flatten()])
        return values.detach(), torch.autograd.grad(values.sum(), pos)[0]

    edge = math.sqrt(1 - 0.01)
    for inside, outside in zip(found(edge - 1e-7), found(edge + 1e-7), strict=True):
        torch.testing.assert_close(inside, outside, rtol=0, atol=1e-6)
    assert float((found(edge - 0.2)[0] - found(edge + 1e-7)[0]).abs().max()) > 1e-4


def test_points_on_top_of_each_other_have_finite_outputs_and_gradients() -> None:
    model = built(Interface(in_scalars=1, out_vectors=1))
    pos = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    out = model(pos, scalars=torch.ones(3, 1, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(out.scalars.sum() + out.vectors.sum(), pos)
    assert bool(torch.isfinite(gradient).all())
    assert bool(torch.isfinite(out.scalars.detach()).all())


def test_it_is_saved_and_loaded_with_its_reach() -> None:
    x = random_inputs(3, 1, sizes=(5, 4))
    model = calibrated(x)
    variant = Variant("SchNet", SchNetConfig(channels=4, num_layers=2, num_radial=3))
    read = from_plain(Variant, to_plain(variant))
    assert read == variant
    loaded = read.model.build(NODE).double().eval()
    loaded.load_state_dict(model.state_dict())
    first, second = (each(x.pos, x.batch, scalars=x.scalars, pairs=x.pairs) for each in (model, loaded))
    assert float(model.reach) > 2
    assert torch.equal(first.scalars, second.scalars)
    assert torch.equal(first.vectors, second.vectors)


def test_what_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"at least \{'num_radial': 2\}, got \{'num_radial': 1\}"):
        SchNetConfig(num_radial=1)
    with pytest.raises(ValueError, match="symmetry of a baseline"):
        SchNetConfig(symmetry="SE(3)")
    with pytest.raises(ValueError, match="in_vectors must be 0, got 1"):
        SchNetConfig().build(Interface(in_scalars=1, in_vectors=1))
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    with pytest.raises(ImportError, match='SchNet needs torch_geometric: pip install "rapidash'):
        SchNetConfig().build(ENERGY)
