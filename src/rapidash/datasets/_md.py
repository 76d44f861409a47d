"""Molecular dynamics: many configurations of one molecule with energies and, mostly, forces."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash.data import Field
from rapidash.datasets._locate import beside, locate
from rapidash.datasets._molecules import Listed, Molecules
from rapidash.datasets._nbody import Split
from rapidash.datasets._npz import read_npz
from rapidash.datasets._reading import (
    Array,
    DataError,
    OnError,
    ReadDataset,
    SampleErrors,
    check_split,
    readable,
    real_numbers,
    whole_numbers,
    words,
)
from rapidash.datasets._stated import check_arrays
from rapidash.datasets._text import text_lines
from rapidash.datasets._units import EV_PER, TOTALS, energy_kinds, prevailing
from rapidash.groups import Scalar, Vector

_OBTAIN = (
    "Get rMD17 (rmd17_<molecule>.npz) from figshare.com/articles/dataset/12672038 or its splits "
    "(rmd17_<molecule>_train_01.npz, ...) from github.com/andersx/rmd17-npz, MD17 (md17_<molecule>.npz) from "
    "sgdml.org, or rmd17_split01.npz, md_small_molecules.npz or alkanes_md.npz."
)
_SPLIT_OF_RMD17 = "rmd17_split01.npz"
_COLLECTIONS = (_SPLIT_OF_RMD17, "md_small_molecules.npz", "alkanes_md.npz")
_UNIT_NAMES = {
    "kcal/mol": "kcal/mol",
    "ev": "eV",
    "eh": "hartree",
    "ha": "hartree",
    "hartree": "hartree",
    "kj/mol": "kJ/mol",
}
_SPLIT_SEED = 42
_PART_ARRAYS = ("pos", "energy", "forces")


@dataclass(frozen=True)
class _Trajectory:
    """One molecule: z (A,), pos (F, A, 3), energy (F,), forces (F, A, 3) or None, the unit of energy or None.

    Of the configurations of one published split, the first ``num_pool`` are those for training, the rest the test.
    """

    z: NDArray[np.int64]
    pos: NDArray[np.float64]
    energy: NDArray[np.float64]
    forces: NDArray[np.float64] | None
    unit: str | None
    num_pool: int | None = None


def md_dataset(
    name: str,
    split: Split | None = None,
    *,
    train_size: int = 950,
    val_size: int = 50,
    fold: int = 1,
    energy_unit: str | None = None,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """Configurations of one molecule with energies and forces.

    Read are ``rmd17_<name>.npz``, ``md17_<name>.npz``, ``<name>_dft.npz``, one published split of rMD17 as
    ``rmd17_<name>_train_<fold>.npz`` and ``rmd17_<name>_test_<fold>.npz``, and the set ``name`` of
    ``rmd17_split01.npz`` (e.g. "ethanol"), ``md_small_molecules.npz`` (e.g. "ethanol_train", "acac_test_MD_600K") or
    ``alkanes_md.npz`` (e.g. "C4H10").

    Without ``split`` all configurations are returned in order. With one, of a published split (also of one in a folder
    ``splits`` beside rMD17, with ``index_train_<fold>.csv`` and ``index_test_<fold>.csv``) the first train_size and the
    next val_size of its training part, and its test part; otherwise the first train_size, the next val_size and the
    rest of ``numpy.random.RandomState(42).permutation(F)``.

    Fields: pos (position, angstrom), z (N,) int64, forces (vector, eV/angstrom, absent where the source has none);
        energy (scalar, eV, (B, 1), float64 whatever ``dtype`` is: subtract a mean or the atoms before rounding it).
    Info: "atom_energies": eV by atomic number, where the source has them; "sets": the other names in the file.
    Args:
        name: molecule or set.
        split: "train", "val", "test", or None for all.
        train_size, val_size: configurations for training and validation.
        fold: number of the published split of rMD17, 1 to 5; unused for others.
        energy_unit: "eV", "hartree", "kcal/mol" or "kJ/mol"; by default what the file says, or what the size of the
            total energies tells.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad configurations out, counted and reported.
        verify: compare published checksums.
        dtype: of positions and forces.
    Raises: FileNotFoundError; DataError for an unknown set, a damaged file, unknown elements, coinciding atoms, mixed
        or unknown units; ValueError, also for a fold that is not in ``splits`` and for sizes beyond what there is.
    Source: Chmiela et al., Science Advances 3, e1603015 (2017); Christensen and von Lilienfeld, Mach. Learn.: Sci.
        Technol. 1, 045018 (2020); Batatia et al., arXiv:2205.06643.
    """
    if split is not None:
        check_split(split)
    if energy_unit is not None and energy_unit not in EV_PER:
        raise ValueError(f"energy_unit must be one of {sorted(EV_PER)}, got {energy_unit!r}")
    path, trajectory, info = _find(name, data_dir, verify, fold)
    errors = SampleErrors(path, on_error)
    listed = _listed(trajectory, path, energy_unit)
    num_frames = len(trajectory.pos)
    pool = trajectory.num_pool
    chosen = (
        np.arange(num_frames) if split is None else _split(path, num_frames, pool, fold, train_size, val_size)[split]
    )
    if len(chosen) == 0:
        raise ValueError(
            f"{split!r} is empty: {train_size=} and {val_size=} leave nothing of {num_frames} configurations"
        )
    molecules = listed.part(chosen, errors).checked(errors)
    fields = {"energy": Field(Scalar(), "eV", "cloud")}
    if trajectory.forces is not None:
        fields["forces"] = Field(Vector(), "eV/angstrom")
    return molecules.dataset(fields, source=path, dtype=dtype, info=info, skipped=tuple(errors.skipped))


def _find(
    name: str, data_dir: str | Path | None, verify: bool, fold: int
) -> tuple[Path, _Trajectory, dict[str, object]]:
    safe = re.sub(r"[^\w.+-]", "_", name)
    part = f"rmd17_{safe}_train_{fold:02d}.npz"
    layouts = (f"rmd17_{safe}.npz", f"md17_{safe}.npz", f"{safe}_dft.npz", part, *_COLLECTIONS)
    number, path = locate(layouts, dataset=f"molecular dynamics of {name!r}", obtain=_OBTAIN, data_dir=data_dir)
    if layouts[number] == part:
        test = beside(path, part.replace("_train_", "_test_"))
        if not test.is_file():
            raise FileNotFoundError(f"{test.name} is missing: {path.parent} is incomplete")
        return path, _of_parts(path, _single(path), _single(test)), {}
    if path.name.lower() not in _COLLECTIONS:
        return path, _single(path), {}
    found: list[str] = []
    for collection in _COLLECTIONS[number - len(layouts) + len(_COLLECTIONS) :]:
        try:
            _, path = locate((collection,), dataset="molecular dynamics", obtain=_OBTAIN, data_dir=data_dir)
        except FileNotFoundError:
            continue
        arrays = read_npz(path, verify=verify)
        end = "/train_pos" if collection == _SPLIT_OF_RMD17 else "/pos"
        sets = sorted({key.removesuffix(end) for key in arrays if key.endswith(end)})
        if name in sets and collection == _SPLIT_OF_RMD17:
            return path, _of_split(path, name, arrays, fold), {"sets": sets}
        if name in sets:
            return path, _of_collection(path, name, arrays), _collection_info(name, arrays, sets)
        found += sets
    raise DataError(f"{path} has no set {name!r}, known are {found}")


def _single(path: Path) -> _Trajectory:
    arrays = read_npz(path, verify=False)
    _check_stated(path, arrays)
    keys = next(
        (
            keys
            for keys in (("nuclear_charges", "coords", "energies", "forces"), ("z", "R", "E", "F"))
            if set(keys) <= set(arrays)
        ),
        None,
    )
    if keys is None:
        raise DataError(
            f"{path} has the arrays {sorted(arrays)}, expected nuclear_charges, coords, energies, forces (rMD17) or "
            "z, R, E, F (MD17)"
        )
    z, pos, energy, forces = (arrays[key] for key in keys)
    length, stated = (_word(arrays, name) for name in ("r_unit", "e_unit"))
    if length is not None and not (length.lower().startswith("ang") or length in ("A", "\u00c5", "\u212b")):
        raise DataError(f"{path}: positions in {length!r}, expected 'Ang': convert them")
    if stated is not None and stated.lower() not in _UNIT_NAMES:
        raise DataError(f"{path}: energies in the unknown unit {stated!r}, expected one of {sorted(_UNIT_NAMES)}")
    unit = None if stated is None else _UNIT_NAMES[stated.lower()]
    return _shaped(path, z, pos, energy, forces, unit)


def _check_stated(path: Path, arrays: Mapping[str, Array]) -> None:
    """Raises: DataError for a file that states a cell or another unit of length."""
    try:
        check_arrays(arrays)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _word(arrays: Mapping[str, Array], name: str) -> str | None:
    """The one word in an array, None where there is none."""
    return next(iter(words(arrays[name].reshape(-1))), None) if name in arrays else None


def _of_split(path: Path, name: str, arrays: Mapping[str, Array], fold: int) -> _Trajectory:
    """One molecule of the file of the first published split. Raises: ValueError for another one; DataError."""
    if fold != 1:
        raise ValueError(
            f"{fold=}: {path} has the published split 1 alone. Put rmd17_{name}_train_{fold:02d}.npz and "
            f"rmd17_{name}_test_{fold:02d}.npz, or rmd17_{name}.npz with its folder splits, into the same folder"
        )
    names = ("z", *(f"{part}_{kind}" for part in ("train", "test") for kind in _PART_ARRAYS))
    if missing := [key for key in names if f"{name}/{key}" not in arrays]:
        raise DataError(f"{path} has no array '{name}/{missing[0]}': it is another version")
    parts = []
    for part in ("train", "test"):
        pos, energy, forces = (arrays[f"{name}/{part}_{kind}"] for kind in _PART_ARRAYS)
        parts.append(_shaped(path, arrays[f"{name}/z"], pos, energy, forces, "kcal/mol"))
    return _of_parts(path, *parts)


def _of_parts(path: Path, train: _Trajectory, test: _Trajectory) -> _Trajectory:
    """The training and the test part of a published split, one after the other. Raises: DataError for two molecules."""
    if not np.array_equal(train.z, test.z) or train.unit != test.unit:
        raise DataError(f"{path}: its training and test parts are of different molecules, or in different units")
    assert train.forces is not None
    assert test.forces is not None
    return replace(
        train,
        pos=np.concatenate([train.pos, test.pos]),
        energy=np.concatenate([train.energy, test.energy]),
        forces=np.concatenate([train.forces, test.forces]),
        num_pool=len(train.pos),
    )


def _of_collection(path: Path, name: str, arrays: Mapping[str, Array]) -> _Trajectory:
    energy = f"{name}/energy_eh" if f"{name}/energy_eh" in arrays else f"{name}/energy"
    if energy not in arrays or f"{name}/z" not in arrays:
        raise DataError(f"{path} has no energies or elements of {name!r}")
    unit = "hartree" if energy.endswith("_eh") else "eV"
    return _shaped(path, arrays[f"{name}/z"], arrays[f"{name}/pos"], arrays[energy], arrays.get(f"{name}/forces"), unit)


def _collection_info(name: str, arrays: Mapping[str, Array], sets: list[str]) -> dict[str, object]:
    atoms = f"{name.split('_')[0]}_isolated_atoms"
    if f"{atoms}/z" not in arrays:
        return {"sets": sets}
    z = whole_numbers(f"isolated atoms of {name!r}", "z", arrays[f"{atoms}/z"].reshape(-1))
    energy = real_numbers(f"isolated atoms of {name!r}", "energy", arrays[f"{atoms}/energy"].reshape(-1))
    return {"sets": sets, "atom_energies": dict(zip(z.tolist(), energy.tolist()))}


def _shaped(path: Path, z: Array, pos: Array, energy: Array, forces: Array | None, unit: str | None) -> _Trajectory:
    for name, array in (("elements", z), ("positions", pos), ("energies", energy), ("forces", forces)):
        if array is not None and array.dtype.kind not in "fiu":
            raise DataError(f"{path}: {name} are {array.dtype}, expected numbers")
    if (z != np.rint(z)).any():
        raise DataError(f"{path}: elements {z[z != np.rint(z)][:3]} are no atomic numbers")
    z = whole_numbers(path, "elements", z)
    energy = energy.reshape(-1)
    if pos.shape != (len(energy), *z.shape, 3) or z.ndim != 1 or (forces is not None and forces.shape != pos.shape):
        shapes = f"positions {pos.shape}, energies {energy.shape}, elements {z.shape}"
        shapes += "" if forces is None else f", forces {forces.shape}"
        raise DataError(f"{path}: {shapes} do not belong together, expected (F, A, 3), (F,), (A,) and (F, A, 3)")
    pulls = None if forces is None else forces.astype(np.float64)
    return _Trajectory(z, pos.astype(np.float64), energy.astype(np.float64), pulls, unit)


def _listed(trajectory: _Trajectory, path: Path, energy_unit: str | None) -> Listed:
    """All configurations with energies in eV; one whose energy has not the unit of the others is marked bad."""
    num_frames, num_atoms = trajectory.pos.shape[:2]
    electrons = np.full(num_frames, max(int(trajectory.z.sum()), 1))
    kinds = energy_kinds(trajectory.energy, electrons, TOTALS)
    usual = prevailing(kinds)
    unit = energy_unit or trajectory.unit or (usual[0] if usual else None)
    if unit is None:
        raise DataError(
            f"{path}: the unit of the energies, e.g. {trajectory.energy[:1]}, is not stated and not that of a total "
            "energy: pass energy_unit='eV', 'hartree', 'kcal/mol' or 'kJ/mol'"
        )
    if energy_unit is None and usual is not None and usual[0] != unit:
        raise DataError(
            f"{path}: energies said to be in {unit} have the size of {usual[0]}: pass energy_unit=... to decide"
        )
    factor = EV_PER[unit]
    per_atom: dict[str, Array] = {}
    if trajectory.forces is not None:
        per_atom["forces"] = trajectory.forces.reshape(-1, 3) * factor
    molecules = Molecules(
        np.full(num_frames, num_atoms),
        np.tile(trajectory.z, num_frames),
        trajectory.pos.reshape(-1, 3),
        per_atom,
        {"energy": trajectory.energy * factor},
        [f"configuration {number}" for number in range(num_frames)],
    )
    listed = Listed.whole(molecules)
    if usual is not None:
        good = np.array([kind == usual for kind in kinds]) | ~np.isfinite(trajectory.energy)
        for number in np.flatnonzero(~good).tolist():
            listed.mark(
                number, f"mixed units: its energy {trajectory.energy[number]:.6g} is not in {unit} like the rest"
            )
    return listed


def _split(
    path: Path, num_frames: int, num_pool: int | None, fold: int, train_size: int, val_size: int
) -> dict[str, NDArray[np.int64]]:
    """Indices of the published split, of which the file may have one alone, or of a drawn one."""
    folders = (path.parent / "splits", path.parent.parent / "splits")
    folder = next((folder for folder in folders if any(folder.glob("index_train_*.csv"))), None)
    pool: NDArray[np.int64]
    test: NDArray[np.int64] | None
    if num_pool is not None:
        pool, test = np.arange(num_pool), np.arange(num_pool, num_frames)
    elif folder is None:
        pool, test = np.random.RandomState(_SPLIT_SEED).permutation(num_frames), None
    else:
        pool, test = (_published(folder, part, fold, num_frames) for part in ("train", "test"))
    used = train_size + val_size
    if min(train_size, val_size) < 0 or used > len(pool):
        raise ValueError(
            f"{train_size=} and {val_size=}: expected sizes from 0 on, together at most the {len(pool)} configurations "
            f"of {path.name if folder is None or num_pool is not None else f'the training split {fold} in {folder}'}"
        )
    return {"train": pool[:train_size], "val": pool[train_size:used], "test": pool[used:] if test is None else test}


def _published(folder: Path, part: str, fold: int, num_frames: int) -> NDArray[np.int64]:
    file = folder / f"index_{part}_{fold:02d}.csv"
    if not file.exists():
        known = ", ".join(sorted(other.name for other in folder.glob(f"index_{part}_*.csv")))
        raise ValueError(f"{fold=} is none of the published splits: expected {file.name} in {folder}, it has {known}")
    with readable(file):
        indices = np.array([int(word) for line in text_lines(file) for word in line.split()], dtype=np.int64)
    if len(indices) == 0 or indices.min() < 0 or indices.max() >= num_frames:
        raise DataError(f"{file} names configurations outside of 0 to {num_frames - 1}, or none")
    return indices
