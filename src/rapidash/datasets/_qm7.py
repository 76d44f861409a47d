"""QM7: atomization energies of 7,165 molecules with up to 7 heavy atoms of C, N, O and S."""

import os
import re
from itertools import islice
from pathlib import Path

import numpy as np
import scipy.io
import torch

from rapidash.data import Field
from rapidash.datasets._locate import locate
from rapidash.datasets._molecules import Bad, Listed, Molecules, from_padded, unreadable
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
)
from rapidash.datasets._text import text_lines
from rapidash.datasets._units import ANGSTROM_PER_BOHR, ATOMIZATIONS, EV_PER
from rapidash.datasets._xyz import Geometry, parse_xyz
from rapidash.groups import Scalar

_OBTAIN = (
    "Get qm7.mat from quantum-machine.org/datasets, hof_qm7.txt and the qm7 folder of xyz files from the tests of qml, "
    "or the npz file of that name."
)
_ELEMENTS = (1, 6, 7, 8, 16)
_LONGEST = 1000  # lines of a file: its molecules have at most 23 atoms
_SPLITS = ("train", "val", "test")
_SPLIT_SEED = 42
_ENERGIES = ("atomization", "atomization_dftb")
_UNITS = {**dict.fromkeys(_ENERGIES, "eV"), "index": "1"}


