"""Stored outputs of a network of every symmetry and space: a definition that changes is noticed.

Weights and inputs are formulas, so that no random stream or initialization decides. When a definition is meant to
change, write the outputs anew and look at which of them moved: ``python -m tests.models.test_pinned_outputs``.
"""

import json
import math
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash.models import Rapidash

STORED = Path(__file__).parent / "pinned" / "outputs.json"
SMALL: dict[str, Any] = {
    "channels": 4, "num_layers": 2, "basis_dim": 4, "basis_hidden_dim": 5, "in_scalars": 2, "out_scalars": 2,
    "num_orientations": 5, "grid": "fibonacci", "level": "node", "kernel": "exact", "backend": "reference",
    "widening": 2,
}  # fmt: skip
VECTORS = {"in_vectors": 1, "out_vectors": 1}
SCALES = {"edges": ["radius-2.0", "fc"], "num_layers": [1, 1], "channels": [4, 3], "ratios": 0.5}
PLANE, PLANE_ONLY = {"dim": 2}, {"dim": 2, "space": "R2"}
ALONE = {"space": "R3"}
CASES: dict[str, dict[str, Any]] = {
    "E(3) on R3": {**ALONE, "symmetry": "E(3)", "out_vectors": 2},
    "E(3) on R3, radius": {**ALONE, "symmetry": "E(3)", "out_vectors": 1, "edges": "radius-1.5"},
    "E(3) on R3, charges": {**ALONE, "symmetry": "E(3)", "in_pairs": 2, "level": "graph"},
    "T(3) on R3": {**ALONE, "symmetry": "T(3)", "out_vectors": 1},
    "T(3) on R3, graph": {**ALONE, "symmetry": "T(3)", "out_vectors": 1, "level": "graph", "pool": "mean"},
    "SO2(z) on R3": {**ALONE, "symmetry": "SO2(z)", "out_vectors": 1},
    "SO2(x) on R3, radius": {**ALONE, "symmetry": "SO2(x)", "out_vectors": 1, "edges": "radius-1.5"},
    "O2(y) on R3": {**ALONE, "symmetry": "O2(y)", "out_vectors": 1},
    "E(3) on R3xS2": {"symmetry": "E(3)", **VECTORS},
    "E(3) on R3xS2, graph": {"symmetry": "E(3)", **VECTORS, "level": "graph"},
    "E(3) on R3xS2, mean": {"symmetry": "E(3)", **VECTORS, "level": "graph", "pool": "mean"},
    "E(3) on R3xS2, charges": {"symmetry": "E(3)", "in_pairs": 1, **VECTORS},
    "E(3) on R3xS2, neighbors": {"symmetry": "E(3)", "edges": "knn-2-clamp", "layer_scale": 0.5, **VECTORS},
    "E(3) on R3xS2, reversed": {"symmetry": "E(3)", "edges": "knn-2-reverse-clamp", **VECTORS},
    "E(3) on R3xS2, cube": {"symmetry": "E(3)", "grid": "platonic", "num_orientations": 8, **VECTORS},
    "SE(3) on R3xS2": {"symmetry": "SE(3)", **VECTORS},
    "SE(3) on R3xS2, radius and charges": {"symmetry": "SE(3)", "in_pairs": 2, "edges": "radius-1.5", **VECTORS},
    "T(3) on R3xS2": {"symmetry": "T(3)", **VECTORS},
    "SO2(z) on R3xS2": {"symmetry": "SO2(z)", **VECTORS},
    "SO2(1,2,2) on R3xS2": {"symmetry": "SO2(1,2,2)", **VECTORS},
    "O2(x) on R3xS2": {"symmetry": "O2(x)", **VECTORS},
    "E(2) on R2": {**PLANE_ONLY, "symmetry": "E(2)", "out_vectors": 1},
    "T(2) on R2": {**PLANE_ONLY, "symmetry": "T(2)", "out_vectors": 1},
    "E(2) on R2xS1": {**PLANE, "symmetry": "E(2)", **VECTORS},
    "SE(2) on R2xS1": {**PLANE, "symmetry": "SE(2)", **VECTORS},
    "T(2) on R2xS1": {**PLANE, "symmetry": "T(2)", **VECTORS},
    "two scales, points": {"symmetry": "SE(3)", "in_pairs": 1, **VECTORS, **SCALES},
    "two scales, points, no skips": {"symmetry": "E(3)", **VECTORS, **SCALES, "skip_connections": False},
    "two scales, clouds": {"symmetry": "SO2(z)", **VECTORS, **SCALES, "level": "graph", "pool": "mean"},
    "two scales on R3": {**ALONE, "symmetry": "E(3)", "out_vectors": 1, **SCALES},
}
CALIBRATED = ("E(3) on R3", "SE(3) on R3xS2, radius and charges", "SO2(z) on R3xS2", "two scales, points")
SIZES = (4, 1, 3)


