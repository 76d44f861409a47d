import math

import pytest
import torch

from rapidash.groups import grid_symmetries, orientation_grid

ORDERS = {4: (12, 24), 6: (24, 48), 8: (24, 48), 12: (60, 120), 20: (60, 120)}


@pytest.mark.parametrize("num", ORDERS)
def test_platonic_grids_have_the_symmetry_of_their_solid(num: int) -> None:
    grid = orientation_grid("platonic", num, 3)
    rotations, everything = (grid_symmetries(grid, reflections=flag) for flag in (False, True))
    assert (len(rotations.elements), len(everything.elements)) == ORDERS[num]
    assert all(rotations.contains(a @ b) for a in rotations.elements[:5] for b in rotations.elements[-5:])
    for rotation in rotations.elements:
        moved = grid @ rotation.T
        assert torch.cdist(moved, grid).amin(dim=1).max() < 1e-7


def test_a_fibonacci_grid_is_not_closed_under_the_icosahedral_group() -> None:
    assert len(grid_symmetries(orientation_grid("fibonacci", 12, 3)).elements) < 60


@pytest.mark.parametrize(("grid", "num", "dim"), [("fibonacci", 17, 3), ("repulsion", 9, 3), ("uniform", 7, 2)])
def test_grids_are_balanced_unit_vectors(grid: str, num: int, dim: int) -> None:
    vectors = orientation_grid(grid, num, dim)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(num, dtype=torch.float64))
    assert vectors.mean(dim=0).norm() < 0.1
    assert torch.cdist(vectors, vectors).fill_diagonal_(2).min() > 1.2 / math.sqrt(num)


def test_repulsion_finds_the_tetrahedron_and_is_the_same_every_time() -> None:
    grid = orientation_grid("repulsion", 4, 3)
    assert (grid @ grid.T - 4 / 3 * torch.eye(4) + 1 / 3).abs().max() < 0.02
    torch.testing.assert_close(grid, orientation_grid("repulsion", 4, 3), atol=0, rtol=0)


def test_the_uniform_grid_of_the_plane_has_cyclic_symmetry() -> None:
    assert len(grid_symmetries(orientation_grid("uniform", 6, 2)).elements) == 6


@pytest.mark.parametrize(
    ("grid", "num", "dim", "message"),
    [
        ("platonic", 7, 3, "4, 6, 8, 12, 20"),
        ("uniform", 8, 3, "dim=2"),
        ("spiral", 8, 3, "unknown grid 'spiral'"),
        (torch.ones(4, 3), 4, 3, "unit vectors"),
        (torch.eye(3), 4, 3, r"shape \(4, 3\)"),
        ("fibonacci", 0, 3, "at least 1"),
    ],
)
def test_bad_grids_are_refused(grid, num: int, dim: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        orientation_grid(grid, num, dim)


def test_a_flat_grid_has_no_finite_group() -> None:
    with pytest.raises(ValueError, match="does not span"):
        grid_symmetries(torch.eye(3)[:2])