def qm7_dataset(
    split: Split,
    *,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """Geometries and atomization energies of QM7, read from ``qm7.npz``, ``qm7.mat`` or ``hof_qm7.txt`` with xyz files.

    Splits: that of ``qm7.npz`` (field split); of the five published folds of ``qm7.mat`` the last is the test, the
    fourth the validation; of xyz files 80, 10 and 10 % of ``numpy.random.RandomState(42).permutation(n)``.

    Fields: pos (position, angstrom), z (N,) int64; per molecule (B, 1) float64 scalars: atomization, the PBE0 energy
        minus that of the isolated atoms, and, where the file has it, atomization_dftb of a cheaper level (eV); index.
        The files have kcal/mol; one converted to eV or hartree is known by the size of its energies.
    Args:
        split: "train", "val" or "test".
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad molecules out, counted and reported.
        verify: compare published checksums.
        dtype: of positions.
    Raises: FileNotFoundError; DataError for damaged files, unknown elements, coinciding atoms, mixed or unknown units;
        ValueError.
    Source: Blum and Reymond, JACS 131, 8732 (2009); Rupp et al., Phys. Rev. Lett. 108, 058301 (2012).
    """
    check_split(split)
    number, path = locate(("qm7.npz", "qm7.mat", "hof_qm7.txt"), dataset="QM7", obtain=_OBTAIN, data_dir=data_dir)
    errors = SampleErrors(path, on_error)
    if number == 0:
        listed, member = _from_npz(path, verify)
    else:
        listed, member = _from_mat(path) if number == 1 else _from_xyz(path)
    _convert_energies(listed, path)
    places = np.flatnonzero(member == _SPLITS.index(split))
    molecules = listed.part(places, errors).checked(errors, elements=_ELEMENTS)
    fields = {n: Field(Scalar(), u, "cloud") for n, u in _UNITS.items() if n in molecules.per_molecule}
    info = {"elements": _ELEMENTS}
    return molecules.dataset(fields, source=path, dtype=dtype, info=info, skipped=tuple(errors.skipped))


def _convert_energies(listed: Listed, path: Path) -> None:
    """Energies to eV, from the unit that their size tells; molecules with another unit than the rest are marked bad."""
    table = listed.molecules.per_molecule
    for name in _ENERGIES:
        if name in table:
            electrons = listed.molecules.electrons
            unit, _ = listed.tell_unit(name, electrons, ATOMIZATIONS, elements=_ELEMENTS, source=path)
            table[name] = table[name] * EV_PER[unit]


def _from_npz(path: Path, verify: bool) -> tuple[Listed, Array]:
    arrays = read_npz(path, ("n_atoms", "z", "pos", "atomization_pbe0_kcal", "split"), verify=verify)
    index = whole_numbers(path, "qm7_id", arrays.get("qm7_id", np.arange(arrays["n_atoms"].size))).reshape(-1)
    member = whole_numbers(path, "split", arrays["split"].reshape(-1))
    if not np.isin(member, range(len(_SPLITS))).all():
        raise DataError(f"{path}: 'split' has the values {np.unique(member)[:5]}, expected 0, 1 and 2")
    per_molecule: dict[str, Array] = {"index": index, "split": member}
    for name, column in (("atomization", "atomization_pbe0_kcal"), ("atomization_dftb", "atomization_dftb_kcal")):
        if column in arrays:
            per_molecule[name] = real_numbers(path, column, arrays[column]).reshape(-1)
    names = [f"molecule {number}" for number in index]
    molecules = Molecules(
        arrays["n_atoms"], whole_numbers(path, "z", arrays["z"]), arrays["pos"], {}, per_molecule, names
    )
    molecules.check_lengths(path)
    return Listed.whole(molecules), member


def _from_mat(path: Path) -> tuple[Listed, Array]:
    with readable(path):
        try:
            content = scipy.io.loadmat(path)  # of all variables: of a file cut short it would find none it is asked for
        except (TypeError, scipy.io.matlab.MatReadError) as error:
            raise OSError(str(error)) from error
    missing = [name for name in ("R", "Z", "T", "P") if name not in content]
    if missing:
        raise DataError(f"{path} has no variable {missing[0]!r}: it is another file than QM7's")
    padded, energy = (real_numbers(path, name, np.asarray(content[name])) for name in "RT")
    elements = whole_numbers(path, "Z", np.asarray(content["Z"]))
    sizes, z, pos = from_padded(path, elements, padded * ANGSTROM_PER_BOHR)
    index = np.arange(len(sizes))
    energy = energy.reshape(-1)
    folds = [whole_numbers(path, "P", np.asarray(fold).reshape(-1)) for fold in np.atleast_1d(content["P"])]
    if len(folds) < 3 or len(energy) != len(sizes) or sorted(np.concatenate(folds).tolist()) != index.tolist():
        raise DataError(
            f"{path}: {len(energy)} energies and folds of {sum(map(len, folds))} for {len(sizes)} molecules"
        )
    member = np.zeros(len(sizes), dtype=np.int64)
    member[folds[-2]], member[folds[-1]] = 1, 2
    per_molecule: dict[str, Array] = {"index": index, "atomization": energy}
    names = [f"molecule {number}" for number in index]
    return Listed.whole(Molecules(sizes, z, pos, {}, per_molecule, names)), member


def _from_xyz(path: Path) -> tuple[Listed, Array]:
    """A table with lines "0001.xyz -417.031 ..." (kcal/mol) and the files it names, beside it or in ``qm7``."""
    rows = [line.split() for line in text_lines(path) if line.strip()]
    places: list[int] = []
    geometries: list[Geometry] = []
    energies: list[tuple[float, ...]] = []
    bad: Bad = {}
    for place, row in enumerate(rows):
        try:
            file = next((f for f in (path.parent / row[0], path.parent / "qm7" / row[0]) if os.path.exists(f)), None)
            if file is None:
                raise DataError("the file is missing, beside the table and in its folder qm7")
            geometry = parse_xyz("\n".join(islice(text_lines(file), _LONGEST)))
            values = tuple(float(word) for word in row[1:])
            if not values:
                raise DataError("the table has no energy for it")
            if len(row) != len(rows[0]):
                raise DataError(f"its row of the table has {len(values)} numbers, the first has {len(rows[0]) - 1}")
        except DataError as error:
            bad[place] = row[0], str(error)
            continue
        except ValueError:
            bad[place] = row[0], f"its energy is not a number in {' '.join(row)!r}"
            continue
        places.append(place)
        geometries.append(geometry)
        energies.append(values)
    if not places:
        raise unreadable(path, bad, len(rows))
    per_molecule: dict[str, Array] = {
        "index": np.array([int("".join(re.findall("[0-9]", rows[place][0]))[:18] or place) for place in places]),
        "atomization": np.array([values[0] for values in energies]),
    }
    if all(len(values) > 1 for values in energies):
        per_molecule["atomization_dftb"] = np.array([values[1] for values in energies])
    molecules = Molecules(
        np.array([len(geometry.z) for geometry in geometries]),
        np.concatenate([geometry.z for geometry in geometries]),
        np.concatenate([geometry.pos for geometry in geometries]),
        {},
        per_molecule,
        [rows[place][0] for place in places],
    )
    member = np.zeros(len(rows), dtype=np.int64)
    order = np.random.RandomState(_SPLIT_SEED).permutation(len(rows))
    member[order[len(rows) * 8 // 10 :]] = 1
    member[order[len(rows) * 9 // 10 :]] = 2
    return Listed(molecules, np.array(places), len(rows), bad), member
