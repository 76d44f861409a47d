"""Equivariance of the network, both ways: what the symmetry claims holds, what it denies is broken."""

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import E, Group, T, motion
from rapidash.models import Rapidash
from tests.models.conftest import random_inputs, small_network

VECTORS: dict[str, Any] = {"in_vectors": 1, "out_vectors": 1}
TWO_SCALES: dict[str, Any] = {"edges": ["knn-1", "fc"], "num_layers": [1, 1], "channels": [12, 8]}
MIRROR = motion(torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)), torch.zeros(3, dtype=torch.float64))
CASES: dict[str, dict[str, Any]] = {
    "E(3) on R3": {"symmetry": "E(3)", "space": "R3", "out_vectors": 2},
    "SO2(z) on R3": {"symmetry": "SO2(z)", "space": "R3", "out_vectors": 1},
    "T(3) on R3": {"symmetry": "T(3)", "space": "R3", "out_vectors": 1},
    "E(2) on R2": {"dim": 2, "symmetry": "E(2)", "space": "R2", "out_vectors": 1},
    "T(3) on R3xS2": {"symmetry": "T(3)", **VECTORS},
    "E(3) on R3xS2": {"symmetry": "E(3)", **VECTORS},
    "E(3), charges": {"symmetry": "E(3)", "in_pairs": 1, **VECTORS},
    "E(3), cube": {"symmetry": "E(3)", "num_orientations": 8, **VECTORS},
    "E(3), two scales": {"symmetry": "E(3)", **VECTORS, **TWO_SCALES},
    "E(3), two scales, graph": {"symmetry": "E(3)", "level": "graph", **VECTORS, **TWO_SCALES},
    "E(3), radius": {"symmetry": "E(3)", "edges": "radius-1.5", **VECTORS},
    "SE(3) on R3xS2": {"symmetry": "SE(3)", **VECTORS},
    "SO2(z) on R3xS2": {"symmetry": "SO2(z)", "num_orientations": 8, **VECTORS},
    "SE(2) on R2xS1": {"dim": 2, "symmetry": "SE(2)", "num_orientations": 6, **VECTORS},
    "E(2) on R2xS1": {"dim": 2, "symmetry": "E(2)", "num_orientations": 5, **VECTORS},
}


def error(model: Rapidash, g: Tensor, seed: int = 0) -> float:
    """Largest difference between the output of the moved input and the moved output."""
    inputs = random_inputs(model.dim, seed)
    before, after = inputs.run(model), inputs.moved(g).run(model)
    linear = g[:-1, :-1].to(inputs.pos)
    return max(
        (after.scalars - before.scalars).abs().max().item(),
        (after.vectors - before.vectors @ linear.T).abs().max().item() if before.vectors.numel() else 0.0,
    )


@cache
def network(case: str) -> tuple[Rapidash, Group]:
    """The network of a case, and its exact symmetry, which takes a moment to find."""
    model = small_network(**CASES[case])
    return model, model.exact_symmetry


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kernel", ["exact", "tabulated"])
@settings(max_examples=5)
@given(seed=st.integers(0, 2**31))
def test_equivariant_to_the_exact_symmetry(case: str, kernel: str, seed: int) -> None:
    model, symmetry = network(case)
    if kernel == "tabulated" and model.invariants.signed is None:
        return
    for g in symmetry.sample(2, generator=seeded(seed)):
        assert error(model.with_kernel(kernel), g, seed) < 1e-10


@pytest.mark.parametrize("case", CASES)
def test_not_equivariant_beyond_the_symmetry(case: str) -> None:
    model = small_network(**CASES[case])
    outside = [g for g in E(model.dim).sample(8, generator=seeded(case)) if not model.symmetry.contains(g)]
    if model.symmetry.linear == E(model.dim).linear:
        assert not outside
        return
    assert outside
    assert all(error(model, g) > 1e-7 for g in outside)


@pytest.mark.parametrize("num", [4, 6, 8, 12, 20])
def test_every_rotation_of_a_platonic_grid_is_exact(num: int) -> None:
    model = small_network(symmetry="E(3)", num_orientations=num, **VECTORS)
    for linear in model.exact_symmetry.linear.elements:
        assert error(model, motion(linear, torch.ones(3, dtype=torch.float64))) < 1e-10


def test_rotations_off_the_grid_are_approximate_and_improve_with_more_orientations() -> None:
    rotations = Group(3, E(3).linear, translations=False).sample(6, generator=seeded("off"))
    coarse, fine = (
        sum(
            error(small_network(symmetry="E(3)", grid="fibonacci", num_orientations=n, **VECTORS), g) for g in rotations
        )
        for n in (6, 60)
    )
    assert 1e-9 < fine < 0.3 * coarse


def test_se3_tells_a_chiral_cloud_from_its_mirror_image_and_e3_does_not() -> None:
    chiral, achiral = (small_network(symmetry=name, level="graph") for name in ("SE(3)", "E(3)"))
    assert error(chiral, MIRROR) > 1e-4
    assert error(achiral, MIRROR) < 1e-10


def test_translations_are_exact_when_they_keep_the_digits() -> None:
    model = small_network(symmetry="T(3)", space="R3")
    inputs = random_inputs(3, 1)
    rounded = inputs._replace(pos=(inputs.pos * 1024).round() / 1024)  # so that adding 8 loses nothing
    shift = motion(torch.eye(3, dtype=torch.float64), torch.full((3,), 8.0, dtype=torch.float64))
    assert torch.equal(rounded.run(model).scalars, rounded.moved(shift).run(model).scalars)
    assert model.symmetry == T(3)
