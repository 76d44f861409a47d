"""Clouds of points in PCD files, text or binary: the libraries that read them bring a whole viewer along."""

from pathlib import Path
from typing import Any

import numpy as np

from rapidash.datasets._npz import allowance
from rapidash.datasets._reading import Array, DataError, readable

_KINDS = {"F": "f", "I": "i", "U": "u"}
_NORMAL = ("normal_x", "normal_y", "normal_z")
_LONGEST_HEAD = 1 << 16  # bytes


def read_pcd(path: Path) -> dict[str, Array]:
    """The fields of a PCD file by name, (N,) or (N, C) each; x, y, z are ``pos`` (N, 3), normal_x, ... ``normal``.

    Points whose position is not finite, as organized scans have them, are left out.
    Raises: DataError for a damaged file, one without x, y, z, or one whose data are compressed.
    """
    with readable(path), path.open("rb") as file:
        head = _head(path, file)
        table = _table(path, head, file)
    names = table.dtype.names or ()
    if missing := [name for name in "xyz" if name not in names]:
        raise DataError(f"{path}: its points have no {missing[0]!r}, expected x, y and z; they have {', '.join(names)}")
    pos = np.stack([table[name].astype(np.float64) for name in "xyz"], axis=1)
    kept = np.isfinite(pos).all(axis=1)
    if not kept.any():
        raise DataError(f"{path} has no points with finite positions")
    arrays = {"pos": pos[kept]}
    if set(_NORMAL) <= set(names):
        arrays["normal"] = np.stack([table[name][kept] for name in _NORMAL], axis=1)
    taken = {*"xyz", "_", *(_NORMAL if "normal" in arrays else ())}
    return arrays | {name: table[name][kept] for name in names if name not in taken}


def _head(path: Path, file: Any) -> dict[str, list[str]]:
    head: dict[str, list[str]] = {}
    while file.tell() < _LONGEST_HEAD and (line := file.readline(_LONGEST_HEAD)):
        words = line.decode("ascii", "replace").split()
        if words and not words[0].startswith("#"):
            head[words[0]] = words[1:]
            if words[0] == "DATA":
                break
    if missing := [name for name in ("FIELDS", "SIZE", "TYPE", "POINTS", "DATA") if not head.get(name)]:
        raise DataError(f"{path}: its head has no line {missing[0]}: it is no PCD file, or damaged")
    return head


def _table(path: Path, head: dict[str, list[str]], file: Any) -> Any:
    counts = [int(word) for word in head.get("COUNT") or ["1"] * len(head["FIELDS"])]
    columns = list(zip(head["FIELDS"], head["TYPE"], head["SIZE"], counts, strict=True))
    dtype = np.dtype(
        [
            (name if name != "_" else f"_{index}", f"<{_KINDS[kind]}{int(size)}", *([(count,)] if count > 1 else []))
            for index, (name, kind, size, count) in enumerate(columns)
        ]
    )
    num, how = int(head["POINTS"][0]), head["DATA"][0].lower()
    if not 0 < num * dtype.itemsize <= allowance(path):
        raise DataError(
            f"{path} announces {num} points of {dtype.itemsize} bytes, and has {path.stat().st_size} in all"
        )
    if how == "ascii":
        rows = np.loadtxt(file, dtype=np.float64, ndmin=2, max_rows=num)
        if rows.shape != (num, sum(counts)):
            raise DataError(f"{path} announces {num} points with {sum(counts)} numbers, it has {rows.shape}: cut short")
        table, first = np.empty(num, dtype), 0
        for name, count in zip(dtype.names or (), counts):
            table[name] = rows[:, first] if count == 1 else rows[:, first : first + count]
            first += count
        return table
    if how != "binary":
        raise DataError(f"{path}: its data are {how}, which is not read: save it as binary or ascii")
    content = file.read(num * dtype.itemsize)
    if len(content) < num * dtype.itemsize:
        raise DataError(f"{path} announces {num} points of {dtype.itemsize} bytes, it has {len(content)}: cut short")
    return np.frombuffer(content, dtype)
