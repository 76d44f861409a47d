"""Numbers that describe the shapes of molecules: lengths, angles and dihedrals of bonds, size, rotational constants."""

from typing import NamedTuple

import numpy as np

from rapidash.data import CloudDataset
from rapidash.generate.metrics._atoms import Atoms, Floats, Ints, atoms_of
from rapidash.generate.metrics._bonds import Bonds

BOND_NAMES = {(1, 6): "C-H", (6, 6): "C-C", (6, 7): "C-N", (6, 8): "C-O", (1, 7): "N-H", (1, 8): "O-H"}
_CENTERS = {6: "C", 7: "N", 8: "O"}
_MASS = np.array([0, 1.00782503, 0, 0, 0, 0, 12, 14.0030740, 15.9949146, 18.9984032])  # u, of the main isotope
_GHZ_U_ANGSTROM2 = 505.379005  # h / (8 pi^2) in GHz u angstrom^2
_STRAIGHT = 0.1  # sine of the angle below which three atoms are in line, so that they have no plane


class Described(NamedTuple):
    """Numbers of one kind, each with its molecule: (K,), (K,); the unit, and the period of angles on a circle."""

    values: Floats
    owner: Ints
    unit: str
    period: float | None = None


def describe(atoms: Atoms, bonds: Bonds) -> dict[str, Described]:
    """All physical descriptions of the finite molecules, by name.

    Bonds by length for all pairs alike, so no failure of a perception enters. Lengths in pm of six kinds of bonds;
    angles between the bonds of C, N and O in degrees; dihedrals of chains of four bonded atoms other than hydrogen in
    degrees on a circle, left out where three of them are in line; the rms radius sqrt(mean |x - mean x|^2) in angstrom;
    the rotational constants B and C in GHz (A has no bound for molecules that are nearly linear).
    """
    lengths = _bond_lengths(atoms, bonds)
    neighbors = _Neighbors.of(atoms, bonds)
    angles = _angles(atoms, neighbors)
    return {**lengths, **angles, "dihedral": _dihedrals(atoms, bonds), **_sizes(atoms)}


def _bond_lengths(atoms: Atoms, bonds: Bonds) -> dict[str, Described]:
    a, b = np.sort(np.stack([atoms.z[bonds.i], atoms.z[bonds.j]]), axis=0)
    owner = atoms.owner[bonds.i]
    return {
        f"bond length {name}": Described(100 * bonds.length[rows], owner[rows], "pm")
        for (low, high), name in BOND_NAMES.items()
        for rows in [(a == low) & (b == high)]
    }


class _Neighbors(NamedTuple):
    """Bonds in both directions, sorted by their first atom."""

    center: Ints
    other: Ints
    degree: Ints  # (N,) bonds of each atom
    start: Ints  # (N,) the first of them

    @staticmethod
    def of(atoms: Atoms, bonds: Bonds) -> "_Neighbors":
        center, other = np.concatenate([bonds.i, bonds.j]), np.concatenate([bonds.j, bonds.i])
        order = np.lexsort((other, center))
        degree = np.bincount(center, minlength=len(atoms.z))
        return _Neighbors(center[order], other[order], degree, np.cumsum(degree) - degree)


def _angles(atoms: Atoms, neighbors: _Neighbors) -> dict[str, Described]:
    row = np.arange(len(neighbors.center))
    later = (neighbors.start + neighbors.degree)[neighbors.center] - row - 1  # bonds of the same atom that come after
    first = np.repeat(row, later)
    second = first + 1 + _ranges(later)
    center = neighbors.center[first]
    u = atoms.pos[neighbors.other[first]] - atoms.pos[center]
    v = atoms.pos[neighbors.other[second]] - atoms.pos[center]
    degrees = np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v), axis=1), (u * v).sum(axis=1)))
    return {
        f"angle at {name}": Described(degrees[rows], atoms.owner[center[rows]], "deg")
        for z, name in _CENTERS.items()
        for rows in [atoms.z[center] == z]
    }


