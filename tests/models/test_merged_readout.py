"""A linear readout is merged with the last block: cheaper, and the same function."""

from typing import Any

import pytest
import torch
from torch import Tensor

from rapidash.models import Rapidash
from tests.models.conftest import Inputs, small_network

NETWORKS: dict[str, dict[str, Any]] = {
    "points": {"in_vectors": 1, "out_vectors": 1},
    "clouds": {"in_vectors": 1, "out_vectors": 2, "level": "graph", "pool": "mean", "layer_scale": 0.3},
    "scales": {"num_layers": [1, 1], "edges": ["fc", "knn-1"], "channels": [8, 12], "layer_scale": 0.3},
    "without orientations": {"space": "R3", "level": "graph", "kernel": "tabulated"},
    "components": {"space": "R3", "symmetry": "T(3)", "out_vectors": 1},
    "recomputed": {"recompute": True, "level": "graph"},
}


def watched(model: Rapidash) -> list[Tensor]:
    """Hooks on the last block keep the features it gives, which are not computed otherwise."""
    seen: list[Tensor] = []
    model.blocks[-1].register_forward_hook(lambda block, args, out: seen.append(out))
    return seen


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_outputs_and_gradients_are_those_of_block_and_readout_one_after_the_other(
    options: dict[str, Any], inputs: Inputs
) -> None:
    results, widths = [], []
    for watch in (False, True):
        model = small_network(**options)
        seen = watched(model) if watch else []
        out = inputs.run(model)
        (out.scalars.square().sum() + out.vectors.square().sum()).backward()
        results.append([*out, *(parameter.grad for parameter in model.parameters())])
        widths.append([features.shape[-1] for features in seen])
    assert widths == [[], [model.readout.linear.in_features]]
    for merged, separate in zip(*results):
        torch.testing.assert_close(merged, separate, atol=1e-11, rtol=1e-10)


def test_the_last_block_skips_its_features_unless_something_watches_them(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rapidash.nn import _block

    widths: list[int] = []
    channel_mlp = _block.channel_mlp

    def spy(x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        out = channel_mlp(x, *arguments, **options)
        widths.append(out.shape[-1])
        return out

    monkeypatch.setattr(_block, "channel_mlp", spy)
    model = small_network()
    inputs.run(model)
    inputs.run(model.with_kernel("exact", backend="reference"))
    handle = model.readout.register_forward_pre_hook(lambda readout, args: None)
    inputs.run(model)
    handle.remove()
    inputs.run(model)
    assert widths == [12, 2, 12, 12, 12, 12, 12, 2]


@pytest.mark.parametrize("options", [{"out_scalars": 13}, {"space": "R3", "out_vectors": 1}], ids=["wide", "edges"])
def test_a_readout_that_is_wide_or_sums_over_edges_stays_apart(options: dict[str, Any], inputs: Inputs) -> None:
    model = small_network(**options)
    called: list[bool] = []
    model.readout.linear.forward = lambda x: called.append(True) or torch.nn.Linear.forward(model.readout.linear, x)
    inputs.run(model)
    assert called == [True]
