"""The strain of molecules: how much energy, and how much motion, their relaxation by a force field takes."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch

from rapidash.data import CloudDataset
from rapidash.generate.metrics._atoms import Atoms, Floats, atoms_of
from rapidash.generate.metrics._perception import find_rdkit, perceived_molecules

_MAX_STEPS = 1000  # of the relaxation


class Strain(NamedTuple):
    """Of every molecule the energy in kcal/mol and the root mean square motion in angstrom, both (B,)."""

    energy: Floats
    motion: Floats


def strain(data: CloudDataset) -> Strain:
    """The relaxation of every molecule by the force field MMFF94: the energy that it takes, and the motion of atoms.

    Energy before minus after, and the root mean square distance of the atoms, without overall motion. The force field
    and the quantum chemistry of the data disagree, so real molecules are not at 0: compare with theirs. Not a number
    for molecules that are not sound, see `smiles`, that the force field does not know, or whose relaxation does not end
    within 1,000 steps.

    Args:
        data: molecules with fields pos (N, 3) in angstrom and z (N,).
    Raises: ImportError without RDKit (extra ``mol``); ValueError for no molecules, or elements other than H, C, N, O,
        F.
    Source: Halgren, "Merck molecular force field", J. Comput. Chem. 17 (1996).
    """
    atoms = atoms_of(data, "data")
    return strain_of(atoms, range(len(atoms.sizes)))


def strain_of(atoms: Atoms, indices: Iterable[int]) -> Strain:
    """`strain` of some molecules."""
    force_fields, found = find_rdkit().force_fields, []
    for molecule in perceived_molecules(atoms, indices):
        known = None if molecule is None else force_fields.MMFFGetMoleculeProperties(molecule)
        if known is None:
            found.append((np.nan, np.nan))
            continue
        field = force_fields.MMFFGetMoleculeForceField(molecule, known)
        begin, energy = np.array(molecule.GetConformer().GetPositions()), field.CalcEnergy()
        is_open = field.Minimize(maxIts=_MAX_STEPS)
        motion = _motion(begin, np.array(molecule.GetConformer().GetPositions()))
        found.append((np.nan, np.nan) if is_open else (energy - field.CalcEnergy(), motion))
    return Strain(*np.array(found, dtype=np.float64).reshape(-1, 2).T)


def _motion(begin: Floats, end: Floats) -> float:
    """The least root mean square distance over all rigid motions of one of them."""
    first, last = (torch.from_numpy(pos - pos.mean(axis=0)) for pos in (begin, end))
    values = torch.linalg.svdvals(first.T @ last)
    if torch.linalg.det(first.T @ last) < 0:
        values[-1] = -values[-1]
    square = first.square().sum() + last.square().sum() - 2 * values.sum()
    return float((square.clamp(min=0) / len(first)).sqrt())
