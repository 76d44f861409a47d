"""Labeled shapes read one at a time, and the meshes of folders CLASS/train and CLASS/test, with points on them."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from rapidash._seed import seeded
from rapidash.datasets._locate import any_case
from rapidash.datasets._meshes import read_off, sample_surface
from rapidash.datasets._reading import Array, DataError
from rapidash.datasets._shapes import ShapeCollector

MESH_POINTS = 1024
Shape = tuple[Array, float, Array | None]  # positions, label, normals
Entry = tuple[str, Callable[[], Shape]]  # its name in errors, and how to read it


def add_entries(shapes: ShapeCollector, entries: Iterable[Entry]) -> None:
    """Read shapes and collect them; those that cannot be read are reported."""
    for entry, load in entries:
        try:
            pos, label, normal = load()
        except DataError as error:
            shapes.reject(entry, str(error))
        else:
            shapes.add(entry, pos, label, normal=normal)


def mesh_entries(
    folder: Path,
    part: str,
    num_points: int | None,
    class_names: Sequence[str],
    stream: tuple[int | str, ...],
    obtain: str,
) -> list[Entry]:
    """The meshes ``CLASS/<part>/*.off`` of a folder in sorted order, with points uniform on their surfaces.

    The points of a mesh come from a random stream named by ``stream`` and its file (``num_points`` None: 1024).
    Raises: FileNotFoundError where there is none, with ``obtain``.
    """
    found = folder.glob(any_case(f"*/{part}/*.off"))
    files = sorted(file for file in found if not file.name.startswith("."))  # macOS adds hidden ones
    if not files:
        raise FileNotFoundError(f"no mesh in {folder}: looked for CLASS/{part}/*.off. {obtain}")

    def load(file: Path) -> Shape:
        kind = file.parents[1].name
        if kind not in class_names:
            raise DataError(f"unknown class {kind!r}")
        count = MESH_POINTS if num_points is None else num_points
        pos, normal = sample_surface(read_off(file), count, seeded(*stream, file.stem))
        return pos, class_names.index(kind), normal

    return [(str(file.relative_to(folder)), partial(load, file)) for file in files]
