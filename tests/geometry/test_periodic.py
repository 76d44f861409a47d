"""Edges across the boundary of a cell: by hand, against all images, and against ASE."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rapidash.geometry import Cell, periodic_radius_edges, radius_edges

ONE = torch.zeros(1, dtype=torch.long)


def rows_of(found: tuple[Tensor, Tensor]) -> list[tuple[int, ...]]:
    edges, shift = found
    return [(*edge, *step) for edge, step in zip(edges.T.tolist(), shift.tolist())]


def all_images(pos: np.ndarray, cell: np.ndarray, periodic: np.ndarray, r: float, reach: int) -> set[tuple[int, ...]]:
    steps = [range(-reach, reach + 1) if p else (0,) for p in periodic]
    return {
        (source, target, *step)
        for step in itertools.product(*steps)
        for source in range(len(pos))
        for target in range(len(pos))
        if np.linalg.norm(pos[source] + np.array(step) @ cell - pos[target]) <= r
    }


def test_a_chain_of_one_point_by_hand() -> None:
    """Cells of length 1 and a radius of 2.5: images at -2, -1, 0, 1, 2, along the periodic vector alone."""
    cell = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    found = periodic_radius_edges(torch.tensor([[7.3, -4.0]]), ONE, 2.5, Cell(cell, torch.tensor([[True, False]])))
    assert rows_of(found) == [(0, 0, step, 0) for step in (-2, -1, 0, 1, 2)]


def test_the_shift_moves_the_source_and_points_may_lie_outside_the_cell() -> None:
    cell = 10 * torch.eye(3)[None]
    pos = torch.tensor([[9.5, 0.0, 0.0], [-9.9, 0.0, 20.0]])  # the second is at (0.1, 0, 0): 0.6 apart
    found = periodic_radius_edges(pos, torch.zeros(2, dtype=torch.long), 1.0, Cell(cell))
    assert rows_of(found) == [(0, 0, 0, 0, 0), (1, 0, 2, 0, -2), (0, 1, -2, 0, 2), (1, 1, 0, 0, 0)]
    offset = pos[found.edges[0]] + found.shift.float() @ cell[0] - pos[found.edges[1]]
    torch.testing.assert_close(offset[1], torch.tensor([0.6, 0.0, 0.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("periodic", [(True, True, True), (True, False, True), (False, True, False)])
def test_all_images_are_found_in_small_and_slanted_cells(seed: int, periodic: tuple[bool, ...]) -> None:
    rng = np.random.default_rng(seed)
    cell = np.eye(3) + 0.25 * rng.normal(size=(3, 3))
    pos, along = rng.normal(size=(4, 3)), np.array(periodic)
    found = periodic_radius_edges(
        torch.tensor(pos),
        torch.zeros(4, dtype=torch.long),
        1.3,
        Cell(torch.tensor(cell)[None], torch.tensor(along)[None]),
    )
    expected = all_images(pos, cell, along, 1.3, 9)
    assert max(abs(step) for edge in expected for step in edge[2:]) < 9
    rows = rows_of(found)
    assert set(rows) == expected
    assert len(rows) == len(expected)
    assert rows == sorted(rows, key=lambda row: (row[1], row[0], *row[2:]))


def test_without_periodic_directions_it_is_the_plain_search() -> None:
    pos = torch.rand(30, 3, generator=torch.Generator().manual_seed(0))
    batch = torch.arange(30) // 10
    none = torch.zeros(3, 3, dtype=torch.bool)
    found = periodic_radius_edges(pos, batch, 0.4, Cell(torch.full((3, 3, 3), torch.nan), none))
    assert torch.equal(found.edges, radius_edges(pos, batch, 0.4))
    assert not found.shift.any()


def test_atoms_that_wandered_millions_of_cells_are_sorted_all_the_same() -> None:
    """Three cells of 1e6 lengths each: the number of a place does not fit into 63 bits with 100 points."""
    pos = torch.zeros(100, 3, dtype=torch.float64)
    pos[1] = 4e6
    found = periodic_radius_edges(
        pos, torch.zeros(100, dtype=torch.long), 0.5, Cell(torch.eye(3, dtype=torch.float64)[None])
    )
    rows = rows_of(found)
    assert len(rows) == 100 * 100
    assert rows == sorted(rows, key=lambda row: (row[1], row[0], *row[2:]))
    assert rows[1] == (1, 0, -4_000_000, -4_000_000, -4_000_000)


def test_structures_of_a_batch_have_cells_of_their_own() -> None:
    pos, batch = torch.zeros(2, 1), torch.arange(2)
    found = periodic_radius_edges(pos, batch, 1.0, Cell(torch.tensor([[[0.5]], [[0.9]]])))
    assert rows_of(found) == [(0, 0, step) for step in (-2, -1, 0, 1, 2)] + [(1, 1, step) for step in (-1, 0, 1)]


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("periodic", list(itertools.product((False, True), repeat=3)))
def test_it_is_the_list_of_ase(scale: float, periodic: tuple[bool, ...]) -> None:
    """A slanted cell whose planes are 6 apart or, shorter than the radius, 1.8; points outside of it, some periods."""
    neighborlist = pytest.importorskip("ase.neighborlist")
    rng = np.random.default_rng(0)
    cell = scale * np.array([[8.0, 0.0, 0.0], [3.0, 7.0, 0.0], [-2.0, 1.0, 6.0]])
    pos, along = rng.normal(scale=9 * scale, size=(60 if scale == 1 else 6, 3)), np.array(periodic)
    target, source, shift = neighborlist.primitive_neighbor_list("ijS", along, cell, pos, 5.0, self_interaction=False)
    expected = {(int(s), int(t), *map(int, step)) for t, s, step in zip(target, source, shift)}
    found = periodic_radius_edges(
        torch.tensor(pos),
        torch.zeros(len(pos), dtype=torch.long),
        5.0,
        Cell(torch.tensor(cell)[None], torch.tensor(along)[None]),
    )
    assert {row for row in rows_of(found) if row[0] != row[1] or any(row[2:])} == expected
    assert len(found.shift) == len(expected) + len(pos)


def search(r: float = 1.0, vectors: Tensor | None = None, periodic: Tensor | None = None) -> None:
    periodic_radius_edges(torch.zeros(1, 3), ONE, r, Cell(torch.eye(3)[None] if vectors is None else vectors, periodic))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": 0.0}, "r must be positive and finite"),
        ({"vectors": torch.zeros(1, 3, 3)}, "structure 0: cell has no volume along its periodic vectors"),
        ({"vectors": torch.ones(1, 3, 3)}, "structure 0: cell has no volume"),
        ({"vectors": torch.full((1, 3, 3), torch.inf)}, "structure 0: cell has NaN or infinite vectors"),
        ({"vectors": torch.eye(3)}, r"cell vectors must be \(B, D, D\) floating point, a row each, got"),
        ({"vectors": torch.eye(3).expand(2, 3, 3)}, "1 structures in 3 dimensions need as many cells"),
        ({"periodic": torch.ones(3, dtype=torch.bool)}, r"periodic must be \(1, 3\) booleans"),
        ({"vectors": 1e-9 * torch.eye(3)[None]}, "along vector 0, whose planes are 1e-09 apart: check the units"),
    ],
)
def test_bad_input_is_told(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        search(**change)
