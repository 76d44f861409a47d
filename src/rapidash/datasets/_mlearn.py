"""mlearn: crystals of six elements with energies, forces and stress by density functional theory, in periodic cells."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash.data import Field
from rapidash.datasets._locate import locate
from rapidash.datasets._nbody import Split
from rapidash.datasets._npz import read_npz
from rapidash.datasets._reading import (
    Array,
    DataError,
    OnError,
    ReadDataset,
    SampleErrors,
    as_points,
    check_split,
    real_numbers,
    whole_numbers,
    words,
)
from rapidash.groups import Position, Scalar, Tensor2, Vector

MLEARN_ELEMENTS = {"Li": 3, "Si": 14, "Ni": 28, "Cu": 29, "Ge": 32, "Mo": 42}
MLEARN_GROUPS = ("AIMD-NVT", "Elastic", "Surface", "Vacancy")
_OBTAIN = "Get mlearn_pbc.npz; it holds data/<element>/{training,test}.json of github.com/materialsvirtuallab/mlearn."
_KBAR_PER_UNIT = 1602.176634  # in 1 eV/angstrom^3, CODATA 2018
_YZ_XZ = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2))  # places of the file's six numbers
_XZ_YZ = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_SPLIT_SEED = 42


def mlearn_dataset(
    element: str,
    split: Split,
    *,
    val_size: int = 20,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """Crystals of one element: at up to twice the melting temperature, strained, cut into slabs, and with a vacancy.

    The test set is the published one; of the published training set ``val_size`` structures, drawn by
    ``numpy.random.RandomState(42)``, are for validation and the rest for training.

    Fields: pos (position, angstrom), z (N,) int64, forces (vector, eV/angstrom); energy (scalar, eV, (B, 1), float64);
        cell (vectors in rows, angstrom, (B, 3, 3)), periodic ((B, 3), all true); stress (tensor, eV/angstrom^3,
        (B, 3, 3), float64), positive under tension as in `rapidash.models.forces_and_stress`; group ((B, 1) int64).
    Info: "groups": names of the groups by their number; "elements".

    The file's ``virial`` is -1 times the stress, in kbar, and no virial. Its first four numbers are xx, yy, zz, xy. The
    last two are yz, xz for Li and for the strained crystals of Si and Ge, and xz, yz for all else:
    ``python benchmarks/virial_convention.py`` finds this from energies and forces. In slabs these two are nearly 0, and
    taken to be as in the moving crystals of the element.

    Args:
        element: "Li", "Si", "Ni", "Cu", "Ge" or "Mo"; of Ni and Cu the file has the test set only.
        split: "train", "val" or "test".
        val_size: structures for validation.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad structures out, counted and reported.
        verify: compare the published checksum.
        dtype: of positions, forces and cells.
    Raises: FileNotFoundError; DataError for a damaged file, a set that it lacks, structures without volume or with
        numbers that are not finite, unknown groups; ValueError for an unknown element or split, and a ``val_size`` that
        leaves nothing.
    Source: Zuo et al., J. Phys. Chem. A 124, 731 (2020).
    """
    check_split(split)
    if element not in MLEARN_ELEMENTS:
        raise ValueError(f"element must be one of {', '.join(MLEARN_ELEMENTS)}, got {element!r}")
    _, path = locate(("mlearn_pbc.npz",), dataset="mlearn", obtain=_OBTAIN, data_dir=data_dir)
    arrays = _arrays(path, f"{element}/{'test' if split == 'test' else 'train'}_", verify)
    chosen = np.arange(len(arrays["n_atoms"]))
    if split != "test":
        if not 0 < val_size < len(chosen):
            raise ValueError(f"val_size must be at least 1 and below the {len(chosen)} structures, got {val_size}")
        drawn = np.random.RandomState(_SPLIT_SEED).permutation(len(chosen))
        chosen = np.sort(drawn[:val_size] if split == "val" else drawn[val_size:])
    errors = SampleErrors(path, on_error)
    start = np.cumsum(arrays["n_atoms"]) - arrays["n_atoms"]
    kept = []
    for index in chosen.tolist():
        atoms = slice(start[index], start[index] + arrays["n_atoms"][index])
        problem = _problem({name: arrays[name][atoms] for name in ("pos", "forces")}, arrays, index)
        if problem:
            errors.add(f"structure {index}", problem)
        else:
            kept.append(index)
    errors.report(len(chosen))
    return _dataset(path, element, arrays, np.array(kept), dtype, tuple(errors.skipped))


def _arrays(path: Path, prefix: str, verify: bool) -> dict[str, Array]:
    """The arrays of one set, of shapes that belong together. Raises: DataError."""
    found = read_npz(path, verify=verify)
    if f"{prefix}n_atoms" not in found:
        known = sorted({name.rpartition("_n_")[0] for name in found if name.endswith("_n_atoms")})
        raise DataError(f"{path} has no structures of {prefix[:-1]!r}, it has {', '.join(known)}")
    arrays: dict[str, Array] = {}
    for name in ("n_atoms", "pos", "cell", "energy", "forces", "virial", "group"):
        if f"{prefix}{name}" not in found:
            raise DataError(f"{path} has no array '{prefix}{name}': is it another version?")
        arrays[name] = found[f"{prefix}{name}"]
    arrays["n_atoms"] = whole_numbers(path, f"{prefix}n_atoms", arrays["n_atoms"])
    for name in ("pos", "cell", "energy", "forces", "virial"):
        arrays[name] = real_numbers(path, f"{prefix}{name}", arrays[name])
    num, total = len(arrays["n_atoms"]), int(arrays["n_atoms"].sum())
    shapes = {"pos": (total, 3), "cell": (num, 3, 3), "energy": (num,), "forces": (total, 3), "virial": (num, 6)}
    for name, shape in {**shapes, "group": (num,)}.items():
        if arrays[name].shape != shape or (arrays["n_atoms"] < 1).any():
            raise DataError(f"{path}: '{prefix}{name}' has the shape {arrays[name].shape}, expected {shape}: damaged")
    if unknown := sorted(set(words(arrays["group"])) - set(MLEARN_GROUPS)):
        raise DataError(f"{path}: unknown group {unknown[0]!r}, expected {', '.join(MLEARN_GROUPS)}")
    return arrays


def _problem(atoms: Mapping[str, Array], arrays: Mapping[str, Array], index: int) -> str:
    """The fault of a structure in words; empty for a sound one."""
    whole = {name: arrays[name][index] for name in ("cell", "energy", "virial")}
    for name, array in {**atoms, **whole}.items():
        if not np.isfinite(array).all():
            return f"its {name!r} is not finite"
    if abs(np.linalg.det(whole["cell"])) < 1e-3:
        return f"its cell has no volume: {whole['cell'].tolist()}"
    return ""


def _stress(six: NDArray[np.float64], element: str, group: str) -> NDArray[np.float64]:
    """The matrix of six numbers, see `mlearn_dataset`."""
    places = _YZ_XZ if element == "Li" or (element in ("Si", "Ge") and group == "Elastic") else _XZ_YZ
    found = np.zeros((3, 3))
    for number, (row, column) in zip(six, places, strict=True):
        found[row, column] = found[column, row] = -number / _KBAR_PER_UNIT
    return found


def _dataset(
    path: Path,
    element: str,
    arrays: Mapping[str, Array],
    kept: NDArray[np.int64],
    dtype: torch.dtype,
    bad: tuple[str, ...],
) -> ReadDataset:
    sizes = arrays["n_atoms"][kept]
    is_kept = np.isin(np.repeat(np.arange(len(arrays["n_atoms"])), arrays["n_atoms"]), kept)
    groups = [words(arrays["group"])[index] for index in kept]
    stress = np.stack([_stress(arrays["virial"][index], element, group) for index, group in zip(kept, groups)])
    tensors = {
        "pos": as_points(arrays["pos"][is_kept], dtype),
        "z": torch.full((int(sizes.sum()),), MLEARN_ELEMENTS[element]),
        "forces": as_points(arrays["forces"][is_kept], dtype),
        "energy": as_points(arrays["energy"][kept][:, None], torch.float64),
        "cell": as_points(arrays["cell"][kept], dtype),
        "periodic": torch.ones(len(kept), 3, dtype=torch.bool),
        "stress": as_points(stress, torch.float64),
        "group": torch.tensor([[MLEARN_GROUPS.index(group)] for group in groups]),
    }
    fields = {
        "pos": Field(Position(), "angstrom"),
        "z": Field(Scalar()),
        "forces": Field(Vector(), "eV/angstrom"),
        "energy": Field(Scalar(), "eV", "cloud"),
        "cell": Field(Vector(), "angstrom", "cloud"),
        "periodic": Field(Scalar(), level="cloud"),
        "stress": Field(Tensor2(), "eV/angstrom^3", "cloud"),
        "group": Field(Scalar(), level="cloud"),
    }
    info = {"groups": MLEARN_GROUPS, "elements": [MLEARN_ELEMENTS[element]]}
    return ReadDataset(tensors, fields, torch.from_numpy(sizes), source=path, info=info, skipped=bad)
