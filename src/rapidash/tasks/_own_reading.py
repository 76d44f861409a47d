"""The clouds of a user's files with one target, read once from beginning to end, with bounded memory."""

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.datasets import (
    VALUED_FORMATS,
    DataError,
    FileCloud,
    Mesh,
    as_entries,
    names_in_use,
    read_valued_clouds,
    sample_surface,
)

FOLDER: Final = "folder"  # the name of a class that is a folder
MOST_POINTS: Final = 5_000_000  # of all clouds that are kept
_SHOWN = 12
_PREDICTED = re.compile(r"(^|\.)predictions\.\w+$")  # files that `rapidash predict` writes beside others


@dataclass(frozen=True)
class Wanted:
    """The parts of files that are read.

    Args:
        files: files, or folders whose files are taken in sorted order.
        targets: names of the targets, one, or an energy and its forces; empty: the class is the folder.
        group: name of a value of the clouds by which they are split.
        column: of tables, what tells the clouds apart.
        at_points: take a column that is the same in all rows of a cloud for values of its points.
        num_points: at most so many points of a cloud without elements, a random part; of a mesh as many on its surface.
        max_clouds: of more clouds every second is kept, of more than twice as many every fourth, and so on.
        skips: leave out clouds that cannot be read or lack a target.
    """

    files: tuple[str, ...]
    targets: tuple[str, ...]
    group: str | None = None
    column: str | None = None
    at_points: bool = False
    num_points: int = 256
    max_clouds: int = 50_000
    skips: bool = False


@dataclass
class OwnClouds:
    """Clouds as files have them.

    Args:
        pos: of each cloud (N, D), float64, in the unit of the files.
        z: of each cloud (N,) atomic numbers; empty where there are none.
        targets: by target, of each cloud its value, or of each point.
        levels: by target, ``"cloud"`` or ``"point"``.
        names: by target, its name in the files.
        units: by target, its unit where the files say it, else empty.
        assumes_units: whether a file says none, and its units are those of a convention.
        groups: of each cloud, where they are asked for.
        file: (B,) the file of each cloud.
        paths: of the files.
        cells, periodic: of each cloud (D, D) and (D,), zero where it does not repeat; empty where none does.
        skipped: a message for every cloud that was left out.
        seen: clouds in the files.
        found: names of everything that the files have.
    """

    pos: list[Tensor] = field(default_factory=list)
    z: list[Tensor] = field(default_factory=list)
    targets: list[list[Any]] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    assumes_units: bool = False
    groups: list[str] = field(default_factory=list)
    file: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    paths: tuple[str, ...] = ()
    cells: list[Any] = field(default_factory=list)
    periodic: list[Any] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    seen: int = 0
    found: tuple[str, ...] = ()


@dataclass
class _Row:
    """One cloud, thinned, with its target as a value of the cloud, of its points, or both."""

    name: str
    pos: Tensor
    z: Tensor | None
    targets: list[tuple[Any, Any]]
    group: str
    file: int
    cell: Any
    periodic: Any


def is_valued(path: Path) -> bool:
    """Whether a file in a folder is one to be read: of a known format, and not written by `rapidash predict`."""
    return path.suffix.lower() in VALUED_FORMATS and not _PREDICTED.search(path.name)


def expanded(files: Sequence[str]) -> list[tuple[Path, str]]:
    """Every file with the name of its class, the folder within the given one that it lies in; empty for files.

    Raises: FileNotFoundError; DataError for a folder without files of a known format.
    """
    found: list[tuple[Path, str]] = []
    for given in map(Path, files):
        if not given.is_dir():
            if not given.is_file():
                raise FileNotFoundError(f"{given} does not exist: give files or folders")
            found.append((given, ""))
            continue
        inside = sorted(path for path in given.rglob("*") if path.is_file() and is_valued(path))
        if not inside:
            raise DataError(f"{given}: expected files of the formats {', '.join(VALUED_FORMATS)}, got none")
        for path in inside:
            parts = path.relative_to(given).parts
            found.append((path, parts[0] if len(parts) > 1 else ""))
    return found