def waves(name: str, *shape: int) -> Tensor:
    """sin(p + k) with a phase p of the name, k = 1, 2, ...: as good as random, and the same everywhere."""
    phase = zlib.crc32(name.encode()) % 1000 / 7
    numbers = [math.sin(phase + k) for k in range(1, math.prod(shape) + 1)]
    return torch.tensor(numbers, dtype=torch.float64).reshape(shape)


def network(case: str) -> Rapidash:
    made = Rapidash(**(SMALL | CASES[case])).double()
    fill(made)
    return made.eval()


def fill(made: nn.Module) -> None:
    """Every parameter by its name: matrices of the usual size, norms about 1, biases about 0."""
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            values = waves(name, *parameter.shape)
            if parameter.dim() == 2:
                parameter.copy_(1.5 * values / parameter.shape[1] ** 0.5)
            else:
                parameter.copy_(values / 4 + (1.0 if name.endswith(("norm.weight", "layer_scale")) else 0.0))


def inputs(made: Rapidash) -> dict[str, Any]:
    num, batch = sum(SIZES), torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    given = {
        "scalars": waves("scalars", num, 2),
        "vectors": waves("vectors", num, 1, made.dim) if made.in_vectors else None,
        "pairs": waves("pairs", num, made.in_pairs) if made.in_pairs else None,
    }
    return {"pos": waves("pos", num, made.dim), "batch": batch, **given}


@torch.no_grad()
def outputs(case: str) -> dict[str, list[float]]:
    made = network(case)
    given = inputs(made)
    if case in CALIBRATED:
        made.calibrate(**given)
    return {name: value.flatten().tolist() for name, value in made(**given)._asdict().items() if value.numel()}


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_stored(case: str) -> None:
    stored = json.loads(STORED.read_text())[case]
    found = outputs(case)
    assert found.keys() == stored.keys()
    for name, values in found.items():
        expected = torch.tensor(stored[name], dtype=torch.float64)
        largest = float(expected.abs().max())
        assert largest > 1e-3
        assert values == pytest.approx(expected.tolist(), rel=0, abs=1e-12 * largest), name


def test_every_case_is_stored_and_none_too_many() -> None:
    assert list(json.loads(STORED.read_text())) == list(CASES)


def test_no_two_networks_are_the_same_function() -> None:
    """Outputs that two cases shared would hold neither definition."""
    stored = json.loads(STORED.read_text())
    firsts = [values["scalars"][0] for values in stored.values()]
    assert len({round(value, 9) for value in firsts}) == len(firsts)


@pytest.mark.parametrize("case", CASES)
def test_every_weight_takes_part_in_what_is_stored(case: str) -> None:
    """A weight without influence would not be held by the stored numbers."""
    made = network(case)
    sum(part.square().sum() for part in made(**inputs(made))).backward()
    silent = [name for name, p in made.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 1e-9)]
    assert silent == []


def write() -> None:
    """Store the outputs of the present definitions."""
    STORED.parent.mkdir(exist_ok=True)
    lines = [f"{json.dumps(case)}: {json.dumps(outputs(case))}" for case in CASES]
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write()
