"""Linear maps on an orientation grid: the parts by hand, exact motions of the grid, and what needs no grid."""

import pytest
import torch
from torch import Tensor, nn

from rapidash.groups import grid_symmetries, orientation_grid
from rapidash.nn import OrientationLinear, harmonics_of_degree, orientation_components

COMMUTANT = {False: {4: 2, 6: 3, 8: 4, 12: 4, 20: 8}, True: {4: 2, 6: 3, 8: 4, 12: 4, 20: 6}}
"""Dimension of the matrices that commute with the rotations (with reflections: all motions) of a Platonic grid."""


def permutations(grid: Tensor, *, reflections: bool) -> Tensor:
    """(G, O): where each motion takes each vector."""
    elements = grid_symmetries(grid, reflections=reflections).elements
    moved = torch.einsum("gij,oj->goi", elements, grid)
    return torch.cdist(moved, grid.expand(len(moved), *grid.shape)).argmin(dim=-1)


@pytest.mark.parametrize("reflections", [False, True])
@pytest.mark.parametrize("num", [4, 6, 8, 12, 20])
def test_irreps_have_the_squares_of_their_copies_in_the_commutant(num: int, reflections: bool) -> None:
    """Against the number of orbits of pairs of vectors, which is the dimension of the commutant too."""
    grid = orientation_grid("platonic", num, 3)
    parts = orientation_components("irreps", grid, reflections=reflections).parts
    places = permutations(grid, reflections=reflections)
    pairs = {tuple(sorted({(int(p[a]), int(p[b])) for p in places})) for a in range(num) for b in range(num)}
    assert sum(part.copies**2 for part in parts) == len(pairs) == COMMUTANT[reflections][num]
    assert sum(part.dim * part.copies for part in parts) == num


def test_the_parts_of_the_platonic_grids_by_hand() -> None:
    """Cube and octahedron: 1 + 3 + 2 (+ 1 + ...): known decompositions of functions on the vertices."""
    found = {
        num: sorted(
            (part.dim, part.copies)
            for part in orientation_components("irreps", orientation_grid("platonic", num, 3), reflections=False).parts
        )
        for num in (4, 6, 8, 12, 20)
    }
    assert found == {
        4: [(1, 1), (3, 1)],
        6: [(1, 1), (2, 1), (3, 1)],
        8: [(1, 1), (1, 1), (3, 1), (3, 1)],
        12: [(1, 1), (3, 1), (3, 1), (5, 1)],
        20: [(1, 1), (3, 1), (3, 1), (4, 2), (5, 1)],
    }


@pytest.mark.parametrize("kind", ["bandlimited", "irreps"])
@pytest.mark.parametrize("num", [4, 6, 8, 12, 20])
@pytest.mark.parametrize("reflections", [False, True])
def test_maps_commute_with_every_motion_of_the_grid(kind: str, num: int, reflections: bool) -> None:
    grid = orientation_grid("platonic", num, 3)
    torch.manual_seed(0)
    components = orientation_components(kind, grid, reflections=reflections)
    layer = OrientationLinear(components, 3, 5).double()
    x = torch.randn(7, num, 3, dtype=torch.float64)
    places = permutations(grid, reflections=reflections)
    assert len(places) == len(grid_symmetries(grid, reflections=reflections).elements)
    with torch.no_grad():
        out = layer(x)
        for place in places:
            torch.testing.assert_close(layer(x[:, place]), out[:, place], rtol=0, atol=1e-12)
        if num > 4:  # of a tetrahedron every permutation is a motion
            assert float((layer(x.roll(1, dims=1)) - out.roll(1, dims=1)).abs().max()) > 1e-2


