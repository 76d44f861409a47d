"""QM9: 130,831 small organic molecules with their quantum-chemical properties."""

from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash.data import Field
from rapidash.datasets._locate import locate
from rapidash.datasets._molecules import Listed, Molecules
from rapidash.datasets._nbody import Split
from rapidash.datasets._npz import read_npz
from rapidash.datasets._qm9_files import read_qm9_npz, read_qm9_sdf, read_qm9_tar, read_qm9_xyz
from rapidash.datasets._qm9_tables import (
    PACKAGE_CSV,
    TARGETS_NPZ,
    qm9pack_folder,
    read_qm9_package,
    read_qm9_targets,
    table_files,
)
from rapidash.datasets._qm9_units import ELEMENTS
from rapidash.datasets._reading import (
    Array,
    DataError,
    OnError,
    ReadDataset,
    SampleErrors,
    check_split,
    real_numbers,
    whole_numbers,
)
from rapidash.datasets._units import DEBYE_PER_ATOMIC_UNIT, EV_PER
from rapidash.groups import Scalar, Vector

Qm9Source = Literal["b3lyp", "geometry", "mp2"]

QM9_UNITS = {  # of the fields with one number per molecule
    **dict.fromkeys(("a", "b", "c"), "GHz"),
    "mu": "D",
    "alpha": "bohr^3",
    **dict.fromkeys(("homo", "lumo", "gap", "zpve", "u0", "u298", "h298", "g298"), "eV"),
    "r2": "bohr^2",
    "cv": "cal/mol/K",
    **dict.fromkeys(("u0_atom", "u298_atom", "h298_atom", "g298_atom"), "eV"),
    **dict.fromkeys(("energy_hf", "energy_mp2", "atomization_mp2"), "eV"),
    "index": "1",
}
_VECTORS = {"dipole": "D", "dipole_hf": "D"}
_PER_ATOM = {"mulliken": "e", "loewdin": "e", "mayer_valence": "1"}
_OBTAIN = {
    "b3lyp": "Get dsgdb9nsd.xyz.tar.bz2 (unpacked or not) and uncharacterized.txt from "
    "figshare.com/collections/978904, or gdb9.sdf with gdb9.sdf.csv from DeepChem, or qm9_eV.npz from the repository "
    "of DimeNet, or install the package that has the tables: pip install --no-deps qm9pack.",
    "geometry": "It is an npz file with the B3LYP geometries of QM9 and their rotational constants.",
    "mp2": "It is an npz file with MP2 and Hartree-Fock targets of 10,000 molecules of QM9.",
}
_BENCHMARK_SIZE = 125_000  # from here on the benchmark's 110,000 and 10,000, below 80 and 10 %
_SPLIT_SEED = 42


def qm9_dataset(
    split: Split,
    *,
    source: Qm9Source = "b3lyp",
    data_dir: str | Path | None = None,
    keep_uncharacterized: bool = False,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """Geometries and properties of QM9 molecules.

    Sources: "b3lyp", the benchmark with its DFT targets, read from ``dsgdb9nsd*.xyz`` files, their tar archive,
    ``gdb9.sdf`` with ``gdb9.sdf.csv``, ``qm9_eV.npz`` (DimeNet), ``qm9_b3lyp_targets.npz`` with ``qm9_geometry.npz``,
    ``qm9_part1.csv`` to ``qm9_part3.csv`` (the package qm9pack, also where it is installed and no folder has any of
    these), or ``train.npz``, ``valid.npz``, ``test.npz`` (Cormorant, EGNN; their own split); "geometry",
    ``qm9_geometry.npz``; "mp2", ``qm9_mp2_10k.npz``.

    The split of DimeNet and PONITA: ``numpy.random.RandomState(42).permutation(n)`` of the molecules in GDB order
    without the 3,054 of uncharacterized.txt (n = 130,831), 110,000 for training, 10,000 for validation, the rest for
    testing; below 125,000 molecules 80, 10 and 10 % of the same permutation. Bad molecules do not shift it, and each
    is reported by the split it lies in only.

    Fields: pos (position, angstrom), z (N,) int64, and, as far as the source has them, per atom mulliken, loewdin (e)
        and mayer_valence (N, 1); per molecule (B, 1) the scalars in ``QM9_UNITS``, and the vectors dipole and dipole_hf
        (B, 3) in debye. Energies are in eV; u0_atom etc. are the energies minus those of the isolated atoms. A field
        per molecule is float64 whatever ``dtype`` is: a total energy has more digits than float32.
    Info: "elements".
    Args:
        split: "train", "val" or "test".
        source: which data.
        data_dir: folder or file; default: RAPIDASH_DATA.
        keep_uncharacterized: keep the molecules that failed the consistency check of the authors.
        on_error: "skip" leaves bad molecules out, counted and reported.
        verify: compare published checksums.
        dtype: of fields per atom.
    Raises: FileNotFoundError; DataError for damaged files, unknown elements, coinciding atoms, mixed or unknown units;
        ValueError.
    Source: Ramakrishnan et al., Scientific Data 1, 140022 (2014).
    """
    check_split(split)
    if source not in get_args(Qm9Source):
        raise ValueError(f"unknown source {source!r}, expected one of {get_args(Qm9Source)}")
    if source == "b3lyp":
        return _b3lyp(split, data_dir, keep_uncharacterized, on_error, verify, dtype)
    name = "qm9_geometry.npz" if source == "geometry" else "qm9_mp2_10k.npz"
    _, path = locate((name,), dataset=f"QM9 ({source})", obtain=_OBTAIN[source], data_dir=data_dir)
    return _dataset(_shared(path, verify), split, path, SampleErrors(path, on_error), dtype)


def qm9_split(num_molecules: int) -> dict[str, NDArray[np.int64]]:
    """Indices of the training, validation and test molecules among ``num_molecules`` in GDB order."""
    order = np.random.RandomState(_SPLIT_SEED).permutation(num_molecules)
    is_benchmark = num_molecules >= _BENCHMARK_SIZE
    num_train = 110_000 if is_benchmark else num_molecules * 8 // 10
    num_val = 10_000 if is_benchmark else num_molecules // 10
    train, val, test = np.split(order, [num_train, num_train + num_val])
    return {"train": train, "val": val, "test": test}


def _b3lyp(
    split: str, data_dir: str | Path | None, keep: bool, on_error: OnError, verify: bool, dtype: torch.dtype
) -> ReadDataset:
    own_file = {"train": "train.npz", "val": "valid.npz", "test": "test.npz"}[split]
    layouts = (
        "qm9_eV.npz",
        "qm9.npz",
        f"qm9/{own_file}",
        "gdb9.sdf",
        "dsgdb9nsd_*.xyz",
        "dsgdb9nsd.xyz.tar.bz2",
        "dsgdb9nsd*.tar*",
        TARGETS_NPZ,
        PACKAGE_CSV,
        own_file,
    )
    try:
        number, path = locate(layouts, dataset="QM9 (b3lyp)", obtain=_OBTAIN["b3lyp"], data_dir=data_dir)
    except FileNotFoundError:
        folder = qm9pack_folder() if data_dir is None else None
        if folder is None:
            raise
        number, path = layouts.index(PACKAGE_CSV), folder / PACKAGE_CSV
    is_folder = layouts[number] in ("dsgdb9nsd_*.xyz", PACKAGE_CSV)
    errors = SampleErrors(path.parent if is_folder else path, on_error)
    if layouts[number] in (TARGETS_NPZ, PACKAGE_CSV):
        states = tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in table_files(path))
        listed = _tables(layouts[number], path, verify, states)
    elif path.suffix.lower() == ".npz":
        listed = read_qm9_npz(path, keep_uncharacterized=keep)
        if path.name.lower() == own_file:
            return _dataset(listed, None, path, errors, dtype)
    elif path.suffix.lower() == ".sdf":
        listed = read_qm9_sdf(path, keep_uncharacterized=keep)
    elif is_folder:
        listed = read_qm9_xyz(path.parent, keep_uncharacterized=keep)
    else:
        listed = read_qm9_tar(path, keep_uncharacterized=keep, verify=verify)
    return _dataset(listed, split, path, errors, dtype)


