"""The Lie derivative of a Rapidash network by its fused operations, against the definition and against differences."""

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import SE, scaling
from rapidash.measure import Action, lie_derivative, rapidash_action
from rapidash.models import Rapidash

NETWORKS: dict[str, dict[str, Any]] = {
    "exact": {"kernel": "exact"},
    "linear tables": {"kernel": "tabulated"},
    "cubic tables": {"kernel": "tabulated", "interpolation": "cubic"},
    "mirrors seen": {"kernel": "tabulated", "symmetry": "SE(3)"},
    "cutoff": {"kernel": "tabulated", "edges": "radius-2.0", "layer_scale": 0.5},
    "scales": {"edges": ["knn-4", "knn-2"], "num_layers": [1, 1], "channels": [8, 8], "level": "node"},
    "vectors on R3": {"space": "R3", "in_vectors": 0, "out_vectors": 1, "level": "node"},
}


def network(name: str) -> tuple[Rapidash, dict[str, Tensor]]:
    options = {"channels": 8, "num_layers": 2, "basis_dim": 8, "basis_hidden_dim": 8, "table_size": 16}
    io = {"in_scalars": 1, "in_vectors": 1, "num_orientations": 6}
    torch.manual_seed(0)
    model = Rapidash(**(options | io | NETWORKS[name])).double().eval()
    rng = seeded(0)
    x = {"pos": torch.randn(10, 3, generator=rng), "batch": torch.arange(2).repeat_interleave(5)}
    x |= {"scalars": torch.randn(10, 1, generator=rng)}
    if model.in_vectors:
        x["vectors"] = torch.randn(10, 1, 3, generator=rng)
    x = {key: value.double() if value.is_floating_point() else value for key, value in x.items()}
    model.calibrate(**x)
    return model, x


def slopes(model: Rapidash, x: dict[str, Tensor], action: Action, method: str = "auto") -> Tensor:
    result = lie_derivative(model, x, action, method=method)  # type: ignore[arg-type]
    assert result.method == ("forward" if method == "auto" else method)
    return torch.cat([value.flatten(1) for value in result.values.values()], dim=1)


@pytest.mark.parametrize("group", [SE(3), scaling(3)], ids=lambda group: group.name)
@pytest.mark.parametrize("name", NETWORKS)
def test_fused_operations_agree_with_the_definition_and_with_differences(name: str, group: Any) -> None:
    model, x = network(name)
    action = rapidash_action(model, group)
    fused = slopes(model, x, action)
    definition = slopes(model.with_kernel(model.config.kernel, backend="reference"), x, action)
    torch.testing.assert_close(fused, definition, rtol=0, atol=1e-10)
    linear = name in ("linear tables", "mirrors seen", "cutoff")  # between two nodes, a kink may lie in a finite step
    difference = slopes(model, x, action, "difference")
    torch.testing.assert_close(fused, difference, rtol=0, atol=1e-3 if linear else 1e-6)


@pytest.mark.parametrize("name", ["exact", "linear tables", "cutoff"])
def test_float32_agrees_with_float64(name: str) -> None:
    """The difference that the derivative is compared with takes a large step here, across kinks of the interpolant."""
    model, x = network(name)
    action = rapidash_action(model, SE(3))
    expected = slopes(model, x, action)
    single = {key: value.float() if value.is_floating_point() else value for key, value in x.items()}
    torch.testing.assert_close(slopes(model.float(), single, action).double(), expected, rtol=0, atol=1e-4)


def test_modules_inside_adapters_run_fused_and_get_their_gradients_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network("linear tables")
    action = Action(SE(3), rapidash_action(model).inputs, rapidash_action(model).output_fields["scalars"], "batch")
    adapter = lambda **inputs: model(**inputs).scalars  # noqa: E731
    expected = slopes(model, x, rapidash_action(model, SE(3)))

    def forbidden(*_: object, **__: object) -> Tensor:
        raise AssertionError("the definition was called")

    monkeypatch.setattr(sys.modules["rapidash.ops.table_conv"], "table_conv_reference", forbidden)
    monkeypatch.setattr(sys.modules["rapidash.ops.channel_mlp"], "channel_mlp_reference", forbidden)
    model.embedding.weight.requires_grad_(False)
    assert torch.equal(slopes(adapter, x, action), expected)  # type: ignore[arg-type]
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["embedding.weight"]


def test_parameters_get_their_gradients_back_after_an_error() -> None:
    model, x = network("exact")
    action = Action(SE(3), rapidash_action(model).inputs, rapidash_action(model).output_fields["scalars"], "batch")

    def broken(**inputs: Tensor) -> Tensor:
        model(**inputs)
        raise KeyError("an error of the function")

    with pytest.raises(KeyError, match="an error of the function"):
        lie_derivative(broken, x, action)
    assert all(parameter.requires_grad for parameter in model.parameters())