@pytest.mark.parametrize(
    ("kind", "grid", "bandlimit"),
    [
        ("bandlimited", orientation_grid("platonic", 4, 3), 1),
        ("bandlimited", orientation_grid("fibonacci", 9, 3), 2),
        ("bandlimited", orientation_grid("uniform", 5, 2), 2),
        ("irreps", orientation_grid("platonic", 12, 3), 1),
        ("irreps", orientation_grid("uniform", 6, 2), 1),
    ],
)
def test_one_weight_for_all_parts_of_a_whole_signal_is_the_pointwise_map(
    kind: str, grid: Tensor, bandlimit: int
) -> None:
    layer = OrientationLinear(orientation_components(kind, grid, bandlimit=bandlimit), 3, 5).double()
    pointwise = nn.Linear(3, 5).double()
    with torch.no_grad():
        for part, weight in zip(layer.parts, layer.weights):
            weight.copy_(torch.block_diag(*[pointwise.weight] * part.copies))
        layer.bias.copy_(pointwise.bias)
        x = torch.randn(4, len(grid), 3, dtype=torch.float64)
        torch.testing.assert_close(layer(x), pointwise(x), rtol=0, atol=1e-12)


def test_a_band_limit_of_one_keeps_mean_and_dipole_and_drops_the_rest() -> None:
    """On the octahedron a signal is its mean, its odd part (degree 1) and its even rest (degree 2), by hand."""
    grid = orientation_grid("platonic", 6, 3)
    layer = OrientationLinear(orientation_components("bandlimited", grid), 1, 1).double()
    with torch.no_grad():
        layer.weights[0].fill_(2.0)
        layer.weights[1].fill_(-3.0)
        layer.bias.fill_(0.5)
    # vectors come as -x, +x, -y, +y, -z, +z: mean 2, odd parts 0.5, 0 and 1
    assert grid[:2].tolist() == [[-1, 0, 0], [1, 0, 0]]
    x = torch.tensor([[[1.0], [2.0], [2.0], [2.0], [1.5], [3.5]]], dtype=torch.float64)
    expected = [2 * 2 + 0.5 - 3 * odd for odd in (-0.5, 0.5, 0.0, 0.0, -1.0, 1.0)]
    assert layer(x).flatten().tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("dim", "counts"), [(2, [1, 2, 2, 2]), (3, [1, 3, 5, 7])])
def test_harmonics_of_different_degree_are_orthogonal(dim: int, counts: list[int]) -> None:
    """By an average over many random directions, and of the right number."""
    points = torch.nn.functional.normalize(
        torch.randn(200_000, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64), dim=1
    )
    found = [harmonics_of_degree(points, degree) for degree in range(4)]
    assert [columns.shape[1] for columns in found] == counts
    for a in range(4):
        for b in range(a):
            assert float((found[a].T @ found[b] / len(points)).abs().max()) < 0.03


def test_bad_kinds_are_named() -> None:
    fibonacci = orientation_grid("fibonacci", 12, 3)
    with pytest.raises(ValueError, match=r"unknown kind 'bandlimit', expected one of 'bandlimited', 'irreps'"):
        orientation_components("bandlimit", fibonacci)
    with pytest.raises(ValueError, match="bandlimit must be at least 0, got -1"):
        orientation_components("bandlimited", fibonacci, bandlimit=-1)
    message = "bandlimit=2 needs 9 components, which 6 orientations do not tell apart in R\\^3: use bandlimit=1"
    with pytest.raises(ValueError, match=message):
        orientation_components("bandlimited", orientation_grid("platonic", 6, 3), bandlimit=2)
    with pytest.raises(ValueError, match=r"this one of 12 has \d+ motions that do not: use grid='platonic'"):
        orientation_components("irreps", fibonacci)


def test_the_change_of_components_keeps_its_digits_in_every_dtype() -> None:
    layer = OrientationLinear(orientation_components("irreps", orientation_grid("platonic", 12, 3)), 2, 2)
    analysis = layer.analysis.clone()
    layer = layer.bfloat16().double()
    assert torch.equal(layer.analysis, analysis)
    assert layer.weights[0].dtype == torch.float64
    assert "analysis" not in layer.state_dict()
