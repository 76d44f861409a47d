"""Stability of atoms and molecules by the bond lookup: the classic figure of generated molecules."""

from dataclasses import dataclass

import numpy as np

from rapidash.data import CloudDataset
from rapidash.generate.metrics._atoms import Atoms, Bools, atoms_of
from rapidash.generate.metrics._bond_lengths import MARGINS, VALENCE
from rapidash.generate.metrics._bonds import Bonds, bonds_of
from rapidash.generate.metrics._figure import Figure, share_figure, wilson_interval

STABLE_NOTE = (
    "aromatic rings with nitrogen, nitro groups and charges fail the lookup, so real molecules do not reach 100 %: "
    "above the real value the figure rewards large saturated molecules, below it coordinates exact to 0.01 angstrom"
)


@dataclass(frozen=True)
class Stability:
    """Which atoms and which molecules are stable.

    Args:
        atoms: (N,) whether the orders of an atom's bonds add up to its valence.
        molecules: (B,) whether all atoms of a molecule are stable.
        owner: (N,) the molecule of each atom.
        z: (N,) atomic numbers.
    """

    atoms: Bools
    molecules: Bools
    owner: np.ndarray
    z: np.ndarray

    def figures(self) -> tuple[Figure, Figure]:
        """Share of stable atoms, of all atoms, and of stable molecules, of all molecules, in %."""
        return (
            _atom_share(self),
            share_figure("stable (bond lookup)", int(self.molecules.sum()), len(self.molecules), note=STABLE_NOTE),
        )

    def by_element(self) -> dict[int, float]:
        """Share of stable atoms of each element, in %."""
        return {int(z): 100 * float(self.atoms[self.z == z].mean()) for z in np.unique(self.z)}


def stability(data: CloudDataset, *, margins: tuple[float, float, float] = MARGINS) -> Stability:
    """Stability: an atom is stable if the orders of its bonds add up to its valence (H 1, C 4, N 3, O 2, F 1).

    A pair is bonded with order 3, 2, 1 where it is nearer than the length of such a bond plus its margin; strictly, and
    only where the test of the order below holds, too. No atom of a molecule that is not finite is stable, and its atoms
    and itself stay in the denominators.

    Args:
        data: molecules with fields pos (N, 3) in angstrom and z (N,).
        margins: pm by which a single, double or triple bond may be longer than the table says.
    Raises: ValueError for no molecules, or an element without a valence here.
    Source: Hoogeboom et al., "Equivariant Diffusion for Molecule Generation in 3D", ICML 2022.
    """
    atoms = atoms_of(data, "data")
    return stability_of(atoms, bonds_of(atoms, margins))


def stability_of(atoms: Atoms, bonds: Bonds) -> Stability:
    """Stability of molecules whose bonds are known."""
    orders = np.bincount(np.concatenate([bonds.i, bonds.j]), np.tile(bonds.order, 2), minlength=len(atoms.z))
    stable = orders == VALENCE[atoms.z]  # what is not finite has no bonds, and every valence is at least 1
    return Stability(stable, np.logical_and.reduceat(stable, atoms.start), atoms.owner, atoms.z)


def _atom_share(found: Stability) -> Figure:
    """Wilson's interval with the number of atoms p(1 - p) / se^2, since the atoms of a molecule fail together."""
    counts = np.bincount(found.owner)
    stable = np.bincount(found.owner, found.atoms)
    total = len(found.atoms)
    share = stable.sum() / total
    variance = float(((stable - share * counts) ** 2).sum()) / total**2
    effective = min(total, share * (1 - share) / variance) if variance > 0 else len(counts)
    low, high = wilson_interval(share * effective, effective)
    note = STABLE_NOTE
    return Figure("atom stable (bond lookup)", 100 * share, 100 * low, 100 * high, len(counts), "%", None, note)
