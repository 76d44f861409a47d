"""Finite groups of motions by name."""

import re
from functools import lru_cache

import torch

from rapidash.groups._grids import grid_symmetries, orientation_grid
from rapidash.groups._group import Group
from rapidash.groups._linear import FiniteGroup, rotation_about
from rapidash.groups._matrix_groups import cyclic, dihedral, octahedral

FINITE_NAMES = ("C4", "D4", "C4(z)", "octahedral", "full octahedral", "icosahedral")  # as examples
_AXES = {"x": 0, "y": 1, "z": 2}


def finite_group(name: str, dim: int) -> Group | None:
    """The finite group with a name, as people write it or as a group prints it; None for another name.

    ``C4`` and ``D4`` (any number; also ``C(4)``) are rotations, and rotations and mirrors, of the plane, in space about
    the z axis; ``C4(x)`` rotations of space about another axis; ``octahedral`` and ``full octahedral`` (``O`` and
    ``Oh``) the 24 rotations and the 48 symmetries of the cube, ``icosahedral`` and ``full icosahedral`` (``I`` and
    ``Ih``) the 60 and 120 of the icosahedron.
    """
    if name in ("icosahedral", "I", "full icosahedral", "Ih"):
        return icosahedral(reflections=name in ("full icosahedral", "Ih"))
    if name in ("octahedral", "O", "full octahedral", "Oh"):
        return octahedral(reflections=name in ("full octahedral", "Oh"))
    found = re.fullmatch(r"([CD])\(?(\d{1,4})\)?(?:\(([xyz])\))?", name)
    if found is None or int(found[2]) < 1 or (found[1] == "D" and found[3]):
        return None
    order = int(found[2])
    if found[3] is None:
        return (cyclic if found[1] == "C" else dihedral)(order, dim)
    about = torch.zeros(3, dtype=torch.float64)
    about[_AXES[found[3]]] = 1.0
    turns = rotation_about(about, 2 * torch.pi * torch.arange(order, dtype=torch.float64) / order)
    elements = turns.round() if 4 % order == 0 else turns  # quarter turns without the rounding of cos(pi / 2)
    return Group(3, FiniteGroup(name, elements), translations=False)


@lru_cache
def icosahedral(*, reflections: bool = False) -> Group:
    """The 60 rotations of the icosahedron with vertices (0, 1, phi), ..., with reflections all 120 symmetries."""
    found = grid_symmetries(orientation_grid("platonic", 12, 3), reflections=reflections).elements
    identity = torch.eye(3, dtype=torch.float64)
    is_identity = (found - identity).abs().amax(dim=(1, 2)) < 1e-9
    elements = torch.cat([identity[None], found[~is_identity]])  # without the rounding of the search
    return Group(3, FiniteGroup("Ih" if reflections else "I", elements), translations=False)
