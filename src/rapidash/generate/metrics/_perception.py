"""Molecules as RDKit reads them from coordinates: three protocols of validity, two of which are strict."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from rapidash.data import CloudDataset
from rapidash.generate.metrics._atoms import Atoms, atoms_of
from rapidash.generate.metrics._bonds import Bonds, bonds_of

Protocol = Literal["classic", "lookup", "perceived"]

_COV_FACTOR = 1.15  # of RDKit's "van der Waals" method, on covalent radii: its 1.3 finds false bonds in cages
_MAX_ITERATIONS = 500  # of the search for bond orders: without a limit single molecules take minutes


class RDKit(NamedTuple):
    """The parts of RDKit that are used, imported where they are."""

    chem: Any
    force_fields: Any
    determine_bonds: Callable[..., None]
    block_logs: Callable[[], Any]


def find_rdkit() -> RDKit:
    """Raises: ImportError naming the extra."""
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem import rdDetermineBonds, rdForceFieldHelpers
    except ImportError as error:
        raise ImportError("validity of molecules needs RDKit: pip install 'rapidash[mol]'") from error
    return RDKit(Chem, rdForceFieldHelpers, rdDetermineBonds.DetermineBonds, rdBase.BlockLogs)


def smiles(data: CloudDataset, protocol: Protocol = "perceived") -> list[str | None]:
    """The SMILES of every molecule, None for one that is not valid by the protocol.

    - "classic" (EDM): bonds by length, RDKit's sanitization, then the largest fragment, hydrogens written. RDKit fills
      missing valences with hydrogens that are not there, and other fragments are not looked at.
    - "lookup": the same bonds, but a molecule is valid only if sanitized, in one piece, and all its hydrogens are among
      its atoms and none of these is a radical.
    - "perceived": the same conditions, but bonds, orders and charges are RDKit's: atoms nearer than 1.15 times the sum
      of their covalent radii are bonded, and orders and charges are searched for, at most 500 times, to a total charge
      of 0. This is the protocol to rely on; a search that reaches its limit is a failure.

    SMILES of the strict protocols are canonical, without hydrogens and stereochemistry. A molecule that is not finite
    is not valid.

    Args:
        data: molecules with fields pos (N, 3) in angstrom and z (N,).
        protocol: "classic", "lookup" or "perceived".
    Raises: ImportError without RDKit (extra ``mol``); ValueError for no molecules, elements other than H, C, N, O, F,
        or an unknown protocol.
    Source: Hoogeboom et al., "Equivariant Diffusion for Molecule Generation in 3D", ICML 2022 (classic); Kim and Kim,
        "Universal Structure Conversion Method for Organic Molecules", Bull. Korean Chem. Soc. 36 (2015) (perception).
    """
    if protocol not in get_args(Protocol):
        raise ValueError(f"unknown protocol {protocol!r}, expected one of {get_args(Protocol)}")
    atoms = atoms_of(data, "data")
    bonds = None if protocol == "perceived" else bonds_of(atoms)
    return smiles_of(atoms, bonds, protocol)


def mol_blocks(data: CloudDataset) -> list[tuple[str, bool]]:
    """Every molecule as a block of an SDF file, with the bonds that RDKit perceives, and whether it is sound.

    A molecule of which perception makes nothing has atoms without bonds, one that is not finite has no atoms.

    Args:
        data: molecules with fields pos (N, 3) in angstrom and z (N,).
    Raises: ImportError without RDKit (extra ``mol``); ValueError for no molecules, or elements other than H, C, N, O,
        F.
    """
    rdkit, atoms = find_rdkit(), atoms_of(data, "data")
    found = []
    for index, molecule in enumerate(perceived_molecules(atoms, range(len(atoms.sizes)))):
        shown = molecule or _molecule(rdkit, atoms, index) or rdkit.chem.RWMol()
        found.append((str(rdkit.chem.MolToMolBlock(shown)), molecule is not None))
    return found


def perceived_molecules(atoms: Atoms, indices: Iterable[int]) -> Iterator[Any]:
    """Some molecules of RDKit with the bonds that it perceives; None for one that is not sound."""
    rdkit = find_rdkit()
    for index in indices:
        with rdkit.block_logs():
            molecule = _molecule(rdkit, atoms, index)
            yield None if molecule is None or _attempt(_perceived, rdkit, molecule) is None else molecule


def smiles_of(atoms: Atoms, bonds: Bonds | None, protocol: Protocol) -> list[str | None]:
    """`smiles` of molecules whose bonds by length are known; perception does without."""
    rdkit = find_rdkit()
    read = {"classic": _classic, "lookup": _strict, "perceived": _perceived}[protocol]
    with rdkit.block_logs():
        molecules = [_molecule(rdkit, atoms, index) for index in range(len(atoms.sizes))]
        if bonds is not None:
            _add_bonds(rdkit, molecules, atoms, bonds)
        return [None if one is None else _attempt(read, rdkit, one) for one in molecules]


def _molecule(rdkit: RDKit, atoms: Atoms, index: int) -> Any:
    """Atoms at their places, without bonds; None for a molecule that is not finite."""
    if not atoms.is_finite[index]:
        return None
    rows = slice(atoms.start[index], atoms.start[index] + atoms.sizes[index])
    molecule = rdkit.chem.RWMol()
    for z in atoms.z[rows].tolist():
        molecule.AddAtom(rdkit.chem.Atom(z))
    conformer = rdkit.chem.Conformer(int(atoms.sizes[index]))
    conformer.SetPositions(np.ascontiguousarray(atoms.pos[rows]))
    molecule.AddConformer(conformer)
    return molecule


def _add_bonds(rdkit: RDKit, molecules: list[Any], atoms: Atoms, bonds: Bonds) -> None:
    types = rdkit.chem.BondType
    order_of = (None, types.SINGLE, types.DOUBLE, types.TRIPLE)
    owner = atoms.owner[bonds.i]
    first = atoms.start[owner]
    for index, i, j, order in zip(
        owner.tolist(), (bonds.i - first).tolist(), (bonds.j - first).tolist(), bonds.order.tolist()
    ):
        molecules[index].AddBond(i, j, order_of[order])


def _attempt(read: Callable[[RDKit, Any], str | None], rdkit: RDKit, molecule: Any) -> str | None:
    try:
        return read(rdkit, molecule)
    except (ValueError, RuntimeError):  # what RDKit raises for a molecule that it cannot make sense of
        return None


def _classic(rdkit: RDKit, molecule: Any) -> str:
    rdkit.chem.SanitizeMol(molecule)
    fragments = rdkit.chem.GetMolFrags(molecule, asMols=True)
    largest = max(fragments, key=lambda fragment: fragment.GetNumAtoms())
    rdkit.chem.SanitizeMol(largest)
    return str(rdkit.chem.MolToSmiles(largest))


def _perceived(rdkit: RDKit, molecule: Any) -> str | None:
    rdkit.determine_bonds(
        molecule, charge=0, useVdw=True, covFactor=_COV_FACTOR, embedChiral=False, maxIterations=_MAX_ITERATIONS
    )
    return _strict(rdkit, molecule)


def _strict(rdkit: RDKit, molecule: Any) -> str | None:
    rdkit.chem.SanitizeMol(molecule)
    if len(rdkit.chem.GetMolFrags(molecule)) != 1:
        return None
    if any(atom.GetTotalNumHs() or atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()):
        return None
    return str(rdkit.chem.MolToSmiles(rdkit.chem.RemoveHs(molecule), isomericSmiles=False))
