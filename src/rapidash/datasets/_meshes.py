"""Triangle meshes: OFF and PLY files, and points on their surface."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash.datasets._ply import Elements, read_ply_elements
from rapidash.datasets._reading import Array, DataError, readable

_OFF_HEADER = re.compile(r"(ST)?C?N?OFF(?![A-Za-z])", re.IGNORECASE)
_PLY_VECTORS = {"normal": ("nx", "ny", "nz"), "vel": ("vx", "vy", "vz")}
_BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf"  # of UTF-8, as Latin-1 reads it


@dataclass(frozen=True)
class Mesh:
    """Vertices (V, 3), triangles (F, 3), and what else a file has for every vertex, by name: (V, C) each."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]
    properties: Mapping[str, Array] = field(default_factory=dict)


def read_off(path: Path, *, needs_faces: bool = True) -> Mesh:
    """A mesh from an OFF file: faces may be polygons, which are cut into triangles, and have colors.

    Accepted are counts on the first line ("OFF490 518 0"), comments, and vertices with more columns (COFF, NOFF, ...).

    Args:
        path: the file.
        needs_faces: False takes a file without faces for a cloud of points.
    Raises: DataError for a file that is no OFF, cut short, without faces, or with a vertex that does not exist.
    """
    with readable(path):
        text = path.read_text(encoding="latin1").removeprefix(_BYTE_ORDER_MARK)
    lines = [line for line in (line.split("#", 1)[0].strip() for line in text.splitlines()) if line]
    header = _OFF_HEADER.match(lines[0]) if lines else None
    if header is None:
        raise DataError(f"{path} does not begin with 'OFF'")
    lines[0] = lines[0][header.end() :].strip()
    counts, *body = lines if lines[0] else lines[1:] or [""]
    try:
        num_vertices, num_faces = (_count(word) for word in counts.split()[:2])
    except ValueError as error:
        raise DataError(f"{path} has no numbers of vertices and faces after 'OFF', but {counts!r}") from error
    vertices, faces = body[:num_vertices], body[num_vertices : num_vertices + num_faces]
    for what, announced, found in (("vertices", num_vertices, vertices), ("faces", num_faces, faces)):
        if announced == 0 and (what == "vertices" or needs_faces):
            raise DataError(f"{path} has no {what}: points cannot be sampled from its surface")
        if len(found) < announced:
            raise DataError(f"{path} announces {announced} {what} and has {len(found)}: it is cut short")
    try:
        corners = np.array([line.split()[:3] for line in vertices], dtype=np.float64).reshape(num_vertices, 3)
    except ValueError as error:
        raise DataError(f"{path} has a vertex that is not three numbers: {error}") from error
    triangles = _triangles(path, faces)
    _check_corners(path, triangles, num_vertices)
    return Mesh(corners, triangles)


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
        if not isinstance(values, list)
    }
    if missing := [name for name in "xyz" if name not in columns]:
        have = f"they have {', '.join(columns)}" if columns else "it has none"
        raise DataError(f"{path}: its vertices have no {missing[0]!r}, expected x, y and z; {have}")
    vertices = np.concatenate([columns.pop(name) for name in "xyz"], axis=1).astype(np.float64)
    if len(vertices) == 0:
        raise DataError(f"{path} has no vertices")
    triangles = np.concatenate([_of_polygons(path, elements), _of_strips(path, elements)])
    _check_corners(path, triangles, len(vertices))
    return Mesh(vertices, triangles, _with_vectors(columns))


def _check_corners(path: Path, triangles: NDArray[np.int64], num_vertices: int) -> None:
    """Raises: DataError for a corner that is no vertex."""
    if len(outside := triangles[(triangles < 0) | (triangles >= num_vertices)]):
        raise DataError(f"{path} has a face with vertex {outside[0]}, it has {num_vertices} vertices")


def _of_polygons(path: Path, elements: Elements) -> NDArray[np.int64]:
    """The faces of a ply file cut into triangles (F, 3)."""
    corners = _index_lists(path, elements, "face")
    sizes = np.array([len(face) for face in corners], dtype=np.int64)
    if len(short := np.flatnonzero(sizes < 3)):
        raise DataError(f"{path}, face {short[0]} has {sizes[short[0]]} vertices, at least 3 needed")
    parts = [np.zeros((0, 3), dtype=np.int64)]
    for size in np.unique(sizes).tolist():
        faces = np.stack([face for face in corners if len(face) == size])
        parts += [faces[:, [0, k, k + 1]] for k in range(1, size - 1)]
    return np.concatenate(parts)


def _of_strips(path: Path, elements: Elements) -> NDArray[np.int64]:
    """The triangles (F, 3) of strips: each corner makes one with the two before it, turned in turn; -1 ends a strip."""
    triangles: list[list[int]] = []
    for strips in _index_lists(path, elements, "tristrips"):
        for strip in np.split(strips, np.flatnonzero(strips == -1)):
            ring = strip[strip != -1].tolist()
            triangles += [[ring[k], ring[k + 1 + k % 2], ring[k + 2 - k % 2]] for k in range(len(ring) - 2)]
    return np.array(triangles, dtype=np.int64).reshape(-1, 3)


def _index_lists(path: Path, elements: Elements, name: str) -> list[NDArray[np.int64]]:
    """Lists of vertices of an element of a ply file, under either of their names."""
    element = elements.get(name, {})
    lists = element.get("vertex_indices", element.get("vertex_index", []))
    if not isinstance(lists, list):
        return []
    if any(row.dtype.kind == "f" and not (np.isfinite(row) & (row == np.rint(row))).all() for row in lists):
        raise DataError(f"{path}: a vertex of {name!r} is not a whole number")
    return [row.astype(np.int64) for row in lists]


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


def _count(word: str) -> int:
    if not word.isdecimal():
        raise ValueError(f"{word!r} is no count")
    return int(word)


def _triangles(path: Path, faces: list[str]) -> NDArray[np.int64]:
    """Faces "n i1 ... in", each maybe with a color after it, cut into triangles (F, 3)."""
    triangles: list[tuple[int, int, int]] = []
    for number, line in enumerate(faces):
        try:
            size, *rest = line.split()
            corners = [int(word) for word in rest[: int(size)]]
        except ValueError as error:
            raise DataError(f"{path}, face {number} is not a list of whole numbers: {line!r}") from error
        if len(corners) < 3 or len(corners) < int(size):
            raise DataError(
                f"{path}, face {number}: {size} vertices announced, {len(corners)} found, at least 3 needed"
            )
        triangles += [(corners[0], corners[k], corners[k + 1]) for k in range(1, len(corners) - 1)]
    return np.array(triangles, dtype=np.int64).reshape(-1, 3)
