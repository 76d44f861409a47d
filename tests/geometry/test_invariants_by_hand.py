"""What the kernel of every symmetry and space sees, worked out by hand for one edge and two orientations."""

import math

import pytest
import torch
from torch import Tensor

from rapidash.geometry import pair_invariants, polynomial_cutoff
from rapidash.groups import O2, SE, SO2, E, T


def exact(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# d has length 7; d.a = 2 and d.b = 1.8 + 4.8 = 6.6; d x a = (0, 6, -3), d x b = (-1.2, -1.6, 1.2)
D3, A3, B3 = [2.0, 3.0, 6.0], [1.0, 0.0, 0.0], [0.0, 0.6, 0.8]
ACROSS_A, ACROSS_B = math.sqrt(45), math.sqrt(5.44)
# d has length 5; d.a = 3 and d.b = 1.8 - 3.2 = -1.4; det(a, d) = -4, det(b, d) = -2.4 - 2.4 = -4.8, det(a, b) = 0.8
D2, A2, B2 = [3.0, -4.0], [1.0, 0.0], [0.6, 0.8]

SPATIAL = {
    ("R3", "E(3)"): (E(3), [[7.0]]),
    ("R3", "T(3)"): (T(3), [D3]),
    ("R3", "SO2(z)"): (SO2("z"), [[6.0, math.sqrt(13)]]),
    ("R3", "SO2(x)"): (SO2("x"), [[2.0, math.sqrt(45)]]),
    ("R3", "O2(y)"): (O2("y"), [[3.0, math.sqrt(40)]]),
    ("R3xS2", "E(3)"): (E(3), [[2.0, ACROSS_A], [6.6, ACROSS_B]]),
    ("R3xS2", "SE(3)"): (SE(3), [[2.0, ACROSS_A], [6.6, ACROSS_B]]),
    ("R3xS2", "T(3)"): (T(3), [[*D3, 2.0, ACROSS_A], [*D3, 6.6, ACROSS_B]]),
    # d.o, |d_perp|, d.n, o.n and det(n, d, o) = n . (d x o)
    ("R3xS2", "SO2(z)"): (SO2("z"), [[2.0, ACROSS_A, 6.0, 0.0, -3.0], [6.6, ACROSS_B, 6.0, 0.8, 1.2]]),
    ("R3xS2", "SO2(x)"): (SO2("x"), [[2.0, ACROSS_A, 2.0, 1.0, 0.0], [6.6, ACROSS_B, 2.0, 0.0, -1.2]]),
    ("R3xS2", "SO2(y)"): (SO2("y"), [[2.0, ACROSS_A, 3.0, 0.0, 6.0], [6.6, ACROSS_B, 3.0, 0.6, -1.6]]),
    ("R3xS2", "O2(z)"): (O2("z"), [[2.0, ACROSS_A, 6.0, 0.0, 3.0], [6.6, ACROSS_B, 6.0, 0.8, 1.2]]),
    ("R2", "E(2)"): (E(2), [[5.0]]),
    ("R2", "T(2)"): (T(2), [D2]),
    ("R2xS1", "E(2)"): (E(2), [[3.0, 4.0], [-1.4, 4.8]]),
    ("R2xS1", "SE(2)"): (SE(2), [[3.0, -4.0], [-1.4, -4.8]]),
    ("R2xS1", "T(2)"): (T(2), [[*D2, 3.0, 4.0], [*D2, -1.4, 4.8]]),
}
# entry [b][a] belongs to the source a and the target b; a x b = (0, -0.8, 0.6)
COSINES = {3: [[[1.0], [0.0]], [[0.0], [1.0]]], 2: [[[1.0], [0.6]], [[0.6], [1.0]]]}
SPHERICAL = {
    ("R3xS2", "E(3)"): (E(3), COSINES[3]),
    ("R3xS2", "SE(3)"): (SE(3), COSINES[3]),
    ("R3xS2", "T(3)"): (T(3), COSINES[3]),
    # o_a.o_b, o_a.n of the source, o_b.n of the target, det(n, o_a, o_b)
    ("R3xS2", "SO2(z)"): (
        SO2("z"),
        [[[1.0, 0.0, 0.0, 0.0], [0.0, 0.8, 0.0, -0.6]], [[0.0, 0.0, 0.8, 0.6], [1.0, 0.8, 0.8, 0.0]]],
    ),
    ("R3xS2", "SO2(y)"): (
        SO2("y"),
        [[[1.0, 0.0, 0.0, 0.0], [0.0, 0.6, 0.0, 0.8]], [[0.0, 0.0, 0.6, -0.8], [1.0, 0.6, 0.6, 0.0]]],
    ),
    ("R3xS2", "SO2(x)"): (
        SO2("x"),
        [[[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]],
    ),
    ("R3xS2", "O2(z)"): (
        O2("z"),
        [[[1.0, 0.0, 0.0, 0.0], [0.0, 0.8, 0.0, 0.6]], [[0.0, 0.0, 0.8, 0.6], [1.0, 0.8, 0.8, 0.0]]],
    ),
    ("R2xS1", "E(2)"): (E(2), COSINES[2]),
    # the cosine, and the sine of the angle from source to target
    ("R2xS1", "SE(2)"): (SE(2), [[[1.0, 0.0], [0.6, -0.8]], [[0.6, 0.8], [1.0, 0.0]]]),
    ("R2xS1", "T(2)"): (T(2), COSINES[2]),
}


@pytest.mark.parametrize(("space", "name"), SPATIAL)
def test_attributes_of_an_edge(space: str, name: str) -> None:
    group, expected = SPATIAL[space, name]
    offset = exact(D3 if group.dim == 3 else D2)
    grid = (exact(A3, B3) if group.dim == 3 else exact(A2, B2)) if "x" in space else offset[:0]
    found = pair_invariants(space, group).spatial(offset, grid)
    torch.testing.assert_close(found, exact(expected), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("space", "name"), SPHERICAL)
def test_attributes_of_two_orientations(space: str, name: str) -> None:
    group, expected = SPHERICAL[space, name]
    grid = exact(A3, B3) if group.dim == 3 else exact(A2, B2)
    found = pair_invariants(space, group).spherical(grid)
    torch.testing.assert_close(found, exact(*expected), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("space", "name"), SPATIAL)
def test_sizes_and_properties_are_those_of_the_attributes(space: str, name: str) -> None:
    group, spatial = SPATIAL[space, name]
    kernel = pair_invariants(space, group)
    assert kernel.spatial_dim == len(spatial[0])
    assert kernel.has_orientations is ((space, name) in SPHERICAL)
    if kernel.has_orientations:
        assert kernel.spherical_dim == len(SPHERICAL[space, name][1][0][0])
    assert kernel.is_chiral is ((space, name) == ("R3xS2", "SE(3)"))
    signed = {
        "E(3)": (False,) if space == "R3" else (True, False),
        "E(2)": (False,) if space == "R2" else (True, False),
        "SE(3)": (True, False),
        "SE(2)": (True, True),
    }
    assert kernel.signed == ((True, False) if space == "R3" and "2(" in name else signed.get(name))


def test_the_two_signs_of_every_attribute_are_reached() -> None:
    """An edge and its reverse: what is signed changes its sign, what is not stays."""
    grid, offset = exact(A3, B3), exact(D3)
    for space, group in ((space, group) for (space, name), (group, _) in SPATIAL.items() if group.dim == 3):
        kernel = pair_invariants(space, group)
        if kernel.signed is None:
            continue
        some = grid if kernel.has_orientations else grid[:0]
        there, back = kernel.spatial(offset, some), kernel.spatial(-offset, some)
        factors = exact([-1.0 if both else 1.0 for both in kernel.signed])
        torch.testing.assert_close(back, factors * there)


def test_the_window_half_way_to_the_cutoff() -> None:
    """p = 6: 1 - 28 / 64 + 48 / 128 - 21 / 256 = (256 - 112 + 96 - 21) / 256; p = 1: 1 - 3 / 2 + 3 / 4 - 1 / 8."""
    half = exact(1.5)
    assert polynomial_cutoff(half, 3.0).tolist() == [219 / 256]
    assert polynomial_cutoff(half, 3.0, power=1).tolist() == [0.125]
