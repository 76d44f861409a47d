"""Polygons cut into triangles, whose areas must add up to that of the polygon by the formula of Gauss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapidash.datasets._polygons import cut_polygons
from rapidash.datasets._reading import DataError


def cut(vertices: list[list[float]] | np.ndarray, *faces: list[int]) -> list[np.ndarray]:
    """The triangles of every face."""
    sizes, corners = np.array([len(face) for face in faces]), np.concatenate([np.array(face) for face in faces])
    found: dict[int, np.ndarray] = {}
    for places, triangles in cut_polygons("a.off", np.array(vertices, dtype=float), sizes, corners):
        found |= dict(zip(places.tolist(), triangles))
    return [found[place] for place in range(len(faces))]


def signed_areas(vertices: np.ndarray, triangles: np.ndarray, normal: np.ndarray) -> np.ndarray:
    a, b, c = np.moveaxis(vertices[triangles], 1, 0)
    return np.cross(b - a, c - a) @ normal / 2


def rotation(seed: int) -> np.ndarray:
    turned, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return turned * np.linalg.det(turned)


@pytest.mark.parametrize("mirrored", [False, True])
def test_convex_polygons_keep_their_fan(mirrored: bool) -> None:
    angles = np.arange(7) * 2 * np.pi / 7
    ring = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1) @ rotation(0).T + 3
    face = list(range(7))[:: -1 if mirrored else 1]
    (triangles,) = cut(ring, face)
    assert triangles.tolist() == [[face[0], face[k], face[k + 1]] for k in range(1, 6)]


def test_corners_on_a_line_keep_their_fan_also_with_rounding() -> None:
    ring = [[0, 0, 0], [1, 1e-9, 0], [2, 0, 0], [2, 1, 0], [1, 1 - 1e-9, 0], [0, 1, 0]]
    (triangles,) = cut(ring, [0, 1, 2, 3, 4, 5])
    assert triangles.tolist() == [[0, k, k + 1] for k in range(1, 5)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(radii=st.lists(st.floats(0.05, 1), min_size=4, max_size=30), first=st.integers(0, 29), seed=st.integers(0, 99))
def test_stars_about_a_point_are_covered_once(radii: list[float], first: int, seed: int) -> None:
    num = len(radii)
    angles = np.arange(num) * 2 * np.pi / num
    x, y = np.array(radii) * np.cos(angles), np.array(radii) * np.sin(angles)
    area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
    turned = rotation(seed)
    vertices = np.stack([x, y, 0 * x], axis=1) @ turned.T + 2
    face = np.roll(np.arange(num), first)
    for order in (face, face[::-1]):
        (triangles,) = cut(vertices, order.tolist())
        normal = turned[:, 2] if order is face else -turned[:, 2]
        areas = signed_areas(vertices, triangles, normal)
        assert areas.min() > -1e-9
        assert areas.sum() == pytest.approx(area, abs=1e-9)


def test_a_spiral_and_a_hole_with_a_bridge() -> None:
    # A corridor of width 1 that winds inward (area 1 for each of its 17 unit squares), and a 3 x 3 square with a hole.
    spiral = [[0, 0], [5, 0], [5, 5], [0, 5], [0, 2], [3, 2], [3, 3], [1, 3], [1, 4], [4, 4], [4, 1], [0, 1]]
    ring = [[0, 0], [3, 0], [3, 3], [0, 3], [0, 0], [1, 1], [1, 2], [2, 2], [2, 1], [1, 1]]
    for corners, area in ((spiral, 5 + 4 + 4 + 2 + 2), (ring, 8)):
        vertices = np.concatenate([corners, np.zeros((len(corners), 1))], axis=1)
        (triangles,) = cut(vertices, list(range(len(corners))))
        areas = signed_areas(vertices, triangles, np.array([0, 0, 1.0]))
        assert areas.min() >= 0
        assert areas.sum() == area


def test_polygons_without_an_inside_still_give_triangles() -> None:
    bow = [[0, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0]]
    point = [[1, 1, 1]] * 4
    infinite = [[0, 0, 0], [np.inf, 0, 0], [1, 1, 0], [np.nan, 1, 0]]
    for vertices in (bow, point, infinite):
        (triangles,) = cut(vertices, [0, 1, 2, 3])
        assert triangles.shape == (2, 3)
        assert set(triangles.reshape(-1).tolist()) == {0, 1, 2, 3}


def test_sizes_may_be_mixed_and_the_largest_is_refused() -> None:
    corners = [[0, 0, 0], [2, 0, 0], [2, 2, 0], [1, 0.5, 0], [0, 2, 0]]
    small, notched, square = cut(corners, [0, 1, 2], [0, 1, 2, 3, 4], [0, 1, 2, 4])
    assert (small.tolist(), square.tolist()) == ([[0, 1, 2]], [[0, 1, 2], [0, 2, 4]])
    assert signed_areas(np.array(corners), notched, np.array([0, 0, 1.0])).sum() == 2.5
    with pytest.raises(DataError, match=r"a\.off, face 1 has 10002 corners and is not convex: cut it up"):
        cut(corners, [0, 1, 2], [0, 1, 2, 3] + [4] * 9998)
