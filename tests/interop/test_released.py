"""The released network's outputs, from its weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rapidash.interop import from_rapidash_state_dict
from tests.released import random_weights, released_forward

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


BASE: dict[str, Any] = {
    "hidden_dim": 6, "num_layers": 2, "edge_types": ["fc"], "ratios": [], "degree": 2, "widening_factor": 2,
    "layer_scale": None, "last_feature_conditioning": False, "skip_connections": False, "basis_dim": 5,
    "basis_hidden_dim": 4, "input_dim": 3, "output_dim": 2, "output_dim_vec": 1, "equivariance": "SEn", "dim": 3,
    "num_ori": 5, "task_level": "node",
}  # fmt: skip
SCALES = {
    "num_layers": [2, 1, 1],
    "hidden_dim": [6, 8, 4],
    "ratios": [0.5, 0.5],
    "edge_types": ["knn-4", "knn-3", "fc"],
}
OTHERS: dict[str, dict[str, Any]] = {
    "first degree only": {"degree": 1},
    "one layer, scaled": {"num_layers": 1, "layer_scale": 1e-6},
    "Tn with orientations": {"equivariance": "Tn"},
    "Tn without": {"equivariance": "Tn", "num_ori": 0, "output_dim_vec": 0},
    "the plane": {"dim": 2, "num_ori": 0, "output_dim_vec": 0},
    "Tn in the plane with orientations": {"dim": 2, "equivariance": "Tn"},
    "nearest neighbors": {"edge_types": ["knn-3"]},
    "three scales": SCALES,
    "three scales with skips": {**SCALES, "skip_connections": True},
    "three scales with skips, scaled, Tn": {
        **SCALES,
        "skip_connections": True,
        "layer_scale": 0.1,
        "equivariance": "Tn",
    },
    "three scales, graph": {**SCALES, "task_level": "graph"},
    "three scales without orientations": {**SCALES, "skip_connections": True, "num_ori": 0, "output_dim_vec": 0},
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_configurations_agree_with_the_formulas_of_the_released_code(case: str) -> None:
    config = BASE | OTHERS[case]
    weights = random_weights(config, seed=1)
    rng = torch.Generator().manual_seed(2)
    sizes, dim = (12, 9), config["dim"]
    pos = torch.randn(21, dim, generator=rng, dtype=torch.float64)
    x = torch.randn(21, 3 if config["num_ori"] == 0 else 2, generator=rng, dtype=torch.float64)
    vectors = torch.randn(21, 1, dim, generator=rng, dtype=torch.float64) if config["num_ori"] else None
    batch = torch.arange(2).repeat_interleave(torch.tensor(sizes))
    model = from_rapidash_state_dict(weights, config)
    out = model(pos, batch, scalars=x, vectors=vectors)
    wanted = []
    for cloud in range(2):
        mine = batch == cloud
        inputs = (pos[mine], x[mine], None if vectors is None else vectors[mine])
        wanted.append(released_forward(weights, config, *inputs))
    torch.testing.assert_close(out.scalars, torch.cat([scalars for scalars, _ in wanted]), atol=1e-9, rtol=1e-9)
    if config["output_dim_vec"]:
        torch.testing.assert_close(out.vectors, torch.cat([v for _, v in wanted]), atol=1e-9, rtol=1e-9)


def test_the_second_opinion_reproduces_the_stored_cases_and_sees_a_change(reference_dir: Path) -> None:
    config, weights, arrays = load(reference_dir / "se3_r3s2_node_vec.npz")
    mine = arrays["batch"] == 0
    inputs = [arrays[name][mine] for name in ("pos", "x", "vec")]
    scalars, vectors = released_forward(weights, config, *inputs)
    torch.testing.assert_close(scalars, arrays["out_scalar"][mine], atol=1e-9, rtol=0)
    torch.testing.assert_close(vectors, arrays["out_vector"][mine], atol=1e-9, rtol=0)
    weights["layers.1.conv.bias"][0] += 1e-3
    assert (released_forward(weights, config, *inputs)[0] - scalars).abs().max() > 1e-6
