"""Many molecules as arrays: atoms concatenated, and which molecules are finite."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rapidash.data import CloudDataset
from rapidash.generate.metrics._bond_lengths import ELEMENTS

_PAIRS_AT_ONCE = 2**20
_LARGEST = 1e100  # angstrom

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Atoms:
    """Molecules with their atoms concatenated.

    Args:
        z: (N,) atomic numbers.
        pos: (N, 3) positions in angstrom.
        sizes: (B,) atoms of each molecule, at least 1.
    """

    z: Ints
    pos: Floats
    sizes: Ints

    @cached_property
    def start(self) -> Ints:
        """(B,) the first atom of each molecule."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def owner(self) -> Ints:
        """(N,) the molecule of each atom."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def is_finite(self) -> Bools:
        """(B,) whether all positions of a molecule are finite, and small enough for their squares to be."""
        return np.logical_and.reduceat((np.abs(self.pos) < _LARGEST).all(axis=1), self.start)

    def pairs(self) -> Iterator[tuple[Ints, Ints]]:
        """Atoms i < j of the same finite molecule: all pairs once, block by block."""
        for size in np.unique(self.sizes):
            first, second = np.triu_indices(size, k=1)
            starts = self.start[self.is_finite & (self.sizes == size)]
            step = max(1, _PAIRS_AT_ONCE // max(1, len(first)))
            for begin in range(0, len(starts), step):
                block = starts[begin : begin + step, None]
                yield (block + first).ravel(), (block + second).ravel()


def atoms_of(data: CloudDataset, name: str = "samples") -> Atoms:
    """The molecules of a data set with fields pos (N, 3) in angstrom and z (N,).

    Args:
        data: molecules.
        name: of the argument, for errors.
    Raises: ValueError for no molecules, no field z, positions that are not (N, 3), or an element without bond lengths.
    """
    if not len(data):
        raise ValueError(f"{name} has no molecules: there is nothing to measure")
    if "z" not in data.tensors:
        raise ValueError(f"{name} needs the field 'z', the atomic number of each atom, got {sorted(data.tensors)}")
    pos, z = data.tensors["pos"], data.tensors["z"].reshape(-1)
    if pos.dim() != 2 or pos.shape[1] != 3:
        raise ValueError(f"{name} needs positions (N, 3) in angstrom, got {tuple(pos.shape)}")
    atomic = z.cpu().numpy().astype(np.int64)
    unknown = sorted({*np.unique(atomic).tolist()} - {*ELEMENTS})
    if unknown:
        raise ValueError(f"{name} has atomic numbers {unknown}, bond lengths are known for {ELEMENTS} only")
    return Atoms(atomic, pos.detach().cpu().double().numpy(), data.num_points.cpu().numpy().astype(np.int64))
