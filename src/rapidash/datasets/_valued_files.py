"""Clouds with everything that files say of them: one reader for all formats of structures, shapes and tables."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rapidash._names import unknown_name
from rapidash.datasets._cloud_files import Entries, FileCloud, read_clouds, read_npz_clouds
from rapidash.datasets._pcd import read_pcd
from rapidash.datasets._point_tables import read_csv_clouds, read_parquet_clouds, read_plain_points
from rapidash.datasets._reading import DataError
from rapidash.datasets._structure_files import names_in_use, read_ase_structures, read_sdf_molecules
from rapidash.datasets._text import is_number, text_lines
from rapidash.datasets._xyz import is_count

__all__ = ["VALUED_FORMATS", "names_in_use", "read_valued_clouds"]


def read_valued_clouds(path: Path | str, *, column: str | None = None) -> Entries:
    """The clouds of a file with their values, cells and units; a ``DataError`` in the place of a bad one.

    ``.xyz``, ``.extxyz``, ``.traj``, ``.cif``, ``.vasp``: structures, read by ASE (extra ``mol``); an ``.xyz`` of lines
    of numbers is one cloud of points. ``.sdf``: molecules, by RDKit (extra ``mol``). ``.npz``: as `read_clouds`, and
    with cell and pbc. ``.ply``, ``.off``: as `read_clouds`. ``.obj``, ``.stl``: meshes, by trimesh (extra ``mesh``).
    ``.pcd``: points. ``.csv``, ``.parquet`` (extra ``tables``): a row per point, clouds by a column.

    The file is read from its beginning to its end, one cloud in memory at a time (of npz and meshes the file).

    Args:
        path: the file.
        column: of tables, the column that tells the clouds apart; None: the first of those in use, such as "cloud" or
            "frame", and without one the table is a single cloud.
    Raises: FileNotFoundError; ImportError naming the extra; DataError for another format, or a file that cannot be read
        at all.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file: give files of the formats {', '.join(VALUED_FORMATS)}")
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise DataError(f"{path}: {unknown_name('format', suffix, VALUED_FORMATS)}")
    if suffix in (".csv", ".parquet"):
        return (read_csv_clouds if suffix == ".csv" else read_parquet_clouds)(path, column)
    return _READERS[suffix](path)


def _xyz(path: Path) -> Entries:
    first = next((line for line in text_lines(path) if line.strip()), "")
    words = first.split()
    if not is_count(first) and len(words) >= 3 and all(map(is_number, words)):
        return read_plain_points(path)
    return read_ase_structures(path)


def _pcd(path: Path) -> Entries:
    yield str(path), FileCloud(str(path), read_pcd(path))


def _by_trimesh(path: Path) -> Entries:
    try:
        import trimesh
    except ImportError as error:
        raise ImportError("obj and stl files need trimesh: pip install 'rapidash[mesh]'") from error
    try:
        found: Any = trimesh.load(path, process=False)
        parts: list[Any] = list(found.dump()) if isinstance(found, trimesh.Scene) else [found]
        vertices = np.concatenate([np.asarray(part.vertices, dtype=np.float64).reshape(-1, 3) for part in parts])
        starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
        faces = [
            np.asarray(part.faces) + first for part, first in zip(parts, starts) if len(getattr(part, "faces", ()))
        ]
    except Exception as error:  # damage can raise nearly everything
        yield str(path), DataError(f"trimesh cannot read it ({type(error).__name__}: {error})")
        return
    if len(vertices) == 0:
        yield str(path), DataError("it has no vertices: it is empty, damaged, or not of its format")
        return
    triangles = np.concatenate(faces).astype(np.int64) if faces else None
    yield str(path), FileCloud(str(path), {"pos": vertices}, triangles)


_READERS: dict[str, Callable[[Path], Entries]] = {
    ".xyz": _xyz,
    ".extxyz": read_ase_structures,
    ".traj": read_ase_structures,
    ".cif": read_ase_structures,
    ".vasp": read_ase_structures,
    ".sdf": read_sdf_molecules,
    ".npz": partial(read_npz_clouds, with_cells=True),
    ".ply": read_clouds,
    ".off": read_clouds,
    ".obj": _by_trimesh,
    ".stl": _by_trimesh,
    ".pcd": _pcd,
    ".csv": read_csv_clouds,
    ".parquet": read_parquet_clouds,
}
VALUED_FORMATS = tuple(_READERS)
