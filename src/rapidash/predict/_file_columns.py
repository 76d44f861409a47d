"""The other columns of a user's file of points, as predictions in ply keep them, and its faces."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets import FileCloud

TYPES: Final = {
    "f8": "double",
    "f4": "float",
    "i4": "int",
    "u4": "uint",
    "i2": "short",
    "u2": "ushort",
    "i1": "char",
    "u1": "uchar",
}
"""Names of the numbers of ply by those of NumPy."""
_PARTS: Final = {"normal": ("nx", "ny", "nz"), "vel": ("vx", "vy", "vz")}
_COLORS: Final = ("red", "green", "blue", "alpha")
_LARGEST: Final = 2**31


def file_columns(cloud: FileCloud, taken: Iterable[str]) -> dict[str, NDArray[Any]]:
    """The numbers of every point beside its position, by name as in ply, each (N,).

    A name that a prediction or another column has gets ``_of_file`` behind it.

    Args:
        cloud: of a file.
        taken: names of the columns of predictions.
    """
    size, used, found = len(cloud.arrays["pos"]), set(taken), {}
    for name, array in cloud.arrays.items():
        if name == "pos" or array.dtype.kind not in "fiub" or array.shape[:1] != (size,):
            continue
        columns = array.reshape(size, -1).T
        parts = _PARTS.get(name, ()) if len(columns) == 3 else (name,) if len(columns) == 1 else ()
        for part, column in zip(parts or [f"{name}_{index}" for index in range(len(columns))], columns):
            free = part.replace(" ", "_")
            while free in used or free in found:
                free += "_of_file"
            found[free] = _typed(part, column)
    return found


def _typed(name: str, column: NDArray[Any]) -> NDArray[Any]:
    """In a type of ply; text files say none, so that whole numbers are whole there, and colors bytes."""
    kind = column.dtype.str[1:]
    if kind in TYPES and kind != "f8":
        return column
    is_whole = bool(np.all((np.abs(column) < _LARGEST) & (column == np.rint(column))))
    if is_whole and name in _COLORS and bool(np.all((column >= 0) & (column < 256))):
        return column.astype(np.uint8)
    return column.astype(np.int32 if is_whole else np.float64)


def faces_as_bytes(triangles: NDArray[Any] | None) -> tuple[list[str], bytes]:
    """Lines of the header and the faces (F, 3) of a binary ply; nothing for a cloud."""
    if triangles is None:
        return [], b""
    table = np.empty(len(triangles), dtype=[("size", "u1"), ("corners", "<i4", (3,))])
    table["size"], table["corners"] = 3, triangles
    return [f"element face {len(triangles)}", "property list uchar int vertex_indices"], table.tobytes()