def fingerprint(files: Sequence[str]) -> str:
    """Sixteen digits that change with the content of any of the files."""
    return _fingerprint(_state(files))


_State = tuple[tuple[str, str, int, int], ...]


def _state(files: Sequence[str]) -> _State:
    """Path, class, size and time of change of every file: while they stay, so does what was read."""
    stats = ((path, label, path.stat()) for path, label in expanded(files))
    return tuple((str(path), label, stat.st_size, stat.st_mtime_ns) for path, label, stat in stats)


@lru_cache(maxsize=8)
def _fingerprint(state: _State) -> str:
    digest = hashlib.sha256()
    for path, label, *_ in state:
        with Path(path).open("rb") as file:
            digest.update(label.encode("utf-8", "surrogateescape"))
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


_READ: dict[tuple[Wanted, _State], OwnClouds] = {}  # what was read last, the latest last
_KEPT = 2


def read_own(wanted: Wanted, watch: Callable[[int], None] | None = None) -> OwnClouds:
    """All clouds of some files with their targets; files that have not changed since are not read again.

    Of a file one cloud is in memory at a time, beside those that are kept: at most ``max_clouds``, and at most five
    million points in all.

    Args:
        wanted: the parts that are read.
        watch: called with the number of clouds that were read since its last call.
    Raises: FileNotFoundError; ImportError naming the extra of a format; DataError for a damaged file, a target or group
        that is missing (with the names that the files have), mixed kinds of clouds, or none.
    """
    state = _state(wanted.files)
    if (wanted, state) not in _READ:
        _remember(wanted, state, _read(wanted, state, watch or (lambda count: None)))
    return _READ[wanted, state]


def read_also_as(wanted: Wanted, clouds: OwnClouds) -> None:
    """Let `read_own` answer with clouds that were read already, of the same target under another name."""
    _remember(wanted, _state(wanted.files), clouds)


def _remember(wanted: Wanted, state: _State, clouds: OwnClouds) -> None:
    _READ[wanted, state] = clouds
    for key in list(_READ)[:-_KEPT]:
        del _READ[key]


def _read(wanted: Wanted, state: _State, watch: Callable[[int], None]) -> OwnClouds:
    paths = [(Path(path), label) for path, label, *_ in state]
    if not wanted.targets:
        _check_folders(wanted.files, paths)
    out = OwnClouds(paths=tuple(str(path) for path, _ in paths))
    rows: list[_Row] = []
    stride, num_points = 1, 0
    missing: list[str] = []
    lacked: dict[str, str] = {}
    known: dict[str, None] = {}
    names: list[str | None] = [None] * max(len(wanted.targets), 1)
    units = [""] * len(names)
    first: FileCloud | None = None
    for index, (name, found, label) in _entries(paths, wanted):
        watch(1)
        problem = str(found) if isinstance(found, DataError) else ""
        row = None
        if isinstance(found, FileCloud):
            first = first or _outline(found)
            out.assumes_units = out.assumes_units or found.assumes_units
            _check_alike(first, found)
            known |= dict.fromkeys([*found.values, *(key for key in found.arrays if key not in ("pos", "z"))])
            out.seen += 1
            if (out.seen - 1) % stride:
                continue
            try:
                row = _row(found, label, index, out.seen - 1, wanted, names, units)
            except _MissingError as error:
                missing.append(f"{name}: {error}")
                lacked[error.name] = error.reason
                continue
            except DataError as error:
                problem = str(error)
        if problem:
            if not wanted.skips:
                raise DataError(f"{name}: {problem}. Mend it, or leave such clouds out: --task_options.on_error skip")
            out.skipped.append(f"{name}: {problem}")
            continue
        assert row is not None
        rows.append(row)
        num_points += len(row.pos)
        if len(rows) > wanted.max_clouds or num_points > MOST_POINTS:
            rows, stride = rows[::2], 2 * stride
            num_points = sum(len(row.pos) for row in rows)
    _check_missing(missing, lacked, len(rows), known, wanted)
    out.skipped += missing
    out.found = tuple(known)
    if not rows:
        said = f"; the first: {out.skipped[0]}" if out.skipped else ""
        raise DataError(f"{', '.join(wanted.files)}: no cloud can be used{said}")
    return _joined(out, rows, [name or FOLDER for name in names], units, wanted)


