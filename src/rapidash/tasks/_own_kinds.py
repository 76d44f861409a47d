"""The kind of a target, told from its values: a number, a vector, a symmetric tensor of rank 2, or a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np

from rapidash.datasets import DataError

Kind = Literal["number", "vector", "tensor", "class"]
MOST_CLASSES: Final = 20  # of whole numbers that are taken for classes without being asked to
_VOIGT: Final = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # the order of ASE: xx, yy, zz, yz, xz, xy
_IN_VOIGT_ORDER: Final = ("stress", "virial", "virials")
_ASYMMETRY: Final = 1e-3  # of the largest entry


@dataclass(frozen=True)
class Told:
    """A kind, the names of classes in their order (empty for other kinds), and the reason in words."""

    kind: Kind
    class_names: tuple[str, ...]
    because: str


def tell_kind(name: str, rows: Any, dim: int, wanted: str | None = None) -> Told:
    """The kind of a target.

    Text, truth values, and whole numbers with at most 20 values, each at least three times on average, are classes; one
    number is a number, D numbers a vector, and D x D of them that are symmetric (also as one row, or the six of ASE's
    order for a stress) a tensor.

    Args:
        name: of the target.
        rows: (B, ...) its values, of clouds or points.
        dim: D.
        wanted: a kind that the user asks for.
    Raises: ValueError for an unknown kind; DataError for values that are of no kind, or not of the kind asked for.
    """
    if wanted is not None and wanted not in get_args(Kind):
        raise ValueError(f"target kind must be one of {', '.join(get_args(Kind))}, got {wanted!r}")
    shape = rows.shape[1:]
    width = int(np.prod(shape)) if shape else 1
    fits = _fitting(name, rows, dim, asked=wanted == "tensor")
    if wanted is not None and wanted not in fits:
        raise DataError(f"target {name!r} cannot be a {wanted}: its values are {_shown(rows)}, which {_can(fits)}")
    if not fits:
        raise DataError(
            f"target {name!r} is of no kind that can be learned: its values are {_shown(rows)}; expected one number, "
            f"{dim} of a vector, {dim} x {dim} of a symmetric tensor, or a class"
        )
    kind = wanted or fits[0]
    names = _class_names(rows.reshape(len(rows))) if kind == "class" else ()
    if kind == "class":
        because = f"{len(names)} classes, {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
        because += "; --target-kind number learns them as numbers" if wanted is None and "number" in fits else ""
    else:
        because = {"number": "one number", "vector": f"{width} numbers", "tensor": f"{width} numbers"}[kind]
    return Told(kind, names, because)  # type: ignore[arg-type]


def _fitting(name: str, rows: Any, dim: int, *, asked: bool) -> list[str]:
    """The kinds that the values can be, the likely one first."""
    shape = tuple(length for length in rows.shape[1:] if length != 1)
    if rows.dtype.kind not in "biuf":
        return [] if shape else ["class"]
    if not shape:
        few = np.unique(rows)
        if rows.dtype.kind == "b":
            return ["class"]
        if rows.dtype.kind == "f" and not (few == np.rint(few)).all():
            return ["number"]
        is_class = len(few) <= MOST_CLASSES and len(rows) >= 3 * len(few)
        return ["class", "number"] if is_class else ["number", "class"]
    if shape == (dim,):
        return ["vector"]
    is_six = shape == (6,) and dim == 3 and (asked or name.lower().rpartition("_")[2] in _IN_VOIGT_ORDER)
    if is_six or (shape in ((dim, dim), (dim * dim,)) and _is_symmetric(rows, dim)):
        return ["tensor"]
    return []


def _is_symmetric(rows: Any, dim: int) -> bool:
    full = rows.reshape(-1, dim, dim).astype(np.float64)
    return bool(np.abs(full - full.swapaxes(1, 2)).max(initial=0) <= _ASYMMETRY * np.abs(full).max(initial=1e-12))


def _class_names(values: Any) -> tuple[str, ...]:
    return tuple(class_word(value) for value in np.unique(values).tolist())


def class_word(value: object) -> str:
    """A class as text; a whole number without decimals."""
    return str(int(value)) if isinstance(value, float | bool) and float(value).is_integer() else str(value)


def full_tensors(rows: Any, dim: int) -> Any:
    """Symmetric tensors (B, D, D) from those, from D * D numbers, or from the six of ASE's order."""
    if rows.shape[1:] == (6,) and dim == 3:
        full = np.zeros((len(rows), 3, 3))
        for index, (i, j) in enumerate(_VOIGT):
            full[:, i, j] = full[:, j, i] = rows[:, index]
        return full
    full = rows.reshape(len(rows), dim, dim).astype(np.float64)
    return (full + full.swapaxes(1, 2)) / 2


def _shown(rows: Any) -> str:
    kinds = {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "b": "truth values"}
    what = kinds.get(rows.dtype.kind, "text")
    return f"{what} of shape {rows.shape[1:]}" if rows.shape[1:] else f"single {what}"


def _can(fits: Sequence[str]) -> str:
    return f"can be a {' or a '.join(fits)}" if fits else "are of no kind that can be learned"
