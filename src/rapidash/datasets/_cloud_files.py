"""Clouds from a user's own files: xyz, npz, ply and off, one reader for all."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rapidash._names import unknown_name
from rapidash.datasets._frames import read_xyz_frames
from rapidash.datasets._meshes import Mesh, read_off, read_ply
from rapidash.datasets._npz import NpzArrays, read_npz
from rapidash.datasets._reading import Array, DataError
from rapidash.datasets._stated import check_arrays

ALIASES = {  # of arrays in npz files, the field's name first
    "pos": ("pos", "positions", "coords", "R", "points"),
    "z": ("z", "numbers", "nuclear_charges", "atomic_numbers", "Z"),
    "vel": ("vel", "velocities", "velocity"),
    "normal": ("normal", "normals"),
    "label": ("label", "category"),
    "num_points": ("num_points", "num_atoms", "n_atoms"),
}
Label = str | float


@dataclass(frozen=True)
class FileCloud:
    """One cloud as a file has it.

    Args:
        name: file and entry, e.g. ``"water.xyz, frame 3"``.
        arrays: a row per point (or vertex) each; ``pos`` (N, D) is among them, in the unit of the file.
        triangles: (F, 3) of a mesh; None for points without faces.
        label: category of the cloud, a number or a name; None where the file has none.
        left_out: what is wrong with arrays that the file also has, by name, for a task that needs one of them.
        values: what the file has for the cloud as a whole, by name: numbers, arrays or text.
        cell: (D, D) vectors along which the cloud repeats, a row each; None where it does not repeat.
        periodic: (D,) along which of them.
        units: of arrays and values, by name, where the format says them.
        assumes_units: whether they are those of a convention, because the format says none.
    """

    name: str
    arrays: dict[str, Array]
    triangles: Array | None = None
    label: Label | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    cell: Array | None = None
    periodic: Array | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    assumes_units: bool = False


Entries = Iterator[tuple[str, FileCloud | DataError]]


def read_clouds(path: Path | str) -> Entries:
    """The clouds of a file with their names, a ``DataError`` in the place of one that cannot be read.

    ``.xyz``, ``.extxyz``: every frame; z, pos, and the numeric columns that extended xyz declares. A frame is bad where
    its comment states periods, a cell or another unit than angstrom, or its lines are not what it declares.

    ``.npz``: pos (N, D) of one cloud, (B, N, D) of several of one size, (B, A, D) padded with num_points (B,), or
    (N, D) of all points with num_points (B,); every other array with a row per point (or, of clouds of one size, one
    for all of them) is taken along, and ``left_out`` says why one is not. Names of other formats are known: positions,
    coords, R, points; numbers, nuclear_charges, atomic_numbers, Z for z; charges for charge, beside num_atoms for z;
    velocities for vel; normals for normal; category for label (a number or name per cloud); num_atoms, n_atoms, and
    beside R and Z also N, for num_points. What arrays state of periods, a cell or another unit counts (pbc, cell,
    units). An array is left out that would unpack to more than 256 MiB and 30 times the size of the file. An array of
    several clouds with a row for each, and no row per point, is among the ``values`` of the clouds.

    ``.ply`` (text or binary), ``.off``: one mesh, or the points of a file without faces. Other numbers that a ply has
    for its vertices are taken along: nx, ny, nz as normal, vx, vy, vz as vel.

    Raises: FileNotFoundError; DataError for another format, or a file of several clouds that cannot be read at all.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder: give the files in it, such as {path}/*.xyz")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file: give files of the formats {', '.join(_READERS)}")
    if path.suffix.lower() not in _READERS:
        raise DataError(f"{path}: {unknown_name('format', path.suffix.lower(), _READERS)}")
    return _READERS[path.suffix.lower()](path)


def _xyz(path: Path) -> Entries:
    for entry, found in read_xyz_frames(path):
        name = f"{path}, {entry}"
        yield name, found if isinstance(found, DataError) else FileCloud(name, found)


def _npz(path: Path) -> Entries:
    return read_npz_clouds(path)


def read_npz_clouds(path: Path, *, with_cells: bool = False) -> Entries:
    """As `read_clouds`; with ``with_cells`` arrays cell (3, 3) or (B, 3, 3) and pbc (3,) or (B, 3) may be stated."""
    given = read_npz(path, verify=False)
    every = {*given, *given.objects}
    arrays, bad = _small_enough(given, every)
    bad |= {_known_name(name, every): f"{name!r} holds Python objects" for name in given.objects}
    if wrong := bad.get("pos") or bad.get("num_points"):
        raise DataError(f"{path}: {wrong}, expected numbers: clouds of several sizes stand one after the other")
    if "pos" not in arrays:
        raise DataError(f"{path} has no array 'pos' (or {', '.join(ALIASES['pos'][1:])}), it has {sorted(given)}")
    cells = _take_cells(path, arrays) if with_cells else None
    try:
        check_arrays(arrays)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    pos, sizes = arrays["pos"], arrays.pop("num_points", None)
    if pos.dtype.kind not in "fiu" or pos.ndim not in (2, 3):
        raise DataError(f"{path}: 'pos' has shape {pos.shape} of {pos.dtype}, expected numbers (N, D) or (B, N, D)")
    if 0 in pos.shape:
        raise DataError(f"{path}: it has no points: 'pos' has the shape {pos.shape}")
    if sizes is not None:
        _check_sizes(path, pos, sizes)
    if pos.ndim == 3:
        found = _stacked(path, arrays, sizes, bad)
    elif sizes is not None:
        found = _concatenated(path, arrays, sizes, bad)
    else:
        (label,) = _take_labels(arrays, 1, bad)
        rows = _with_rows(arrays, len(pos), bad)
        values = {name: array for name, array in arrays.items() if name not in rows}
        one = FileCloud(str(path), rows, label=label, left_out=bad, values=values)
        found = iter([(str(path), one)])
    if cells is None:
        yield from found
        return
    num = len(pos) if pos.ndim == 3 else 1 if sizes is None else len(sizes)
    if any(len(part) not in (1, num) for part in cells):
        raise DataError(f"{path}: cell and pbc have {[len(part) for part in cells]} entries, expected 1 or {num}")
    for index, (name, cloud) in enumerate(found):
        cell, periodic = (part[index if len(part) > 1 else 0] for part in cells)
        yield name, replace(cloud, cell=cell, periodic=periodic) if isinstance(cloud, FileCloud) else cloud


def _take_cells(path: Path, arrays: dict[str, Array]) -> tuple[Array, Array] | None:
    """The arrays cell as (B or 1, D, D) and pbc as (B or 1, D), taken out; None where there is no cell."""
    cell, periodic = arrays.pop("cell", None), arrays.pop("pbc", None)
    if cell is None:
        if periodic is not None and periodic.any():
            raise DataError(f"{path}: 'pbc' says that it is periodic, and there is no array 'cell' (B, 3, 3)")
        return None
    if cell.dtype.kind not in "fiu" or cell.shape[-2:] not in ((2, 2), (3, 3)) or cell.ndim > 3:
        raise DataError(f"{path}: 'cell' has shape {cell.shape} of {cell.dtype}, expected (3, 3) or (B, 3, 3)")
    dim = cell.shape[-1]
    cell = cell.reshape(-1, dim, dim).astype(np.float64)
    if periodic is None:
        return cell, np.ones((1, dim), dtype=bool)
    if periodic.dtype.kind not in "biu" or periodic.shape[-1:] != (dim,) or periodic.ndim > 2:
        raise DataError(
            f"{path}: 'pbc' has shape {periodic.shape} of {periodic.dtype}, expected ({dim},) or (B, {dim})"
        )
    return cell, periodic.reshape(-1, dim).astype(bool)


def _small_enough(given: NpzArrays, every: Collection[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays by the names of fields, those that every cloud needs first, and why others are not unpacked."""
    arrays: dict[str, Array] = {}
    bad: dict[str, str] = {}
    order = [name for field in ALIASES for name in given if _known_name(name, every) == field]
    for name in dict.fromkeys([*order, *given]):
        field = _known_name(name, every)
        try:
            arrays[field] = given[name]
        except DataError as error:
            if field in ("pos", "num_points"):
                raise
            bad[field] = str(error).removeprefix(f"{given.path}: ")
    return arrays, bad


def _known_name(name: str, given: Collection[str]) -> str:
    """The field that an array is, unless the file has an array of that name."""
    if name == "N" and {"R", "Z"} <= set(given):  # the npz of DimeNet
        found = "num_points"
    elif name == "charges":  # nuclear ones in the npz files of molecules, which also have num_atoms
        found = "z" if "num_atoms" in given else "charge"
    else:
        found = next((field for field, names in ALIASES.items() if name in names), name)
    return name if found in given else found


def _check_sizes(path: Path, pos: Array, sizes: Array) -> None:
    most = pos.shape[pos.ndim - 2]
    expected = "(B,) whole numbers of at least 1" + (", at most A" if pos.ndim == 3 else " that add up to N")
    fits = sizes.dtype.kind in "iu" and sizes.ndim == 1 and bool(((sizes > 0) & (sizes <= most)).all())
    if fits and pos.ndim == 3:
        fits = len(sizes) == len(pos)
    elif fits:
        fits = int(sizes.sum(dtype=np.int64)) == len(pos)
    if not fits:
        raise DataError(f"{path}: 'num_points' {sizes.shape} does not fit 'pos' {pos.shape}, expected {expected}")


def _stacked(path: Path, arrays: dict[str, Array], sizes: Array | None, bad: dict[str, str]) -> Entries:
    num_clouds, num_points = arrays["pos"].shape[:2]
    labels = _take_labels(arrays, num_clouds, bad)
    own = {name: array for name, array in arrays.items() if array.shape[:2] == (num_clouds, num_points)}
    others = {name: array for name, array in arrays.items() if name not in own}
    shared = {} if sizes is not None else _with_rows(others, num_points, {})
    whole = f"({num_clouds}, {num_points}) first, as 'pos'" + (f", or {num_points} rows" if sizes is None else "")
    for name in others.keys() - shared.keys():
        shape = others[name].shape
        per_cloud = "" if shape[:1] == (num_clouds,) else f", or {num_clouds} rows, one for every cloud"
        bad.setdefault(name, f"{name!r} has shape {shape}, expected {whole}{per_cloud}")
    for index, label in enumerate(labels):
        name = f"{path}, cloud {index}"
        kept = slice(None if sizes is None else int(sizes[index]))
        found = shared | {key: array[index][kept] for key, array in own.items()}
        values = {
            key: array[index] for key, array in others.items() if key not in shared and array.shape[:1] == (num_clouds,)
        }
        yield name, FileCloud(name, found, label=label, left_out=bad, values=values)


def _concatenated(path: Path, arrays: dict[str, Array], sizes: Array, bad: dict[str, str]) -> Entries:
    labels = _take_labels(arrays, len(sizes), bad)
    rows = _with_rows(arrays, len(arrays["pos"]), bad)
    ends = np.cumsum(sizes.astype(np.int64))
    for index, (size, end, label) in enumerate(zip(sizes.tolist(), ends.tolist(), labels)):
        name = f"{path}, cloud {index}"
        found = {key: array[end - size : end] for key, array in rows.items()}
        values = {
            key: array[index] for key, array in arrays.items() if key not in rows and array.shape[:1] == sizes.shape
        }
        yield name, FileCloud(name, found, label=label, left_out=bad, values=values)


def _take_labels(arrays: dict[str, Array], num_clouds: int, bad: dict[str, str]) -> list[Label | None]:
    """The label of each cloud; those of every point stay where they are. ``bad`` takes up why there is none."""
    for name in ALIASES["label"]:
        if name in arrays and arrays[name].size == num_clouds:
            return [_label(value) for value in arrays.pop(name).reshape(-1).tolist()]
    if "label" in arrays:
        bad["label"] = f"'label' has {arrays['label'].size} values, expected {num_clouds}: one for every cloud"
    return [None] * num_clouds


def _label(value: str | bytes | float) -> Label:
    """A category as text, or as a whole number where it is one."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _with_rows(arrays: dict[str, Array], num_points: int, bad: dict[str, str]) -> dict[str, Array]:
    """The arrays with a row per point. ``bad`` takes up what is wrong with the others."""
    kept = {name: array for name, array in arrays.items() if array.ndim and len(array) == num_points}
    for name in arrays.keys() - kept.keys():
        rows = f"{len(arrays[name])} rows" if arrays[name].ndim else "a single value"
        bad.setdefault(name, f"{name!r} has {rows}, expected {num_points}: one for every point")
    return kept


def as_entries(path: Path | str, clouds: Entries) -> Entries:
    """The clouds of a file; where it cannot be read (any further), whatever the reason, that is one bad entry more."""
    try:
        yield from clouds
    except DataError as error:
        yield str(path), DataError(str(error).removeprefix(str(path)).lstrip(":, "))
    except Warning:
        raise  # a user made it an error
    except Exception as error:  # of a reader: the other files are read all the same
        yield str(path), unforeseen(error)


def unforeseen(error: Exception) -> DataError:
    """The problem of an entry whose reader raises an error that it did not foresee."""
    if isinstance(error, MemoryError):
        return DataError("it does not fit into memory")
    bad = DataError(f"it cannot be read ({type(error).__name__}: {error})")
    bad.__cause__ = error
    return bad


def _mesh(read: Callable[[Path], Mesh]) -> Callable[[Path], Entries]:
    """A file that is one entry: its damage is that of the entry."""

    def cloud(path: Path) -> Entries:
        mesh, name = read(path), str(path)
        arrays = {**mesh.properties, "pos": mesh.vertices}
        yield name, FileCloud(name, arrays, mesh.triangles if len(mesh.triangles) else None)

    return lambda path: as_entries(path, cloud(path))


_READERS: dict[str, Callable[[Path], Entries]] = {
    ".xyz": _xyz,
    ".extxyz": _xyz,
    ".npz": _npz,
    ".ply": _mesh(read_ply),
    ".off": _mesh(partial(read_off, needs_faces=False)),
}
CLOUD_FORMATS = tuple(_READERS)
