"""Molecules as arrays: atoms of all molecules one after another, checked and turned into a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash.data import Field
from rapidash.datasets._reading import DataError, ReadDataset, SampleErrors, as_points
from rapidash.groups import Position, Scalar

Array = NDArray[Any]

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts "
    "Og"
)
ELEMENT_SYMBOLS = tuple(_SYMBOLS.split())  # of atomic number 1, 2, ...
ATOMIC_NUMBER = {symbol: number for number, symbol in enumerate(ELEMENT_SYMBOLS, start=1)}

_NEAREST = (0.5, 1.75)  # angstrom: the shortest distance in a molecule with a light element is a bond of it
_LIGHT = 9
_PAIRS_AT_ONCE = 4_000_000


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
        return np.add.reduceat(self.z.astype(np.int64), self._start) if len(self) else np.zeros(0, dtype=np.int64)

    @property
    def _start(self) -> NDArray[np.int64]:
        sizes = self.num_atoms.astype(np.int64)
        return np.cumsum(sizes) - sizes

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
        shortest distance is not that of a bond in angstrom: atoms coincide, or the unit is another one.
        """
        if self.num_atoms.astype(np.int64).sum() != len(self.z) or len(self.z) != len(self.pos):
            raise DataError(
                f"{errors.source} counts {self.num_atoms.astype(np.int64).sum()} atoms and has {len(self.z)} elements "
                f"and {len(self.pos)} positions: it is damaged or cut short"
            )
        already = len(errors.skipped)
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
        """What is wrong with each bad molecule (see `checked`), by its index."""
        problems: dict[int, str] = {}
        start = self._start
        owner = np.repeat(np.arange(len(self)), self.num_atoms.astype(np.int64))
        for row in np.flatnonzero(~np.isin(self.z, elements)):
            atom = row - start[owner[row]]
            problems.setdefault(int(owner[row]), f"atom {atom} has the unknown element {self.z[row]}")
        for name, array in {"positions": self.pos, **self.per_atom}.items():
            for row in np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)):
                problems.setdefault(int(owner[row]), f"its {name} are not finite")
        for name, array in self.per_molecule.items():
            for index in np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)):
                problems.setdefault(int(index), f"its {name!r} is not finite")
        nearest = self.nearest_distances()
        is_light = np.minimum.reduceat(self.z, start) <= _LIGHT if len(self) else np.zeros(0, dtype=bool)
        too_far = (nearest > _NEAREST[1]) & is_light & (self.num_atoms > 1)
        for index in np.flatnonzero((nearest < _NEAREST[0]) | too_far):
            problems.setdefault(
                int(index),
                f"its nearest atoms are {nearest[index]:.3g} apart, expected {_NEAREST[0]} to {_NEAREST[1]} angstrom: "
                "do atoms coincide, or are the positions in another unit?",
            )
        return problems

    def nearest_distances(self) -> NDArray[np.float64]:
        """(B,) the shortest distance between two atoms of each molecule, infinite for a single atom."""
        nearest, sizes = np.full(len(self), np.inf), self.num_atoms.astype(np.int64)
        for size in np.unique(sizes[sizes > 1]):
            members = np.flatnonzero(sizes == size)
            step = max(1, _PAIRS_AT_ONCE // int(size * size))
            for part in (members[k : k + step] for k in range(0, len(members), step)):
                pos = self.pos[self._start[part][:, None] + np.arange(size)].astype(np.float64)
                square = np.square(pos[:, :, None] - pos[:, None]).sum(-1)
                square[:, np.arange(size), np.arange(size)] = np.inf
                nearest[part] = np.sqrt(square.min(axis=(1, 2)))
        return nearest

    def dataset(
        self,
        fields: Mapping[str, Field],
        *,
        source: Path,
        dtype: torch.dtype,
        info: Mapping[str, Any] | None = None,
        skipped: tuple[str, ...] = (),
    ) -> ReadDataset:
        """A data set with pos, z and the named fields: a row per molecule stays float64, integers stay integers."""
        declared = {"pos": Field(Position(), "angstrom"), "z": Field(Scalar(), "1"), **fields}
        tensors = {"pos": as_points(self.pos, dtype), "z": as_points(self.z, torch.int64)}
        for name, spec in fields.items():
            array = (self.per_atom if spec.level == "point" else self.per_molecule)[name]
            kept = torch.int64 if array.dtype.kind in "iub" else dtype if spec.level == "point" else torch.float64
            tensors[name] = as_points(array if array.ndim > 1 else array[:, None], kept)
        sizes = torch.from_numpy(self.num_atoms.astype(np.int64))
        return ReadDataset(tensors, declared, sizes, source=source, info=info, skipped=skipped)


@dataclass(frozen=True)
class Listed:
    """Molecules read from a list of ``total``, with the place of each in it: bad ones leave gaps."""

    molecules: Molecules
    place: NDArray[np.int64]
    total: int

    @classmethod
    def whole(cls, molecules: Molecules) -> "Listed":
        """A list without gaps."""
        return cls(molecules, np.arange(len(molecules)), len(molecules))

    def part(self, places: NDArray[np.int64]) -> Molecules:
        """The molecules at some places of the list, in this order; gaps are passed over."""
        index = np.full(self.total, -1)
        index[self.place] = np.arange(len(self.molecules))
        chosen = index[places]
        return self.molecules.select(chosen[chosen >= 0])


def from_padded(z: Array, pos: Array, num_atoms: Array) -> tuple[Array, Array]:
    """Atomic numbers (N,) and positions (N, 3) from arrays padded to the largest molecule (B, A), (B, A, 3)."""
    is_atom = np.arange(z.shape[1]) < num_atoms[:, None]
    return z[is_atom].astype(np.int64), pos[is_atom]
