"""Triangle meshes: OFF and PLY files, and points on their surface."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash.datasets._off import read_off_numbers
from rapidash.datasets._ply import Elements, Lists, read_ply_elements
from rapidash.datasets._polygons import cut_polygons
from rapidash.datasets._reading import Array, DataError

_PLY_VECTORS = {"normal": ("nx", "ny", "nz"), "vel": ("vx", "vy", "vz")}
_LARGEST_INDEX = 2.0**53  # of the whole numbers that a float has


@dataclass(frozen=True)
class Mesh:
    """Vertices (V, 3), triangles (F, 3), and what else a file has for every vertex, by name: (V, C) each."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]
    properties: Mapping[str, Array] = field(default_factory=dict)


def read_off(path: Path, *, needs_faces: bool = True) -> Mesh:
    """A mesh from an OFF file: faces may be polygons, which are cut into triangles, and have colors.

    Accepted are counts on the first line ("OFF490 518 0"), comments, vertices with more columns (COFF, NOFF, ...), and
    numbers that are not on lines of their own.

    Args:
        path: the file.
        needs_faces: False takes a file without faces for a cloud of points.
    Raises: DataError for a file that is no OFF, cut short, without faces, with more than it announces, or with a
        vertex that does not exist.
    """
    vertices, sizes, corners = read_off_numbers(path, needs_faces=needs_faces)
    _check_corners(path, corners, len(vertices))
    starts = np.cumsum(sizes - 2) - (sizes - 2)
    triangles = np.zeros((int((sizes - 2).sum()), 3), dtype=np.int64)
    for places, cut in cut_polygons(path, vertices, sizes, corners):  # put back into the order of the file
        triangles[starts[places, None] + np.arange(cut.shape[1])] = cut
    return Mesh(vertices, triangles)


def read_ply(path: Path) -> Mesh:
    """Vertices, triangles and properties of a ply file, text or binary; polygons and strips are cut into triangles.

    The properties keep their names, but nx, ny, nz are ``normal`` (V, 3) and vx, vy, vz are ``vel``. A cloud has no
    triangles.
    Raises: DataError for a file that is no ply, cut short, without vertices, or with a vertex that does not exist.
    """
    elements = read_ply_elements(path)
    columns = {
        name: np.asarray(values)[:, None]
        for name, values in elements.get("vertex", {}).items()
        if not isinstance(values, Lists)
    }
    if missing := [name for name in "xyz" if name not in columns]:
        have = f"they have {', '.join(columns)}" if columns else "it has none"
        raise DataError(f"{path}: its vertices have no {missing[0]!r}, expected x, y and z; {have}")
    vertices = np.concatenate([columns.pop(name) for name in "xyz"], axis=1).astype(np.float64)
    if len(vertices) == 0:
        raise DataError(f"{path} has no vertices")
    triangles = np.concatenate([_of_polygons(path, elements, vertices), _of_strips(path, elements, len(vertices))])
    return Mesh(vertices, triangles, _with_vectors(columns))


def _check_corners(path: Path, corners: NDArray[np.int64], num_vertices: int) -> None:
    """Raises: DataError for a corner that is no vertex."""
    if len(outside := corners[(corners < 0) | (corners >= num_vertices)]):
        raise DataError(f"{path} has a face with vertex {outside[0]}, it has {num_vertices} vertices")


def _of_polygons(path: Path, elements: Elements, vertices: NDArray[np.float64]) -> NDArray[np.int64]:
    """The faces of a ply file cut into triangles (F, 3)."""
    faces = _index_lists(path, elements, "face")
    if len(short := np.flatnonzero(faces.sizes < 3)):
        raise DataError(f"{path}, face {short[0]} has {faces.sizes[short[0]]} vertices, at least 3 needed")
    _check_corners(path, faces.values, len(vertices))
    parts = [np.zeros((0, 3), dtype=np.int64)]
    cuts = cut_polygons(path, vertices, faces.sizes, faces.values)
    return np.concatenate([*parts, *(cut.swapaxes(0, 1).reshape(-1, 3) for _, cut in cuts)])


def _of_strips(path: Path, elements: Elements, num_vertices: int) -> NDArray[np.int64]:
    """The triangles (F, 3) of strips: each corner makes one with the two before it, turned in turn; -1 ends a strip."""
    strips = _index_lists(path, elements, "tristrips")
    _check_corners(path, strips.values[strips.values != -1], num_vertices)
    parts = [np.zeros((0, 3), dtype=np.int64)]
    for row in np.split(strips.values, np.cumsum(strips.sizes)[:-1]):
        for strip in np.split(row, np.flatnonzero(row == -1)):
            ring = strip[strip != -1]
            k = np.arange(len(ring) - 2)
            parts.append(np.stack([ring[k], ring[k + 1 + k % 2], ring[k + 2 - k % 2]], axis=1))
    return np.concatenate(parts)


def _index_lists(path: Path, elements: Elements, name: str) -> Lists:
    """Lists of vertices of an element of a ply file, under either of their names."""
    element = elements.get(name, {})
    lists = element.get("vertex_indices", element.get("vertex_index"))
    if not isinstance(lists, Lists):
        return Lists(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    values = lists.values
    if values.dtype.kind == "f" and not ((np.abs(values) < _LARGEST_INDEX) & (values == np.rint(values))).all():
        raise DataError(f"{path}: a vertex of {name!r} is not a whole number")
    return Lists(lists.sizes, values.astype(np.int64))


def _with_vectors(columns: dict[str, Array]) -> dict[str, Array]:
    """The columns, with three in one where they are the components of a vector."""
    for name, parts in _PLY_VECTORS.items():
        if set(parts) <= set(columns) and name not in columns:
            columns = {**columns, name: np.concatenate([columns[part] for part in parts], axis=1)}
            columns = {key: column for key, column in columns.items() if key not in parts}
    return columns


def sample_surface(
    mesh: Mesh, num_points: int, generator: torch.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points uniform on the surface and the normals of their faces: (num_points, 3) twice.

    Normals follow the winding of the file. Raises: DataError for a surface without area.
    """
    corners = mesh.vertices[mesh.triangles]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1) / 2
    if not np.isfinite(area).all() or area.sum() <= 0:
        raise DataError("its faces have no area, or vertices that are not finite")
    draws = torch.rand(3, num_points, generator=generator, dtype=torch.float64).numpy()
    cumulative = np.cumsum(area)
    face = np.minimum(np.searchsorted(cumulative, draws[0] * cumulative[-1], side="right"), len(area) - 1)
    root = np.sqrt(draws[1])
    weights = np.stack([1 - root, root * (1 - draws[2]), root * draws[2]])
    points = np.einsum("kn,nkd->nd", weights, corners[face])
    return points, cross[face] / (2 * area[face])[:, None]
