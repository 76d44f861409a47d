"""Backbones without rotations: a transformer, messages, and an MLP on ordered points, each against its formula."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from rapidash.groups import SO, Position, T, Vector
from rapidash.measure import Action, equivariance_error
from rapidash.models import (
    Interface,
    MessagePassing,
    MessagePassingConfig,
    NetworkConfig,
    OrderedMLP,
    OrderedMLPConfig,
    RapidashOutput,
    Transformer,
    TransformerConfig,
)
from rapidash.models._transformer import places_in_clouds
from tests.models.conftest import Inputs, random_inputs

SIZES: dict[str, Any] = {"in_scalars": 2, "in_pairs": 1, "out_scalars": 2}
NODE = Interface(out_vectors=1, level="node", **SIZES)
SMALL: dict[str, Any] = {"channels": 8, "num_layers": 2}
CONFIGS: dict[str, NetworkConfig] = {
    "transformer": TransformerConfig(num_heads=2, **SMALL),
    "message-passing": MessagePassingConfig(**SMALL),
    "ordered-mlp": OrderedMLPConfig(5, hidden_dim=8, num_layers=2),
}


def built(config: NetworkConfig, io: Interface = NODE) -> Any:
    torch.manual_seed(0)
    return config.build(io).double().eval()


def run(model: Any, x: Inputs) -> RapidashOutput:
    found: RapidashOutput = model(x.pos, x.batch, scalars=x.scalars, pairs=x.pairs)
    return found


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_symmetry_is_that_of_translations_and_no_rotation_is_kept(kind: str) -> None:
    model, x = built(CONFIGS[kind]), random_inputs(3, 0, sizes=(5, 5))
    assert model.symmetry == model.exact_symmetry == T(3)
    assert CONFIGS[kind].takes == "components"

    def error(group: Any) -> float:
        action = Action(group, {"pos": Position()}, Vector())
        return equivariance_error(lambda pos: run(model, x._replace(pos=pos)).vectors[:, 0], {"pos": x.pos}, action).max

    assert error(T(3)) < 1e-10
    assert error(SO(3)) > 1e-2


def test_a_transformer_is_torchs_attention_on_one_cloud_at_a_time() -> None:
    model, x = built(CONFIGS["transformer"]), random_inputs(3, 1, sizes=(5, 2, 7))
    assert isinstance(model, Transformer)
    found = run(model, x)
    for cloud in range(3):
        rows = x.batch == cloud
        offset = x.pos[rows] - x.pos[rows].mean(dim=0)
        h = model.embedding(torch.cat([x.scalars[rows], x.pairs[rows], offset], dim=1))
        for block in model.blocks:
            normed = block.attention_norm(h)
            weight, bias = block.query_key_value.weight, block.query_key_value.bias
            parts = [normed @ weight[8 * i : 8 * i + 8].T + bias[8 * i : 8 * i + 8] for i in range(3)]
            q, k, v = (part.reshape(-1, 2, 4).transpose(0, 1) for part in parts)  # two heads of width 4
            h = h + block.mix(scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(-1, 8))
            h = h + block.mlp(block.mlp_norm(h))
        out = model.head(model.norm(h))
        torch.testing.assert_close(found.scalars[rows], out[:, :2])
        torch.testing.assert_close(found.vectors[rows, 0], out[:, 2:])


def test_a_message_layer_is_the_formula_over_all_other_points() -> None:
    config = MessagePassingConfig(channels=8, num_layers=1)
    model, x = built(config), random_inputs(3, 1, sizes=(4,))
    assert isinstance(model, MessagePassing)
    (layer,) = model.layers
    h = model.embedding(x.scalars)
    rows = []
    for i in range(4):
        messages = [
            layer.message(torch.cat([h[i], h[j], x.pos[j] - x.pos[i], x.pairs[i] * x.pairs[j]]))
            for j in range(4)
            if j != i
        ]
        rows.append(h[i] + layer.update(torch.cat([h[i], torch.stack(messages).mean(dim=0)])))
    out = model.head(torch.stack(rows))
    torch.testing.assert_close(run(model, x).scalars, out[:, :2])
    torch.testing.assert_close(run(model, x).vectors[:, 0], out[:, 2:])


def test_a_point_without_neighbors_gets_no_message() -> None:
    model = built(MessagePassingConfig(channels=8, num_layers=1, edges="radius-0.5"))
    x = random_inputs(3, 1, sizes=(1,))
    (layer,) = model.layers
    h = model.embedding(x.scalars)
    out = model.head(h + layer.update(torch.cat([h, torch.zeros_like(h)], dim=1)))
    torch.testing.assert_close(run(model, x).scalars, out[:, :2])


def test_an_ordered_mlp_is_linear_beside_its_hidden_layers() -> None:
    model, x = built(CONFIGS["ordered-mlp"]), random_inputs(3, 2, sizes=(5, 5))
    assert isinstance(model, OrderedMLP)
    rows = []
    for cloud in range(2):
        own = x.batch == cloud
        offset = x.pos[own] - x.pos[own].mean(dim=0)
        inputs = torch.cat([x.scalars[own], x.pairs[own], offset], dim=1).flatten()
        assert inputs.shape == (5 * 6,)
        hidden = inputs
        for layer in model.blocks:
            linear, norm, _, _ = layer
            z = hidden @ linear.weight.T + linear.bias
            z = (z - z.mean()) / torch.sqrt(z.var(correction=0) + norm.eps)  # a fresh norm scales by 1
            hidden = z * torch.sigmoid(z)
        rows.append((model.head(hidden) + model.direct.weight @ inputs).reshape(5, 5))
    out = torch.cat(rows)
    torch.testing.assert_close(run(model, x).scalars, out[:, :2])
    torch.testing.assert_close(run(model, x).vectors[:, 0], out[:, 2:])


def test_places_count_the_points_of_each_cloud() -> None:
    place, sizes = places_in_clouds(torch.tensor([0, 0, 2, 2, 2]), 3)
    assert place.tolist() == [0, 1, 0, 1, 2]
    assert sizes.tolist() == [2, 0, 3]


@pytest.mark.parametrize("kind", CONFIGS)
def test_second_derivatives_and_forward_mode_agree(kind: str) -> None:
    """Forces are gradients, and training on them takes a second one."""
    model, x = built(CONFIGS[kind], Interface(**SIZES)), random_inputs(3, 0, sizes=(5,))

    def energy(pos: Tensor) -> Tensor:
        return run(model, x._replace(pos=pos)).scalars.sum()

    direction = torch.randn_like(x.pos)
    pos = x.pos.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(pos), pos, create_graph=True)
    (curvature,) = torch.autograd.grad((gradient * direction).sum(), pos)
    slope = torch.func.jvp(energy, (x.pos,), (direction,))[1]
    torch.testing.assert_close(slope, (gradient.detach() * direction).sum())
    step = 1e-5
    ahead, behind = (
        torch.autograd.functional.jacobian(energy, x.pos + sign * step * direction) for sign in (1.0, -1.0)
    )
    torch.testing.assert_close(curvature, (ahead - behind) / (2 * step), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TransformerConfig(channels=10, num_heads=4), "num_heads must divide channels, got 4 and 10"),
        (lambda: TransformerConfig(edges="knn-4"), "unknown edges of a baseline 'knn-4', expected one of 'fc'"),
        (lambda: TransformerConfig(num_heads=0), r"at least \{'num_heads': 1\}, got \{'num_heads': 0\}"),
        (lambda: MessagePassingConfig(aggregate="median"), "unknown aggregate of a baseline 'median'"),  # type: ignore[arg-type]
        (lambda: OrderedMLPConfig(0), r"sizes of an ordered MLP must be at least 1, got \{'num_points': 0"),
        (lambda: OrderedMLPConfig(5, symmetry="E(3)"), r"must be 'T\(3\)' or 'T\(2\)', got 'E\(3\)'"),
        (lambda: OrderedMLPConfig(5, dropout=1.0), r"dropout must be in \[0, 1\), got 1.0"),
        (lambda: OrderedMLPConfig(5).build(Interface(in_vectors=1)), "in_vectors must be 0, got 1"),
        (lambda: OrderedMLPConfig(5).build(Interface(out_scalars=0)), "a network needs an output"),
        (
            lambda: run(built(CONFIGS["ordered-mlp"]), random_inputs(3, 0, sizes=(5, 4))),
            "cloud 1 has 4 points, this ordered-mlp was made for num_points=5",
        ),
    ],
)
def test_bad_input_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
