"""Polygons of a mesh cut into triangles: a fan where it is right, ears where a polygon is not convex."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._reading import DataError

Vertices = NDArray[np.float64]
Indices = NDArray[np.int64]
_ROUNDING = 1e-6  # of a polygon's area: corners on a line, written with few digits
_AT_ONCE = 1 << 18  # corners
_LARGEST = 10_000  # corners of a polygon that is cut by its ears, in a time that grows with their square


def cut_polygons(
    source: object, vertices: Vertices, sizes: Indices, corners: Indices
) -> Iterator[tuple[Indices, Indices]]:
    """The triangles of polygons, those of one size at a time: their numbers (F,), and for each (size - 2, 3) corners.

    A fan from the first corner (0 1 2, 0 2 3, ...) is right where all its triangles are turned like the polygon, as
    in every convex one. The others lose one ear after the other, in the plane they are nearest to; of one that
    crosses itself, which has no inside, some triangles come out.

    Args:
        source: the file, for the error.
        vertices: (V, 3).
        sizes: corners of each polygon, at least 3.
        corners: of all polygons, one after the other; indices of vertices that exist.
    Raises: DataError for a polygon of more than 10,000 corners that is not convex.
    """
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes).tolist():
        places = np.flatnonzero(sizes == size)
        middle, block, parts = np.arange(1, size - 1), max(_AT_ONCE // size, 1), []
        for some in np.split(places, range(block, len(places), block)):
            polygons = corners[starts[some, None] + np.arange(size)]
            triangles = polygons[:, np.stack([0 * middle, middle, middle + 1], axis=1)]
            for index, flat in _folded(vertices[polygons]):
                if size > _LARGEST:
                    raise DataError(f"{source}, face {some[index]} has {size} corners and is not convex: cut it up")
                triangles[index] = polygons[index][_ears(flat)]
            parts.append(triangles)
        yield places, np.concatenate(parts)


def _folded(pos: Vertices) -> Iterator[tuple[int, Vertices]]:
    """The polygons among (F, n, 3) whose fan is wrong: number, and corners (n, 2) in a plane, turning to the left."""
    if pos.shape[1] == 3:
        return
    with np.errstate(all="ignore"):  # a polygon without extent, or with infinite vertices, keeps its fan
        edges = (pos - pos[:, :1]) / np.abs(pos - pos[:, :1]).max(axis=(1, 2), keepdims=True)
        areas = np.cross(edges[:, 1:-1], edges[:, 2:])  # twice that of each triangle of the fan, along its normal
        normal = areas.sum(axis=1)
        along = np.einsum("fkd,fd->fk", areas, normal)
        is_folded = (along < -_ROUNDING * np.square(normal).sum(axis=1, keepdims=True)).any(axis=1)
    for index in np.flatnonzero(is_folded).tolist():
        axis = int(np.abs(normal[index]).argmax())
        plane = [(axis + 1) % 3, (axis + 2) % 3][:: 1 if normal[index, axis] > 0 else -1]
        yield index, edges[index][:, plane]


def _ears(flat: Vertices) -> Indices:
    """Triangles (n - 2, 3) of a polygon (n, 2) that turns to the left: corners in which no other corner lies."""
    left, triangles = np.arange(len(flat)), []
    while len(left) > 2:
        before, after = np.roll(left, 1), np.roll(left, -1)
        turn = _turn(flat[before], flat[left], flat[after])
        inner = flat[left[turn < 0]]
        ears = (k for k in np.flatnonzero(turn >= 0) if _is_empty(flat[[before[k], left[k], after[k]]], inner))
        ear = next(ears, int(turn.argmax()))
        triangles.append([before[ear], left[ear], after[ear]])
        left = np.delete(left, ear)
    return np.array(triangles, dtype=np.int64)


def _turn(a: Vertices, b: Vertices, c: Vertices) -> Vertices:
    """Twice the area of triangles in the plane, positive where a, b, c turn to the left."""
    ab, ac = b - a, c - a
    return np.asarray(ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0])


def _is_empty(triangle: Vertices, points: Vertices) -> bool:
    """Whether none of the points lies in a triangle or on its sides; at its corners they may."""
    sides = [_turn(triangle[k], triangle[(k + 1) % 3], points) >= 0 for k in range(3)]
    at_corner = (points[:, None] == triangle).all(axis=2).any(axis=1)
    return not (sides[0] & sides[1] & sides[2] & ~at_corner).any()
