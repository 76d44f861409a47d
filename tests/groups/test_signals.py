import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rapidash._seed import seeded
from rapidash.groups import (
    SO,
    GridPermutation,
    OrientationSignal,
    Permutation,
    Permutations,
    enumerated,
    grid_symmetries,
    orientation_grid,
)
from rapidash.groups import Group as SymmetryGroup


def test_permutation_by_hand() -> None:
    g = torch.eye(3, dtype=torch.float64)[[2, 0, 1]]
    x = torch.tensor([[1.0, 2.0, 3.0]])
    assert Permutation(-1).act(g, x).tolist() == [[3.0, 1.0, 2.0]]
    assert torch.equal(Permutation(0).act(g, x.T), (g.float() @ x.T))
    with pytest.raises(ValueError, match=r"Permutations\(1\)"):
        Permutation(0).act(g, x)


@given(seed=st.integers(0, 999))
def test_orientation_signal_is_a_representation_and_moves_sampled_polynomials(seed: int) -> None:
    grid = orientation_grid("fibonacci", 24, 3)
    rep = OrientationSignal(grid, lmax=3)
    g, h = SO(3).sample(2, generator=seeded(seed))
    signal = torch.randn(5, 24, 2, generator=seeded(seed, "s"), dtype=torch.float64)
    assert torch.allclose(rep.act(g, rep.act(h, signal)), rep.act(g @ h, signal), atol=1e-9)
    assert torch.allclose(rep.act(torch.eye(4).double(), signal), signal, atol=1e-12)
    direction = torch.randn(3, generator=seeded(seed, "d"), dtype=torch.float64)
    cubic = lambda v: ((grid @ v) ** 3)[:, None]  # noqa: E731
    assert torch.allclose(rep.act(g, cubic(direction)), cubic(g[:3, :3] @ direction), atol=1e-9)


def test_orientation_signal_in_the_plane() -> None:
    grid = orientation_grid("uniform", 7, 2)
    g = SO(2).sample(1, generator=seeded(0))[0]
    direction = torch.tensor([0.3, -1.2], dtype=torch.float64)
    moved = OrientationSignal(grid, lmax=3).act(g, (grid @ direction)[:, None])
    assert torch.allclose(moved[:, 0], grid @ (g[:2, :2] @ direction), atol=1e-12)


def test_grid_permutation_agrees_with_the_polynomials_on_a_platonic_grid() -> None:
    grid = orientation_grid("platonic", 12, 3)
    elements = enumerated(SymmetryGroup(3, grid_symmetries(grid), translations=False))
    direction = torch.tensor([0.3, -1.2, 0.5], dtype=torch.float64)
    signal = (grid @ direction).square()[:, None]
    for g in elements[::7]:
        assert torch.allclose(GridPermutation(grid).act(g, signal)[:, 0], (grid @ (g[:3, :3] @ direction)).square())


def test_grid_permutation_refuses_other_rotations() -> None:
    grid = orientation_grid("platonic", 12, 3)
    with pytest.raises(ValueError, match="OrientationSignal"):
        GridPermutation(grid).act(SO(3).sample(1, generator=seeded(0))[0], torch.ones(12, 1))


def test_grids_too_small_for_the_degree_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 9"):
        OrientationSignal(orientation_grid("platonic", 8, 3), lmax=2)
    with pytest.raises(ValueError, match="smaller lmax"):
        OrientationSignal(torch.eye(3).double()[[0, 1, 2, 0, 1, 2, 0, 1, 2]], lmax=2)


def test_permutations_sample_uniformly() -> None:
    drawn = Permutations(3).sample(600, generator=seeded(0)).argmax(dim=-1)
    counts = torch.unique(drawn, dim=0, return_counts=True)[1]
    assert len(counts) == 6
    assert counts.min() > 70