def _dihedrals(atoms: Atoms, bonds: Bonds) -> Described:
    """Signed angles between the planes i, j, k and j, k, l of chains i - j - k - l, each chain once."""
    heavy = (atoms.z[bonds.i] > 1) & (atoms.z[bonds.j] > 1)
    inner = Bonds(bonds.i[heavy], bonds.j[heavy], bonds.order[heavy], bonds.length[heavy])
    neighbors = _Neighbors.of(atoms, inner)
    at_j, at_k = neighbors.degree[inner.i], neighbors.degree[inner.j]
    bond = np.repeat(np.arange(len(inner.i)), at_j * at_k)
    turn = _ranges(at_j * at_k)
    j, k = inner.i[bond], inner.j[bond]
    i = neighbors.other[neighbors.start[j] + turn // at_k[bond]]
    end = neighbors.other[neighbors.start[k] + turn % at_k[bond]]
    is_chain = (i != k) & (end != j) & (i != end)
    i, j, k, end = i[is_chain], j[is_chain], k[is_chain], end[is_chain]
    before, axis, after = (atoms.pos[q] - atoms.pos[p] for p, q in ((i, j), (j, k), (k, end)))
    p, q = np.cross(before, axis), np.cross(axis, after)
    lengths = [np.linalg.norm(vector, axis=1) for vector in (before, axis, after, p, q)]
    bent = (lengths[3] > _STRAIGHT * lengths[0] * lengths[1]) & (lengths[4] > _STRAIGHT * lengths[1] * lengths[2])
    sine = (np.cross(p, q) * axis).sum(axis=1)[bent] / lengths[1][bent]
    degrees = np.degrees(np.arctan2(sine, (p * q).sum(axis=1)[bent]))
    return Described(degrees, atoms.owner[j[bent]], "deg", period=360.0)


def _sizes(atoms: Atoms) -> dict[str, Described]:
    kept = np.flatnonzero(atoms.is_finite)
    pos = np.where(atoms.is_finite[atoms.owner][:, None], atoms.pos, 0)
    centered = pos - (np.add.reduceat(pos, atoms.start) / atoms.sizes[:, None])[atoms.owner]
    radius = np.sqrt(np.add.reduceat((centered**2).sum(axis=1), atoms.start) / atoms.sizes)
    described = {"rms radius": Described(radius[kept], kept, "angstrom")}
    for name, constant in zip("BC", _constants(atoms, pos).T):
        rows = kept[np.isfinite(constant[kept])]
        described[f"rotational constant {name}"] = Described(constant[rows], rows, "GHz")
    return described


def rotational_constants(data: CloudDataset) -> Floats:
    """(B, 2) rotational constants B and C of every molecule in GHz, from the masses of the main isotopes.

    They are infinite for a single atom, and not a number for a molecule that is not finite.

    Args:
        data: molecules with fields pos (N, 3) in angstrom and z (N,).
    Raises: ValueError for no molecules, or elements other than H, C, N, O, F.
    """
    atoms = atoms_of(data, "data")
    found = _constants(atoms, np.where(atoms.is_finite[atoms.owner][:, None], atoms.pos, 0))
    return np.where(atoms.is_finite[:, None], found, np.nan)


def _constants(atoms: Atoms, pos: Floats) -> Floats:
    """(B, 2) B and C = h / (8 pi^2 I) of the middle and the largest moment of inertia; infinite for a single atom."""
    mass = _MASS[atoms.z][:, None]
    middle = np.add.reduceat(mass * pos, atoms.start) / np.add.reduceat(mass, atoms.start)
    arm = pos - middle[atoms.owner]
    outer = np.add.reduceat(mass[:, :, None] * arm[:, :, None] * arm[:, None, :], atoms.start)
    trace = np.trace(outer, axis1=1, axis2=2)[:, None]
    moments = trace - np.linalg.eigvalsh(outer)[:, 1::-1]  # eigenvalues ascend: the middle moment, the largest
    with np.errstate(divide="ignore"):
        return _GHZ_U_ANGSTROM2 / np.where(moments > 1e-9, moments, 0)


def _ranges(counts: Ints) -> Ints:
    """0, ..., counts[0] - 1, 0, ..., counts[1] - 1, and so on."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
