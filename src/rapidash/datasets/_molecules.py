"""Molecules as arrays: atoms of all molecules one after another, checked and turned into a data set."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rapidash.data import Field, rounded
from rapidash.datasets._elements import COVALENT_RADII
from rapidash.datasets._reading import Array, DataError, ReadDataset, SampleErrors, as_points, none_usable
from rapidash.datasets._units import energy_kinds, prevailing
from rapidash.groups import Position, Scalar

_NEAREST = (0.5, 1.75)  # angstrom: the shortest distance in a molecule with a light element is a bond of it
_LIGHT = 9
_ORGANIC = [1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 53]  # elements whose bonds with light ones are that short
_BOND = 1.2  # times the sum of the covalent radii: bonds are shorter; in bohr, those of organic molecules are longer
_APART = 40.0  # times that sum: no molecule
_PAIRS_AT_ONCE = 4_000_000
_SMALL = 256  # atoms: up to here the distances of all pairs, beyond a tree


@dataclass
class Molecules:
    """Atoms of all molecules one after another.

    Args:
        num_atoms: (B,).
        z: (N,) atomic numbers.
        pos: (N, 3) in angstrom.
        per_atom: further arrays with a row per atom.
        per_molecule: further arrays with a row per molecule.
        names: (B,) what to call each molecule in an error.
    """

    num_atoms: Array
    z: Array
    pos: Array
    per_atom: dict[str, Array] = field(default_factory=dict)
    per_molecule: dict[str, Array] = field(default_factory=dict)
    names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.num_atoms)

    @property
    def electrons(self) -> NDArray[np.int64]:
        """(B,) electrons of the neutral molecule."""
        return self.sums(self.z).astype(np.int64)

    @property
    def _owner(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self)), self.num_atoms.astype(np.int64))

    @property
    def _start(self) -> NDArray[np.int64]:
        sizes = self.num_atoms.astype(np.int64)
        return np.cumsum(sizes) - sizes

    def sums(self, per_atom: Array) -> NDArray[np.float64]:
        """(B,) the sum of an array (N,) over the atoms of each molecule, 0 where it has none."""
        return np.bincount(self._owner, weights=per_atom, minlength=len(self)).astype(np.float64)

    def check_lengths(self, source: object) -> None:
        """Raises: DataError naming ``source``, unless every array has numbers for each atom or each molecule."""
        sizes = self.num_atoms
        if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or (sizes < 0).any():
            raise DataError(
                f"{source}: numbers of atoms of shape {sizes.shape} and type {sizes.dtype}, expected one from 0 on for "
                "each molecule: it is damaged"
            )
        num_atoms = sum(sizes.tolist())  # of any size
        per_atom = {"z": self.z.reshape(-1), "pos": self.pos, **self.per_atom}
        for rows, what, arrays in (num_atoms, "atoms", per_atom), (len(self), "molecules", self.per_molecule):
            for name, array in arrays.items():
                if array.shape[:1] != (rows,) or array.dtype.kind not in "biuf":
                    raise DataError(
                        f"{source}: {name} has the shape {array.shape} and type {array.dtype}, expected numbers for "
                        f"each of {rows} {what}: it is damaged or cut short"
                    )
        if self.z.ndim != 1 or self.pos.shape[1:] != (3,):
            raise DataError(f"{source}: z {self.z.shape} and pos {self.pos.shape}, expected (N,) and (N, 3)")

    def select(self, indices: NDArray[np.int64]) -> "Molecules":
        """Some of the molecules, in the order given."""
        sizes = self.num_atoms.astype(np.int64)[indices]
        first = np.repeat(self._start[indices] - (np.cumsum(sizes) - sizes), sizes)
        rows = first + np.arange(sizes.sum())
        return Molecules(
            sizes,
            self.z[rows],
            self.pos[rows],
            {name: array[rows] for name, array in self.per_atom.items()},
            {name: array[indices] for name, array in self.per_molecule.items()},
            [self.names[index] for index in indices],
        )

    def checked(self, errors: SampleErrors, *, elements: Sequence[int] = tuple(range(1, 119))) -> "Molecules":
        """The sound molecules; the others are reported to ``errors``.

        A molecule is bad if its positions or targets are not finite, an element is not among ``elements``, or its
        shortest distance is not that of a bond in angstrom: atoms coincide, or the unit is another one. Where elements
        outside organic chemistry, or two atoms alone, are farther apart than a bond, a warning tells of the doubt.
        """
        already = len(errors.skipped)
        if not len(self):
            errors.report(already)
        sizes = self.num_atoms.astype(np.int64)
        if (sizes < 1).any():
            for index in np.flatnonzero(sizes < 1).tolist():
                errors.add(self.names[index], "it has no atoms")
            return self.select(np.flatnonzero(sizes > 0)).checked(errors, elements=elements)
        problems = self.problems(elements)
        for number in sorted(problems):
            errors.add(self.names[number], problems[number])
        errors.report(len(self) + already)
        return self.select(np.setdiff1d(np.arange(len(self)), list(problems))) if problems else self

    def problems(self, elements: Sequence[int]) -> dict[int, str]:
        """The problem of each bad molecule (see `checked`), by its index."""
        problems: dict[int, str] = {}
        start = self._start
        owner = self._owner
        for row in np.flatnonzero(~np.isin(self.z, elements)):
            atom = row - start[owner[row]]
            problems.setdefault(int(owner[row]), f"atom {atom} has the unknown element {self.z[row]}")
        for name, array in {"positions": self.pos, **self.per_atom}.items():
            for row in np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)):
                problems.setdefault(int(owner[row]), f"its {name} are not finite")
        for name, array in self.per_molecule.items():
            for index in np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)):
                problems.setdefault(int(index), f"its {name!r} is not finite")
        first, second, nearest = self._nearest_pairs()
        apart = self._apart(first, second, nearest)
        is_organic = np.isin(self.z[first], _ORGANIC) & np.isin(self.z[second], _ORGANIC) if len(self.z) else apart > 0
        is_clear = (apart > _APART) | ((apart > _BOND) & is_organic & (self.num_atoms > 2))
        for wrong in np.flatnonzero((nearest < _NEAREST[0]) | is_clear).tolist():
            problems.setdefault(wrong, _distance_problem(nearest[wrong]))
        doubtful = [place for place in np.flatnonzero(apart > _BOND).tolist() if place not in problems]
        if doubtful:
            warnings.warn(
                f"the nearest atoms of {self.names[doubtful[0]]} are {nearest[doubtful[0]]:.3g} apart, more than a "
                "bond of these elements in angstrom: are the positions in another unit? "
                f"{len(doubtful)} of {len(self)} are taken all the same",
                RuntimeWarning,
                stacklevel=4,
            )
        return problems

    def _apart(
        self, first: NDArray[np.int64], second: NDArray[np.int64], nearest: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(B,) the shortest distance over the sum of the covalent radii, 0 where it is no sign of another unit.

        That is up to 1.75 angstrom, for single atoms, and without a light element.
        """
        apart = np.zeros(len(self))
        if not len(self):
            return apart
        is_light = np.minimum.reduceat(self.z, self._start) <= _LIGHT
        judged = (nearest > _NEAREST[1]) & np.isfinite(nearest) & is_light
        pairs = np.clip(np.stack([self.z[first[judged]], self.z[second[judged]]]), 0, len(COVALENT_RADII) - 1)
        apart[judged] = nearest[judged] / COVALENT_RADII[pairs.astype(np.int64)].sum(axis=0)
        return apart

    def nearest_distances(self) -> NDArray[np.float64]:
        """(B,) the shortest distance between two atoms of each molecule, infinite for a single atom."""
        return self._nearest_pairs()[2]

    def _nearest_pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """(B,) rows of the two nearest atoms of each molecule and their distance, infinite for a single atom."""
        nearest, sizes = np.full(len(self), np.inf), self.num_atoms.astype(np.int64)
        first, second = np.zeros((2, len(self)), dtype=np.int64)
        for size in np.unique(sizes[(sizes > 1) & (sizes <= _SMALL)]):
            members = np.flatnonzero(sizes == size)
            step = max(1, _PAIRS_AT_ONCE // int(size * size))
            for part in (members[k : k + step] for k in range(0, len(members), step)):
                pos = self.pos[self._start[part][:, None] + np.arange(size)].astype(np.float64)
                with np.errstate(over="ignore", invalid="ignore"):  # beyond all numbers is far away, or nowhere
                    square = np.square(pos[:, :, None] - pos[:, None]).sum(-1)
                square[:, np.arange(size), np.arange(size)] = np.inf
                flat = square.reshape(len(part), -1)
                best = flat.argmin(axis=1)
                nearest[part] = np.sqrt(flat[np.arange(len(part)), best])
                first[part], second[part] = self._start[part] + best // size, self._start[part] + best % size
        for index in np.flatnonzero(sizes > _SMALL).tolist():
            begin = self._start[index]
            one, other, nearest[index] = _nearest_pair(self.pos[begin : begin + sizes[index]].astype(np.float64))
            first[index], second[index] = begin + one, begin + other
        return first, second, nearest

    def dataset(
        self,
        fields: Mapping[str, Field],
        *,
        source: Path,
        dtype: torch.dtype,
        info: Mapping[str, Any] | None = None,
        skipped: tuple[str, ...] = (),
    ) -> ReadDataset:
        """A data set with pos, z and the named fields: a row per molecule stays float64, integers stay integers.

        Molecules far from the origin are moved to it before their positions are rounded, see `centers_far_away`.
        """
        sizes = torch.from_numpy(self.num_atoms.astype(np.int64))
        declared = {"pos": Field(Position(), "angstrom"), "z": Field(Scalar(), "1"), **fields}
        tensors = {
            "pos": rounded(as_points(self.pos, torch.float64), sizes, dtype),
            "z": as_points(self.z, torch.int64),
        }
        for name, spec in fields.items():
            array = (self.per_atom if spec.level == "point" else self.per_molecule)[name]
            kept = torch.int64 if array.dtype.kind in "iub" else dtype if spec.level == "point" else torch.float64
            tensors[name] = as_points(array if array.ndim > 1 else array[:, None], kept)
        return ReadDataset(tensors, declared, sizes, source=source, info=info, skipped=skipped)


def _distance_problem(distance: float) -> str:
    return (
        f"its nearest atoms are {distance:.3g} apart, expected {_NEAREST[0]} to {_NEAREST[1]} angstrom: do atoms "
        "coincide, or are the positions in another unit?"
    )


def _nearest_pair(pos: NDArray[np.float64]) -> tuple[int, int, float]:
    """Rows of the two nearest of many points (N, 3), and their distance; nan where a position is not finite."""
    if not np.isfinite(pos).all():
        return 0, 0, np.nan
    order = np.lexsort(pos.T)
    if (twice := np.flatnonzero((np.diff(pos[order], axis=0) == 0).all(axis=1))).size:  # a tree would be slow
        return int(order[twice[0]]), int(order[twice[0] + 1]), 0.0
    distance, rows = cKDTree(pos).query(pos, k=2)
    one = int(distance[:, 1].argmin())
    other = int(rows[one, 1])
    return one, other, float(np.sqrt(np.square(pos[one] - pos[other]).sum()))


Bad = dict[int, tuple[str, str]]  # by place in a list: the name of a molecule and what is wrong with it


@dataclass(frozen=True)
class Listed:
    """Molecules read from a list of ``total``, with the place of each in it.

    Args:
        molecules: those that could be read.
        place: (B,) their places; those of the others are gaps.
        total: length of the list.
        bad: the gaps, and molecules that were read and are found bad.
    """

    molecules: Molecules
    place: NDArray[np.int64]
    total: int
    bad: Bad = field(default_factory=dict)

    @classmethod
    def whole(cls, molecules: Molecules) -> "Listed":
        """A list without gaps."""
        return cls(molecules, np.arange(len(molecules)), len(molecules))

    def mark(self, index: int, problem: str) -> None:
        """Call one of the molecules bad, unless it is already."""
        self.bad.setdefault(int(self.place[index]), (self.molecules.names[index], problem))

    def part(self, places: NDArray[np.int64], errors: SampleErrors) -> Molecules:
        """The good molecules at some places of the list, in this order; the bad ones there are reported."""
        for place in places.tolist():
            if place in self.bad:
                errors.add(*self.bad[place])
        index = np.full(self.total, -1)
        index[self.place] = np.arange(len(self.molecules))
        index[list(self.bad)] = -1
        chosen = index[places]
        return self.molecules.select(chosen[chosen >= 0])

    def tell_unit(
        self,
        name: str,
        counts: NDArray[np.int64] | int,
        among: Sequence[tuple[str, str]],
        *,
        elements: Sequence[int],
        source: object,
    ) -> tuple[str, str]:
        """The (unit, kind) that most entries of an energy fit by their size (``energy_kinds``); the others are bad.

        Left to ``Molecules.checked`` are molecules without atoms or with other elements, and what is not finite.
        Raises: DataError where no unit can be told.
        """
        energy = self.molecules.per_molecule[name]
        is_foreign = self.molecules.sums(~np.isin(self.molecules.z, elements)) > 0
        judged = np.isfinite(energy) & ~is_foreign & (self.molecules.num_atoms > 0)
        if not judged.any():
            return among[0]
        kinds = energy_kinds(np.where(judged, energy, np.nan), counts, among)
        usual = prevailing(kinds)
        if usual is None:
            units = " or ".join(dict.fromkeys(unit for unit, _ in among))
            value = energy[judged][0]
            raise DataError(
                f"{source}: the unit of {name!r}, e.g. {value:.6g}, cannot be told: it fits no size in {units}"
            )
        unit, kind = usual
        for index in np.flatnonzero(judged & np.array([found != usual for found in kinds])).tolist():
            self.mark(
                index, f"mixed units: its {name} {energy[index]:.6g} is no {kind} energy in {unit} like the others"
            )
        return usual


def unreadable(source: object, bad: Bad, total: int) -> DataError:
    """The error for a list of which no molecule could be read."""
    return none_usable(source, [f"{name}: {problem}" for name, problem in bad.values()], total)


def from_padded(path: Path, z: Array, pos: Array, num_atoms: Array | None = None) -> tuple[Array, Array, Array]:
    """Numbers of atoms (B,), z (N,) and pos (N, 3) from arrays padded to the largest molecule, (B, A) and (B, A, 3).

    Without ``num_atoms`` an atom is where ``z`` is not 0. Raises: DataError for other shapes.
    """
    if z.ndim != 2 or pos.shape != (*z.shape, 3) or (num_atoms is not None and num_atoms.shape != z.shape[:1]):
        counts = "" if num_atoms is None else f" and numbers of atoms {num_atoms.shape}"
        raise DataError(
            f"{path}: elements {z.shape}, positions {pos.shape}{counts} do not belong together, expected (B, A), "
            "(B, A, 3) and (B,)"
        )
    sizes = (z != 0).sum(axis=1) if num_atoms is None else num_atoms
    is_atom = np.arange(z.shape[1]) < sizes[:, None]
    return sizes, z[is_atom].astype(np.int64), pos[is_atom]