class _MissingError(Exception):
    """A cloud lacks a target or a group of this name; a reason says why what its file has of it does not count."""

    def __init__(self, name: str, problem: str, reason: str = "") -> None:
        super().__init__(reason or problem)
        self.name, self.reason = name, reason


def _entries(paths: list[tuple[Path, str]], wanted: Wanted) -> Iterator[tuple[int, tuple[str, Any, str]]]:
    for index, (path, label) in enumerate(paths):
        for name, found in as_entries(path, read_valued_clouds(path, column=wanted.column)):
            if isinstance(found, DataError) and isinstance(found.__cause__, ImportError):
                raise found.__cause__
            if isinstance(found, FileCloud) and found.label is not None:
                found = replace(found, values={"label": found.label, **found.values})
            yield index, (name, found, label)


def _row(
    found: FileCloud, label: str, file: int, number: int, wanted: Wanted, names: list[str | None], units: list[str]
) -> _Row:
    targets: list[tuple[Any, Any]] = []
    for place, target in enumerate(wanted.targets):
        name = _name_in_file(found, target, names[place])
        names[place] = name
        units[place] = units[place] or found.units.get(name, "")
        value, points = found.values.get(name), found.arrays.get(name)
        if value is not None and not _is_there(value):
            value = None
        if points is not None and not _is_there(points):
            points = None
        if value is None and points is None:
            raise _MissingError(name, f"it has no {name!r}", f"{name!r} is empty or not finite")
        targets.append((None if value is None else np.asarray(value), points))
    if not wanted.targets:
        targets = [(np.array(label), None)]
    group = ""
    if wanted.group is not None:
        if wanted.group not in found.values:
            problem = f"it has no value {wanted.group!r} to split by"
            raise _MissingError(wanted.group, problem, found.left_out.get(wanted.group, ""))
        group = " ".join(map(str, np.asarray(found.values[wanted.group]).ravel().tolist()))
    pos = np.asarray(found.arrays["pos"], dtype=np.float64)
    if not np.isfinite(pos).all():
        raise DataError("'pos' has values that are not finite")
    at_points = any(points is not None and (value is None or wanted.at_points) for value, points in targets)
    z = found.arrays.get("z")
    draws = seeded("own data", "points", number)
    if z is not None:
        if (np.asarray(z) < 1).any():
            raise DataError(f"atom {int(np.argmax(np.asarray(z) < 1))} has no name: its element is 0")
        kept = torch.arange(len(pos))
    elif found.triangles is not None and not at_points:
        pos, _ = sample_surface(Mesh(pos, found.triangles), wanted.num_points, draws)
        kept = torch.arange(len(pos))
    else:
        kept = torch.randperm(len(pos), generator=draws)[: wanted.num_points].sort().values
    if found.cell is not None:
        _check_cell(found)
    return _Row(
        found.name,
        torch.from_numpy(np.array(pos))[kept],
        None if z is None else torch.from_numpy(np.asarray(z).astype(np.int64))[kept],
        [(value, None if points is None or not at_points else points[kept.numpy()]) for value, points in targets],
        group,
        file,
        found.cell,
        found.periodic,
    )


def _check_cell(found: FileCloud) -> None:
    """Raises: DataError for a cell without volume along its periodic vectors."""
    assert found.cell is not None
    assert found.periodic is not None
    vectors = np.asarray(found.cell)[np.asarray(found.periodic)]
    lengths = np.linalg.norm(vectors, axis=1)
    if len(vectors) and (not lengths.all() or np.linalg.svd(vectors / lengths[:, None])[1].min() < 1e-8):
        raise DataError(f"its cell has no volume along its periodic vectors: {np.asarray(found.cell).tolist()}")


def _name_in_file(found: FileCloud, target: str, before: str | None) -> str:
    every = [*found.values, *(key for key in found.arrays if key not in found.values)]
    if before is not None and before in every:
        return before
    names = names_in_use(target, every)
    if len(names) > 1:
        raise DataError(f"target {target!r} can be {' or '.join(names)}: name one of them")
    if not names or before is not None:
        name = before or target
        raise _MissingError(name, f"it has no {name!r}", found.left_out.get(name, ""))
    return names[0]


