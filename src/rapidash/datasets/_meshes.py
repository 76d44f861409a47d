"""Triangle meshes: OFF and PLY files, and points on their surface."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash.datasets._reading import DataError, readable


@dataclass(frozen=True)
class Mesh:
    """Vertices (V, 3) and triangles (F, 3)."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]


def read_off(path: Path) -> Mesh:
    """A mesh from an OFF file; polygons are cut into triangles, counts on the first line ("OFF490 518 0") are accepted.

    Raises: DataError for a file that is no OFF, cut short, without faces, or with a vertex that does not exist.
    """
    with readable(path):
        text = path.read_text(encoding="latin1")
    words = " ".join(line.split("#", 1)[0] for line in text.splitlines()).split()
    if not words or not words[0].upper().startswith("OFF"):
        raise DataError(f"{path} does not begin with 'OFF'")
    words[0] = words[0][3:]
    words = words[1:] if not words[0] else words
    try:
        num_vertices, num_faces = int(words[0]), int(words[1])
        numbers = np.array(words[3:], dtype=np.float64)
    except (IndexError, ValueError) as error:
        raise DataError(f"{path} is not an OFF file: {error}") from error
    if num_faces == 0:
        raise DataError(f"{path} has no faces: points cannot be sampled from its surface")
    vertices, rest = numbers[: 3 * num_vertices], numbers[3 * num_vertices :]
    if len(vertices) < 3 * num_vertices:
        raise DataError(f"{path} announces {num_vertices} vertices and has {len(vertices) // 3}: it is cut short")
    triangles = _triangles(path, rest, num_faces)
    if triangles.min() < 0 or triangles.max() >= num_vertices:
        raise DataError(f"{path} has a face with vertex {triangles.max()}, it has {num_vertices} vertices")
    return Mesh(vertices.reshape(-1, 3), triangles)


def read_ply(path: Path) -> Mesh:
    """Vertices and triangles of a ply file, text or binary; polygons are cut into triangles, a cloud has none.

    Raises: DataError for a file that is no ply, cut short, or with a vertex that does not exist; ImportError without
        trimesh.
    """
    trimesh = _trimesh()
    with readable(path):
        content = path.read_bytes()
    if not content.startswith(b"ply"):
        raise DataError(f"{path} does not begin with 'ply'")
    header = content.partition(b"end_header")[0].decode("latin1")
    announced = {name: int(count) for name, count in re.findall(r"^element (\w+) (\d+)\s*$", header, re.MULTILINE)}
    if "vertex" not in announced:
        raise DataError(f"{path} announces no vertices: its header is damaged or cut short")
    try:
        with path.open("rb") as file:
            loaded: Any = trimesh.load(file, file_type="ply", process=False)
        vertices = np.array(loaded.vertices, dtype=np.float64).reshape(-1, 3)
        triangles = np.array(getattr(loaded, "faces", ()), dtype=np.int64).reshape(-1, 3)
    except Exception as error:  # trimesh raises whatever a damaged file makes it stumble over
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}): damaged or cut short") from error
    for what, found in (("vertex", vertices), ("face", triangles)):
        if len(found) < announced.get(what, 0):
            raise DataError(f"{path} announces {announced[what]} of {what!r} and has {len(found)}: it is cut short")
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= len(vertices)):
        raise DataError(f"{path} has a face with vertex {triangles.max()}, it has {len(vertices)} vertices")
    return Mesh(vertices, triangles)


def _trimesh() -> Any:
    try:
        import trimesh
    except ImportError as error:
        raise ImportError('ply files are read by trimesh: pip install "rapidash[data]"') from error
    return trimesh


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


def _triangles(path: Path, numbers: NDArray[np.float64], num_faces: int) -> NDArray[np.int64]:
    """Faces "n i1 ... in", maybe with colors after a face only if all have the same form, cut into triangles."""
    if len(numbers) >= 4 * num_faces and len(numbers) % num_faces == 0:
        table = numbers.reshape(num_faces, -1)
        if (table[:, 0] == 3).all():
            return table[:, 1:4].astype(np.int64)
    triangles, at = [], 0
    for face in range(num_faces):
        if at >= len(numbers):
            raise DataError(f"{path} announces {num_faces} faces and has {face}: it is cut short")
        size = int(numbers[at])
        corners = numbers[at + 1 : at + 1 + size].astype(np.int64)
        if size < 3 or len(corners) < size:
            raise DataError(f"{path}, face {face}: {size} vertices announced, {len(corners)} found, at least 3 needed")
        triangles += [(corners[0], corners[k], corners[k + 1]) for k in range(1, size - 1)]
        at += size + 1
    return np.array(triangles)
