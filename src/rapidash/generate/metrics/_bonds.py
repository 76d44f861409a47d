"""Bonds by a table of lengths, and the fragments that they make."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from rapidash.data import CloudDataset
from rapidash.generate.metrics._atoms import Atoms, Bools, Floats, Ints, atoms_of
from rapidash.generate.metrics._bond_lengths import LENGTHS, MARGINS


class Bonds(NamedTuple):
    """Bonded pairs of atoms, each once: atoms i < j, order 1 to 3, length in angstrom, all (K,)."""

    i: Ints
    j: Ints
    order: Ints
    length: Floats


def bonds_of(atoms: Atoms, margins: tuple[float, float, float] = MARGINS) -> Bonds:
    """Bonds by the lookup of EDM: a pair at distance d has order 3, 2, 1 where d is below that length plus its margin.

    Each test counts only where the one before held, single first: order = [d < l1 + m1] (1 + [d < l2 + m2]
    (1 + [d < l3 + m3])). Comparisons are strict, in double precision. Molecules that are not finite have no bonds.

    Args:
        atoms: molecules.
        margins: m1, m2, m3 in pm.
    Source: Hoogeboom et al., "Equivariant Diffusion for Molecule Generation in 3D", ICML 2022.
    """
    limits = LENGTHS + np.reshape(margins, (3, 1, 1))
    found = []
    for i, j in atoms.pairs():
        length = np.sqrt(((atoms.pos[i] - atoms.pos[j]) ** 2).sum(axis=1))
        near = np.flatnonzero(100 * length < limits[0].max())
        i, j, length = i[near], j[near], length[near]
        below = 100 * length < limits[:, atoms.z[i], atoms.z[j]]
        order = below[0] * (1 + below[1] * (1 + below[2].astype(np.int64)))
        bonded = order > 0
        found.append(Bonds(i[bonded], j[bonded], order[bonded], length[bonded]))
    none = np.empty(0, dtype=np.int64)
    parts = [Bonds(none, none, none, np.empty(0)), *found]
    return Bonds(*(np.concatenate(columns) for columns in zip(*parts)))


def near_pairs(data: CloudDataset) -> Int[Tensor, "K 2"]:
    """The bonded pairs of atoms of all molecules by the lookup of `stability`, numbered through all molecules.

    Args:
        data: molecules with fields pos (N, 3) in angstrom and z (N,).
    Raises: ValueError for no molecules, or elements other than H, C, N, O, F.
    """
    bonds = bonds_of(atoms_of(data, "data"))
    return torch.from_numpy(np.stack([bonds.i, bonds.j], axis=1))


def is_connected(atoms: Atoms, bonds: Bonds) -> Bools:
    """(B,) whether the bonds join all atoms of a molecule; a molecule that is not finite is not connected."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    num = len(atoms.z)
    graph = coo_array((np.ones(len(bonds.i)), (bonds.i, bonds.j)), shape=(num, num))
    _, label = connected_components(graph, directed=False)
    _, first = np.unique(label, return_index=True)
    pieces = np.bincount(atoms.owner[first], minlength=len(atoms.sizes))
    return (pieces == 1) & atoms.is_finite