def _is_there(value: Any) -> bool:
    array = np.asarray(value)
    if array.dtype.kind == "f":
        return bool(np.isfinite(array).all())
    return array.dtype.kind not in "US" or bool((np.char.str_len(array) > 0).all())


def _check_missing(
    missing: Sequence[str], lacked: Mapping[str, str], num: int, known: Collection[str], wanted: Wanted
) -> None:
    """Raises: DataError for clouds without the targets or groups ``lacked``, unless they may be left out.

    Args:
        lacked: by name the reason why what the files have of it does not count, empty where they have nothing.
    """
    if not missing or (num and wanted.skips):
        return
    has = ", ".join(list(known)[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "") if known else "no values"
    what = " and ".join(map(repr, lacked))
    if not num:
        why = "".join(f"; {reason}" for reason in lacked.values() if reason)
        raise DataError(f"no cloud has {what}: the files have {has}{why}")
    raise DataError(
        f"{what}: missing in {len(missing)} of {num + len(missing)} clouds, the first: {missing[0]}. Leave them out "
        "with --task_options.on_error skip"
    )


def _outline(found: FileCloud) -> FileCloud:
    """A cloud with its first point alone: its kind, without its size in memory."""
    arrays = {name: np.array(array[:1]) for name, array in found.arrays.items() if name in ("pos", "z")}
    return FileCloud(found.name, arrays)


def _check_alike(first: FileCloud, other: FileCloud) -> None:
    """Raises: DataError for clouds of both kinds, or of different dimensions."""
    if ("z" in first.arrays) != ("z" in other.arrays):
        has, lacks = (first, other) if "z" in first.arrays else (other, first)
        raise DataError(
            f"mixed kinds of files: {has.name} has elements and {lacks.name} has none; give molecules or shapes"
        )
    dims = [cloud.arrays["pos"].shape[1] for cloud in (first, other)]
    if dims[0] != dims[1] or dims[0] not in (2, 3):
        raise DataError(
            f"mixed kinds of files: {first.name} has {dims[0]} dimensions, {other.name} {dims[1]}; expected 2 or 3, "
            "all alike"
        )


def _check_folders(files: tuple[str, ...], paths: list[tuple[Path, str]]) -> None:
    names = sorted({label for _, label in paths})
    if "" in names or len(names) < 2:
        raise DataError(
            "without --target the class of a cloud is its folder: expected a folder with a folder of files for each of "
            f"at least 2 classes, got {', '.join(files)} with {', '.join(filter(None, names)) or 'none'}"
        )


def _joined(out: OwnClouds, rows: list[_Row], names: list[str], units: list[str], wanted: Wanted) -> OwnClouds:
    out.pos, out.names, out.units = [row.pos for row in rows], names, units
    out.z = [row.z for row in rows if row.z is not None]
    out.groups = [row.group for row in rows] if wanted.group is not None else []
    out.file = torch.tensor([row.file for row in rows])
    for place, name in enumerate(names):
        has_value = all(row.targets[place][0] is not None for row in rows)
        if not has_value and any(row.targets[place][1] is None for row in rows):
            raise DataError(f"target {name!r} is a value of some clouds and a column of others")
        at_points = not has_value or (wanted.at_points and all(row.targets[place][1] is not None for row in rows))
        out.levels.append("point" if at_points else "cloud")
        values = [row.targets[place][int(at_points)] for row in rows]
        if len(shapes := {value.shape[int(at_points) :] for value in values}) > 1:
            raise DataError(f"target {name!r} has values of different shapes: {', '.join(map(str, sorted(shapes)))}")
        out.targets.append(values)
    if any(row.cell is not None for row in rows):
        dim = rows[0].pos.shape[1]
        none = np.zeros((dim, dim)), np.zeros(dim, dtype=bool)
        cells = [none if row.cell is None else (np.asarray(row.cell), np.asarray(row.periodic)) for row in rows]
        out.cells, out.periodic = [cell for cell, _ in cells], [periodic for _, periodic in cells]
    return out
