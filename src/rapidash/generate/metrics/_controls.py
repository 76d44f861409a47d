"""Molecules that are wrong in a known way, and which figures notice: the table to read before any figure."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rapidash.data import CloudDataset, seeded
from rapidash.generate.metrics._atoms import Atoms, atoms_of
from rapidash.generate.metrics._bonds import bonds_of
from rapidash.generate.metrics._perception import smiles_of
from rapidash.generate.metrics._stability import stability_of

NOISE = (0.02, 0.05, 0.1, 0.15)
_APART = 20.0  # angstrom


class _Molecule(NamedTuple):
    z: Tensor
    pos: Tensor


class Control(NamedTuple):
    """Shares in % of one set of molecules by every protocol; nan for the last three without RDKit."""

    name: str
    atom_stable: float
    stable: float
    valid_classic: float
    sound_lookup: float
    sound_perceived: float
    num: int


def figure_controls(
    reference: CloudDataset, *, num: int = 500, seed: int = 0, perception: bool = True
) -> tuple[Control, ...]:
    """The figures of real molecules, and of these with a known error: which figure sees which error.

    - real molecules, drawn from the reference without replacement;
    - each without one hydrogen, drawn among its own (molecules without any are left out);
    - each with the next one, 20 angstrom beside it, as one sample;
    - Gaussian noise of 0.02, 0.05, 0.1 and 0.15 angstrom on every coordinate;
    - atoms at random: the same elements, positions Gaussian with the variance of the molecule's coordinates.

    Args:
        reference: real molecules with fields pos (N, 3) in angstrom and z (N,).
        num: molecules to draw, at most as many as there are.
        seed: of all draws.
        perception: also what needs RDKit (extra ``mol``).
    Raises: ValueError for ``num`` out of range; ImportError without RDKit.
    """
    atoms_of(reference, "reference")  # errors name it
    if not 1 <= num <= len(reference):
        raise ValueError(f"num must be from 1 to the {len(reference)} molecules of the reference, got {num}")
    drawn = torch.randperm(len(reference), generator=seeded(seed, "controls"))[:num].sort().values
    real, rng = _molecules(reference.subset(drawn)), seeded(seed, "controls", "errors")
    following = [*real[1:], real[0]]
    sets: list[tuple[str, list[_Molecule]]] = [
        ("real molecules", real),
        ("one hydrogen deleted", [found for one in real if (found := _without_hydrogen(one, rng)) is not None]),
        (f"two molecules {_APART:g} angstrom apart", [_apart(*pair) for pair in zip(real, following)]),
        *((f"noise of {sigma:g} angstrom", [_noisy(one, sigma, rng) for one in real]) for sigma in NOISE),
        ("atoms at random", [_random(one, rng) for one in real]),
    ]
    return tuple(_control(name, molecules, perception) for name, molecules in sets if molecules)


def controls_table(controls: tuple[Control, ...]) -> str:
    """The controls as text, a line for each, shares in %."""
    head = ("molecules", "atom stable", "stable", "valid (classic)", "sound (lookup)", "sound (perceived)", "samples")
    rows: list[tuple[str, ...]] = [head]
    for one in controls:
        shares = [f"{share:.1f}" if np.isfinite(share) else "-" for share in one[1:6]]
        rows.append((one.name, *shares, str(one.num)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)


def _molecules(data: CloudDataset) -> list[_Molecule]:
    sizes = data.num_points.tolist()
    z, pos = data.tensors["z"].reshape(-1).split(sizes), data.tensors["pos"].double().split(sizes)
    return [_Molecule(*one) for one in zip(z, pos)]


def _without_hydrogen(one: _Molecule, rng: torch.Generator) -> _Molecule | None:
    hydrogens = torch.nonzero(one.z == 1).flatten()
    if not len(hydrogens) or len(one.z) == 1:
        return None
    gone = hydrogens[torch.randint(len(hydrogens), (1,), generator=rng)]
    kept = torch.arange(len(one.z)) != gone
    return _Molecule(one.z[kept], one.pos[kept])


def _apart(one: _Molecule, other: _Molecule) -> _Molecule:
    """Both along x, with 20 angstrom between the last atom of one and the first of the other."""
    shift = one.pos[:, 0].max() + _APART - other.pos[:, 0].min()
    moved = other.pos + torch.stack([shift, shift.new_zeros(()), shift.new_zeros(())])
    return _Molecule(torch.cat([one.z, other.z]), torch.cat([one.pos, moved]))


def _noisy(one: _Molecule, sigma: float, rng: torch.Generator) -> _Molecule:
    return _Molecule(one.z, one.pos + sigma * torch.randn(one.pos.shape, generator=rng, dtype=one.pos.dtype))


def _random(one: _Molecule, rng: torch.Generator) -> _Molecule:
    spread = one.pos.std(correction=0)
    return _Molecule(one.z, spread * torch.randn(one.pos.shape, generator=rng, dtype=one.pos.dtype))


def _control(name: str, molecules: list[_Molecule], perception: bool) -> Control:
    sizes = np.array([len(one.z) for one in molecules])
    z, pos = (torch.cat(columns).numpy() for columns in zip(*molecules))
    atoms = Atoms(z.astype(np.int64), pos, sizes)
    bonds = bonds_of(atoms)
    found = stability_of(atoms, bonds)
    valid = [float("nan")] * 3
    if perception:
        read = (
            smiles_of(atoms, bonds, "classic"),
            smiles_of(atoms, bonds, "lookup"),
            smiles_of(atoms, None, "perceived"),
        )
        valid = [100 * float(np.mean([text is not None for text in texts])) for texts in read]
    stable = 100 * float(found.atoms.mean()), 100 * float(found.molecules.mean())
    return Control(name, *stable, valid[0], valid[1], valid[2], len(molecules))