@lru_cache(maxsize=1)
def _tables(layout: str, path: Path, verify: bool, states: tuple[tuple[str, int, int], ...]) -> Listed:
    """All molecules, kept for the next split as long as the files stay as they are: reading takes seconds."""
    return read_qm9_targets(path, verify=verify) if layout == TARGETS_NPZ else read_qm9_package(path.parent)


def _shared(path: Path, verify: bool) -> Listed:
    arrays = read_npz(path, ("gdb_index", "n_atoms", "z", "pos"), verify=verify)
    per_molecule: dict[str, Array] = {"index": whole_numbers(path, "gdb_index", arrays["gdb_index"].reshape(-1))}
    if "rot_const_ghz" in arrays:
        constants = real_numbers(path, "rot_const_ghz", arrays["rot_const_ghz"])
        if constants.shape[1:] != (3,):
            raise DataError(f"{path}: 'rot_const_ghz' has the shape {constants.shape}, expected (B, 3)")
        per_molecule |= dict(zip("abc", constants.T))
    for name in ("energy_hf", "energy_mp2", "atomization_mp2"):
        if f"{name}_eh" in arrays:
            per_molecule[name] = real_numbers(path, f"{name}_eh", arrays[f"{name}_eh"]) * EV_PER["hartree"]
    for name in ("homo", "lumo"):
        if f"{name}_ev" in arrays:
            per_molecule[name] = real_numbers(path, f"{name}_ev", arrays[f"{name}_ev"])
    for name in _VECTORS:
        if f"{name}_au" in arrays:
            per_molecule[name] = real_numbers(path, f"{name}_au", arrays[f"{name}_au"]) * DEBYE_PER_ATOMIC_UNIT
    columns = {"mulliken": "mulliken_e", "loewdin": "loewdin_e", "mayer_valence": "mayer_valence"}
    per_atom = {name: arrays[column] for name, column in columns.items() if column in arrays}
    names = [f"molecule gdb {index}" for index in per_molecule["index"]]
    molecules = Molecules(
        arrays["n_atoms"], whole_numbers(path, "z", arrays["z"]), arrays["pos"], per_atom, per_molecule, names
    )
    molecules.check_lengths(path)
    if {"homo", "lumo"} <= set(per_molecule):
        per_molecule["gap"] = per_molecule["lumo"] - per_molecule["homo"]
    return Listed.whole(molecules)


def _dataset(listed: Listed, split: str | None, path: Path, errors: SampleErrors, dtype: torch.dtype) -> ReadDataset:
    """Split first and check then, so that a bad molecule does not move the others to another split."""
    places = np.arange(listed.total) if split is None else qm9_split(listed.total)[split]
    molecules = listed.part(places, errors).checked(errors, elements=ELEMENTS)
    fields = {
        **{name: Field(Scalar(), unit) for name, unit in _PER_ATOM.items() if name in molecules.per_atom},
        **{n: Field(Scalar(), u, "cloud") for n, u in QM9_UNITS.items() if n in molecules.per_molecule},
        **{n: Field(Vector(), u, "cloud") for n, u in _VECTORS.items() if n in molecules.per_molecule},
    }
    info = {"elements": ELEMENTS}
    return molecules.dataset(fields, source=path, dtype=dtype, info=info, skipped=tuple(errors.skipped))
