"""Checks of the words and arrays beside the positions in a file: a cell, periods or another unit is an error."""

import re
from collections.abc import Mapping

import numpy as np

from rapidash.datasets._reading import Array, DataError

_QUOTED = r"""\"[^\"]*\"|'[^']*'|\[[^\]]*\]|\{[^}]*\}|\([^)]*\)"""
_WORD = r"""[^\s"'\[{(]+"""
_WORDS = rf"{_WORD}(?:\s+(?:true|false|[tf]|[-+.]?\d\S*)(?!\S))*"  # of a list without quotes
_IS = r"""["']?\s*[=:]\s*"""
_PBC = re.compile(rf"\b(?:pbc|periodic(?:ity)?|(?:periodic_)?boundary)\b{_IS}({_QUOTED}|{_WORDS})", re.IGNORECASE)
_CELL = re.compile(
    r"\b(?:(?:(?:lattice|(?:unit[_ ]?|super)?cell)(?:[_ ]?(?:vectors?|parameters?|constants?|lengths?|angles?))?|box)"
    rf"(?:\s*\([^)]*\))?{_IS}({_QUOTED}|{_WORDS})|cryst1\b|unitcell\b)",
    re.IGNORECASE,
)
_NO = re.compile(r"(?:\.?(?:f|false|no|none|n|open|0)\.?)+", re.IGNORECASE)
_KEY = r"(?:(?:pos\w*|coord\w*|length|distance|[rR])[_ ]?units?|units?(?:[_ ](?:of[_ ])?(?:length|pos\w*|coord\w*))?)"
_UNIT = re.compile(rf"(?<!\w){_KEY}{_IS}({_QUOTED}|{_WORD})", re.IGNORECASE)
_BRACES = re.compile(r"\b(?:positions|pos|coordinates|x_centroid)\{([^}]*)\}", re.IGNORECASE)  # of i-PI
_PROSE = re.compile(
    r"\b(?:coord\w*|positions?|geometr\w+|distances?|lengths?)\s+(?:are\s+)?(?:given\s+)?(?:in\s+|[(\[]\s*)([\w.]+)",
    re.IGNORECASE,
)
_FOREIGN = re.compile(
    r"(?:bohrs?|bohr[_ ]?radi(?:us|i)|a\.?u\.?|atomic[_ ]?units?|a0|nm|nanomet(?:er|re)s?|pm|picomet(?:er|re)s?|"
    r"fm|m|met(?:er|re)s?|um|microns?|micromet(?:er|re)s?|mm|cm)",
    re.IGNORECASE,
)
_PERIODS = ("pbc", "periodic", "is_periodic")
_CELLS = ("cell", "cells", "lattice", "lattices", "lattice_vectors", "unit_cell", "box")
_UNITS = ("r_unit", "pos_unit", "position_unit", "positions_unit", "coords_unit", "length_unit", "unit", "units")
_PERIODIC = "clouds have no cell, so neighbors across it would be lost"


_MAY_STATE = re.compile(r"[=:{(\[]|cryst1|unitcell|\bin\b", re.IGNORECASE)  # in every statement below


def check_comment(comment: str) -> None:
    """Raises: DataError for the comment of a frame that states a cell, periods, or another unit than angstrom.

    A cell counts as periodic unless pbc says F or 0 for every direction. Keys are in any case, with or without spaces
    around their sign.
    """
    if not _MAY_STATE.search(comment):
        return
    periods = [_inside(value) for value in _PBC.findall(comment)]
    if any(not _is_no(value) for value in periods):
        raise DataError(f'it is periodic (pbc): {_PERIODIC}; write pbc="F F F" where it is not')
    if not periods and (cell := _CELL.search(comment)) and not (cell[1] and _is_no(_inside(cell[1]))):
        name = re.split(r"[^\w ]", cell[0])[0].strip()
        raise DataError(f'it is periodic ({name}): {_PERIODIC}; write pbc="F F F" where it is not')
    units = [_inside(value) for value in (*_UNIT.findall(comment), *_BRACES.findall(comment))]
    for unit in (*units, *(word.rstrip(".") for word in _PROSE.findall(comment))):
        _check_unit(unit)


def check_arrays(arrays: Mapping[str, Array]) -> None:
    """As `check_comment`, of the arrays of a file, by their names in lower or upper case.

    Raises: DataError, without the name of the file.
    """
    by_name = {name.lower(): name for name in arrays}
    periods = [arrays[by_name[name]] for name in _PERIODS if name in by_name]
    if any(array.dtype.kind in "biuf" and array.any() for array in periods):
        raise DataError(f"it is periodic (pbc): {_PERIODIC}; leave pbc out, or make it false, where it is not")
    for name in (name for name in _CELLS if name in by_name and not periods):
        cell = arrays[by_name[name]]
        if cell.dtype.kind in "iuf" and cell.shape[-1:] in ((3,), (6,), (9,)) and (np.nan_to_num(cell) != 0).any():
            raise DataError(f"it is periodic ({by_name[name]!r}): {_PERIODIC}; add pbc = False where it is not")
    for name in (name for name in _UNITS if name in by_name):
        unit = arrays[by_name[name]]
        if unit.dtype.kind in "US" and unit.size == 1:
            word = unit.reshape(-1)[0]
            _check_unit(word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word))


def _check_unit(unit: str) -> None:
    if _FOREIGN.fullmatch(unit.strip()):
        raise DataError(f"it states its positions in {unit.strip()!r}, expected angstrom: convert them")


def _inside(value: str) -> str:
    """A value without its quotes or brackets."""
    return value.strip("\"'[]{}()").strip()


def _is_no(value: str) -> bool:
    """Whether it says no: F, false, 0 or none, for each direction."""
    return not value or bool(_NO.fullmatch(re.sub(r"[\s,;]+", "", value)))
