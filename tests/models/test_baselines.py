"""Networks of libraries behind the interface of Rapidash: their formula, their symmetry, and what they refuse."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from rapidash._plain import from_plain, to_plain
from rapidash.geometry import fully_connected_edges
from rapidash.groups import SO, E, Position, Scalar, T, Vector
from rapidash.measure import Action, assert_equivariant, equivariance_error
from rapidash.methods import Variant
from rapidash.models import Baseline, BaselineConfig, DGCNNConfig, EGNNConfig, Interface, RapidashConfig, RapidashOutput
from rapidash.models._dgcnn import nearest_in_features
from rapidash.models._pooling import pool_points
from tests.models.conftest import Inputs, random_inputs

WIDTH: dict[str, Any] = {"channels": 8, "num_layers": 2}
SIZES: dict[str, Any] = {"in_scalars": 2, "in_pairs": 1, "out_scalars": 2}


class Case(NamedTuple):
    """The knobs of a baseline, and its sizes."""

    config: BaselineConfig
    io: Interface


CASES = {
    "EGNN": Case(EGNNConfig(**WIDTH), Interface(out_vectors=1, level="node", **SIZES)),
    "EGNN, frequencies": Case(EGNNConfig(num_fourier=2, **WIDTH), Interface(level="node", **SIZES)),
    "EGNN, neighbors": Case(EGNNConfig(edges="knn-3", **WIDTH), Interface(out_vectors=1, **SIZES)),
    "EGNN, pooled features": Case(EGNNConfig(pools_features=True, **WIDTH), Interface(**SIZES)),
    "EGNN in the plane": Case(
        EGNNConfig(symmetry="E(2)", **WIDTH), Interface(dim=2, out_vectors=1, level="node", **SIZES)
    ),
    "DGCNN": Case(DGCNNConfig(**WIDTH), Interface(out_vectors=2, level="node", **SIZES)),
    "DGCNN, means": Case(DGCNNConfig(aggregate="mean", pool="mean", **WIDTH), Interface(out_vectors=1, **SIZES)),
    "DGCNN, dynamic": Case(
        DGCNNConfig(edges="knn-3", is_dynamic=True, norm="batch", pools_features=True, dropout=0.5, **WIDTH),
        Interface(**SIZES),
    ),
    "DGCNN in the plane": Case(
        DGCNNConfig(symmetry="T(2)", **WIDTH), Interface(dim=2, out_vectors=1, level="node", **SIZES)
    ),
}


def network(case: Case, seed: int = 0) -> Baseline:
    torch.manual_seed(seed)
    model = case.config.build(case.io)
    assert isinstance(model, Baseline)
    return model.double().eval()


def clouds(case: Case, seed: int = 0) -> Inputs:
    return random_inputs(case.io.dim, seed, sizes=(5, 3, 7))


def run(model: Baseline, x: Inputs) -> RapidashOutput:
    return model(x.pos, x.batch, scalars=x.scalars, pairs=x.pairs)


def action_error(model: Baseline, group: Any, x: Inputs) -> float:
    """The largest relative equivariance error of scalars and vectors, over random elements."""

    def values(pos: Tensor) -> dict[str, Tensor]:
        out = run(model, x._replace(pos=pos))
        return {"scalars": out.scalars} | ({"vectors": out.vectors} if out.vectors.numel() else {})

    outputs = {"scalars": Scalar(), "vectors": Vector()} if model.io.out_vectors else {"scalars": Scalar()}
    return equivariance_error(values, {"pos": x.pos}, Action(group, {"pos": Position()}, outputs)).max


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_single_clouds_are_those_of_the_batch(case: str) -> None:
    io = CASES[case].io
    model, x = network(CASES[case]), clouds(CASES[case])
    out = run(model, x)
    rows = 15 if io.level == "node" else 3
    assert out.scalars.shape == (rows, 2)
    assert out.vectors.shape == (rows, io.out_vectors, io.dim)
    second = x.batch == 1
    alone = model(x.pos[second], scalars=x.scalars[second], pairs=x.pairs[second])
    kept = second if io.level == "node" else torch.tensor([False, True, False])
    torch.testing.assert_close(alone.scalars, out.scalars[kept])
    torch.testing.assert_close(alone.vectors, out.vectors[kept])


@pytest.mark.parametrize("case", CASES)
def test_the_symmetry_that_is_claimed_holds_and_rotations_of_the_other_are_broken(case: str) -> None:
    config, io = CASES[case]
    model, x, dim = network(CASES[case]), clouds(CASES[case]), io.dim
    assert config.takes == ("invariants" if config.kind == "EGNN" else "components")
    assert model.symmetry == model.exact_symmetry == (E(dim) if config.kind == "EGNN" else T(dim))
    assert action_error(model, T(dim), x) < 1e-10
    turned = action_error(model, SO(dim), x)
    assert turned < 1e-10 if config.kind == "EGNN" else turned > 1e-3


def test_in_float32_the_egnn_is_equivariant_up_to_rounding() -> None:
    model, x = network(CASES["EGNN"]).float(), random_inputs(3, 0, sizes=(5, 3, 7), dtype=torch.float32)
    assert_equivariant(
        lambda pos: run(model, x._replace(pos=pos)).vectors[:, 0], x.pos, Action(SO(3), Position(), Vector()), rtol=1e-5
    )


def test_an_egnn_layer_is_the_published_formula_with_gates() -> None:
    """From the weights of its layer, with loops: every other point of the cloud sends a message."""
    config = replace(CASES["EGNN"].config, num_layers=1)
    model, x = network(CASES["EGNN"]._replace(config=config)), random_inputs(3, 1, sizes=(4,))
    (layer,) = model.layers
    h = model.embedding(x.scalars)
    moved, messages = torch.zeros(4, 3).double(), torch.zeros(4, config.channels).double()
    for i in range(4):
        for j in set(range(4)) - {i}:
            offset = x.pos[j] - x.pos[i]
            m = layer.edge_mlp(torch.cat([h[i], h[j], x.pairs[i] * x.pairs[j], offset.square().sum()[None]]))
            moved[i] += layer.coors_norm.scale * offset / offset.norm() * layer.coors_mlp(m)
            messages[i] += layer.edge_weight(m) * m
    normed = (h - h.mean()) / (h.std(correction=0) + layer.node_norm.eps)
    out = h + layer.node_mlp(torch.cat([normed, messages], dim=1))
    found = run(model, x)
    torch.testing.assert_close(found.vectors[:, 0], moved)
    torch.testing.assert_close(found.scalars, model.head(out), atol=1e-6, rtol=1e-5)


def test_an_edge_convolution_is_the_largest_message() -> None:
    config = replace(CASES["DGCNN"].config, num_layers=1, edges="knn-2")
    model, x = network(CASES["DGCNN"]._replace(config=config)), random_inputs(3, 1, sizes=(4,))
    (layer,) = model.layers
    h = torch.cat([x.scalars, x.pairs, x.pos - x.pos.mean(dim=0)], dim=1)
    near = torch.cdist(x.pos, x.pos).topk(2, largest=False).indices
    messages = [torch.stack([layer.nn(torch.cat([h[i], h[j] - h[i]])) for j in near[i]]) for i in range(4)]
    out = torch.stack([found.max(dim=0).values for found in messages])
    torch.testing.assert_close(run(model, x).scalars, model.head(out)[:, :2])


def test_neighbors_in_the_features_are_those_of_the_same_cloud() -> None:
    features = torch.tensor([[0.0], [5.0], [1.0], [1.2], [0.9]])
    edges = nearest_in_features(features, [2, 3], 2)
    found = sorted(zip(edges[1].tolist(), edges[0].tolist()))  # target, source
    assert found == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (2, 4), (3, 2), (3, 3), (4, 2), (4, 4)]
    assert nearest_in_features(features, [2, 3], 3).shape == (2, 2 * 2 + 3 * 3)  # no more than the cloud has


@pytest.mark.parametrize("pool", ["sum", "mean", "max"])
def test_pooling_by_hand(pool: str) -> None:
    values, batch = torch.tensor([[1.0, -2.0], [3.0, -4.0], [-5.0, 6.0]]), torch.tensor([0, 0, 2])
    expected = {
        "sum": [[4, -6], [0, 0], [-5, 6]],
        "mean": [[2, -3], [0, 0], [-5, 6]],
        "max": [[3, -2], [0, 0], [-5, 6]],
    }
    assert pool_points(values, batch, 3, pool).tolist() == expected[pool]  # type: ignore[arg-type]


def test_calibration_takes_the_unit_of_length_off_an_egnn() -> None:
    config = CASES["EGNN"]
    x = clouds(config)
    here, far = network(config), network(config)
    here.calibrate(x.pos, x.batch, scalars=x.scalars, pairs=x.pairs)
    far.calibrate(7 * x.pos, x.batch, scalars=x.scalars, pairs=x.pairs)
    edges = fully_connected_edges(x.batch)
    edges = edges[:, edges[0] != edges[1]]
    distance = (x.pos[edges[0]] - x.pos[edges[1]]).norm(dim=1)
    nearest = torch.stack([distance[edges[1] == i].min() for i in range(len(x.pos))])
    torch.testing.assert_close(here.length_unit, nearest.mean())
    before, after = run(here, x), run(far, x._replace(pos=7 * x.pos))
    torch.testing.assert_close(after.scalars, before.scalars)
    torch.testing.assert_close(after.vectors, 7 * before.vectors)


@pytest.mark.parametrize("case", ["EGNN, frequencies", "DGCNN, means"])
def test_forces_can_be_trained(case: str) -> None:
    """The gradient of a force with respect to positions and weights exists and is right."""
    model, x = network(CASES[case]._replace(io=replace(CASES[case].io, out_vectors=0))), clouds(CASES[case])

    def forces(pos: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(run(model, x._replace(pos=pos)).scalars.sum(), pos, create_graph=True)
        return gradient

    assert torch.autograd.gradcheck(forces, x.pos.clone().requires_grad_(), fast_mode=True)
    forces(x.pos.clone().requires_grad_()).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.layers.parameters())


@pytest.mark.parametrize("case", CASES)
def test_a_variant_of_a_baseline_survives_json(case: str) -> None:
    variant = Variant(case, CASES[case].config)
    assert from_plain(Variant, to_plain(variant)) == variant
    assert from_plain(Variant, to_plain(replace(variant, model=RapidashConfig()))).model == RapidashConfig()
    misspelled = to_plain(variant)
    misspelled["model"]["chanels"] = 3
    with pytest.raises(ValueError, match=r"\w+Config field 'chanels'.*did you mean 'channels'"):
        from_plain(Variant, misspelled)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EGNNConfig(channels=0), r"at least \{'channels': 1\}, got \{'channels': 0\}"),
        (lambda: EGNNConfig(pool="max"), "unknown pool of a baseline 'max'"),
        (lambda: EGNNConfig(symmetry="T(3)"), r"unknown symmetry of a baseline 'T\(3\)', expected one of 'E\(3\)'"),
        (lambda: EGNNConfig(edges="knn"), "unknown edges 'knn'"),
        (lambda: EGNNConfig(dropout=0.5), "dropout=0.5 is for pools_features=True"),
        (lambda: EGNNConfig(dropout=1.0, pools_features=True), r"dropout must be in \[0, 1\), got 1.0"),
        (lambda: DGCNNConfig(is_dynamic=True), "is_dynamic needs edges 'knn-K', got 'fc'"),
        (lambda: DGCNNConfig(norm="group"), "unknown norm of a baseline 'group'"),
        (lambda: EGNNConfig().build(Interface(in_scalars=1, in_vectors=1)), "in_vectors must be 0, got 1"),
        (lambda: EGNNConfig().build(Interface()), "in_scalars of at least 1, got 0"),
        (lambda: EGNNConfig().build(Interface(in_scalars=1, out_vectors=2)), "at most one vector, got out_scalars=1"),
        (lambda: EGNNConfig().build(Interface(in_scalars=1, out_scalars=0, out_vectors=1)), "at least one scalar"),
        (lambda: DGCNNConfig().build(Interface(in_scalars=1, out_scalars=0)), "needs an output"),
        (lambda: EGNNConfig().build(Interface(2, in_scalars=1)), r"symmetry 'E\(3\)'.*|acts on R\^3, but dim=2"),
        (
            lambda: EGNNConfig(pools_features=True).build(Interface(in_scalars=1, level="node")),
            "pools_features is for scalars of level 'graph', got level='node'",
        ),
        (lambda: Interface(4), "dim must be one of 0, 2, 3, got 4"),
        (lambda: Interface(level="edge"), "level must be one of 'node', 'graph', got 'edge'"),
        (lambda: Interface(in_scalars=-1), "sizes must be at least 0, got {'in_scalars': -1}"),
    ],
)
def test_wrong_settings_teach(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_inputs_teach() -> None:
    model, x = network(CASES["EGNN"]), clouds(CASES["EGNN"])
    for inputs, message in (
        ({"scalars": x.scalars}, "pairs has 0 columns, this EGNN was made for 1"),
        ({"pairs": x.pairs}, "scalars has 0 columns, this EGNN was made for 2"),
        (
            {"scalars": x.scalars, "pairs": x.pairs, "vectors": x.vectors},
            "vectors has 1 columns, this EGNN was made for 0",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            model(x.pos, x.batch, **inputs)
    with pytest.raises(ValueError, match="pos has 2 columns, this EGNN was made for 3"):
        run(model, x._replace(pos=x.pos[:, :2]))
    with pytest.raises(ValueError, match="NaN"):
        run(model, x._replace(pos=x.pos * float("nan")))


@pytest.mark.parametrize(
    ("kind", "module", "package"),
    [
        ("EGNN", "egnn_pytorch", "egnn-pytorch"),
        ("EGNN", "torch_geometric", "torch_geometric"),
        ("DGCNN", "torch_geometric", "torch_geometric"),
    ],
)
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, kind: str, module: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f'baseline {kind} needs {package}: pip install "rapidash\\[study\\]"'):
        {"EGNN": EGNNConfig(), "DGCNN": DGCNNConfig()}[kind].build(Interface(in_scalars=1))


def test_weights_come_from_the_seed() -> None:
    config, x = CASES["DGCNN"], clouds(CASES["DGCNN"])
    assert torch.equal(run(network(config, 3), x).scalars, run(network(config, 3), x).scalars)
    assert not torch.equal(run(network(config, 3), x).scalars, run(network(config, 4), x).scalars)
