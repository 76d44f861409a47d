"""The released network's outputs, from its weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rapidash.interop import from_rapidash_state_dict

CASES = ["se3_r3_graph", "se3_r3s2_graph", "se3_r3s2_node_vec", "t3_r3_node"]


def load(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files if name != "config"}
        config = json.loads(bytes(file["config"]))
    weights = {name.removeprefix("state."): value for name, value in arrays.items() if name.startswith("state.")}
    return config, weights, arrays


@pytest.mark.parametrize("case", CASES)
def test_reproduces_the_released_network(case: str, reference_dir: Path) -> None:
    config, weights, arrays = load(reference_dir / f"{case}.npz")
    model = from_rapidash_state_dict(weights, config)
    inputs = {"scalars": arrays.get("x"), "vectors": arrays.get("vec")}
    out = model(arrays["pos"], arrays["batch"], **inputs)
    torch.testing.assert_close(out.scalars, arrays["out_scalar"], atol=1e-9, rtol=0)
    if "out_vector" in arrays and arrays["out_vector"].numel():
        torch.testing.assert_close(out.vectors, arrays["out_vector"], atol=1e-9, rtol=0)
    hidden = model.hidden(arrays["pos"], arrays["batch"], **inputs)
    torch.testing.assert_close(hidden, arrays["hidden"], atol=1e-9, rtol=0)


@pytest.mark.parametrize("dropped", ["layers.1.conv.bias", "readout.bias", "sphere_grid"])
def test_a_missing_weight_is_named(dropped: str, reference_dir: Path) -> None:
    config, weights, _ = load(reference_dir / "se3_r3s2_graph.npz")
    del weights[dropped]
    with pytest.raises(ValueError, match=r"missing|sphere_grid"):
        from_rapidash_state_dict(weights, config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": 3}, "unknown keys"),
        ({"equivariance": "SOn"}, "'SEn' or 'Tn'"),
        ({"edge_types": ["r-0.5"]}, "has no twin"),
        ({"dim": 2}, "R2xS1"),
    ],
    ids=str,
)
def test_configurations_without_a_twin_are_refused(change: dict[str, Any], message: str, reference_dir: Path) -> None:
    config, weights, _ = load(reference_dir / "se3_r3s2_graph.npz")
    with pytest.raises(ValueError, match=message):
        from_rapidash_state_dict(weights, config | change)
