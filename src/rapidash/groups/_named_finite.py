"""Finite groups of motions by name."""

import re
from functools import lru_cache

import torch

from rapidash.groups._grids import grid_symmetries, orientation_grid
from rapidash.groups._group import Group
from rapidash.groups._linear import FiniteGroup, rotation_about
from rapidash.groups._matrix_groups import cyclic, dihedral, octahedral

FINITE_NAMES = ("C4", "D4", "C4(z)", "octahedral", "full octahedral", "icosahedral")  # as examples
_AXES = "xyz"


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
    if name in ("tetrahedral", "full tetrahedral"):
        return _tetrahedral(reflections=name == "full tetrahedral")
    found = re.fullmatch(r"([CD])\(?(\d{1,4})\)?(?:\(([xyz]|[-\d., ]+)\))?", name)
    if found is None or int(found[2]) < 1 or (found[1] == "D" and found[3]):
        return None
    order = int(found[2])
    if found[3] is None:
        return (cyclic if found[1] == "C" else dihedral)(order, dim)
    about = _axis(found[3])
    if about is None:
        return None
    turns = rotation_about(about, 2 * torch.pi * torch.arange(order, dtype=torch.float64) / order)
    whole = turns.round()
    elements = whole if bool((turns - whole).abs().max() < 1e-12) else turns  # without the rounding of cos(pi / 2)
    return Group(3, FiniteGroup(name, elements), translations=False)


@lru_cache
def icosahedral(*, reflections: bool = False) -> Group:
    """The 60 rotations of the icosahedron with vertices (0, 1, phi), ..., with reflections all 120 symmetries."""
    found = grid_symmetries(orientation_grid("platonic", 12, 3), reflections=reflections).elements
    identity = torch.eye(3, dtype=torch.float64)
    is_identity = (found - identity).abs().amax(dim=(1, 2)) < 1e-9
    elements = torch.cat([identity[None], found[~is_identity]])  # without the rounding of the search
    return Group(3, FiniteGroup("Ih" if reflections else "I", elements), translations=False)


@lru_cache
def _tetrahedral(*, reflections: bool) -> Group:
    """The 12 rotations of the tetrahedron with vertices (1, 1, 1), ..., with reflections all 24 symmetries."""
    cube = octahedral(reflections=reflections).linear
    assert isinstance(cube, FiniteGroup)
    corners = orientation_grid("platonic", 4, 3) * 3**0.5
    keeps = [bool((((corners @ g.T)[:, None] - corners).abs().amax(-1).amin(1) < 1e-9).all()) for g in cube.elements]
    label = "full tetrahedral" if reflections else "tetrahedral"
    return Group(3, FiniteGroup(label, cube.elements[torch.tensor(keeps)]), translations=False)


def _axis(text: str) -> torch.Tensor | None:
    """A unit vector from the letter of an axis or three numbers; None for what is neither."""
    numbers = [float(text == letter) for letter in _AXES] if text in _AXES else []
    try:
        numbers = numbers or [float(part) for part in text.split(",")]
    except ValueError:
        return None
    axis = torch.tensor(numbers, dtype=torch.float64)
    return axis / axis.norm() if len(numbers) == 3 and bool(axis.any()) else None
