"""Groups of every kind by name, products too."""

import re

from rapidash.groups._matrix_group import MatrixGroup
from rapidash.groups._matrix_groups import Permutations, affine, hyperbolic, joined_flows, scaling, shear
from rapidash.groups._parse_group import parse_group
from rapidash.groups._product import Product

_FLOWS = {"scaling": scaling, "shear": shear, "hyperbolic": hyperbolic, "affine": affine}


def parse_matrix_group(name: str) -> MatrixGroup:
    """Read a group from its name: a motion group as `parse_group` does, ``S(5)``, or a product, ``C4 x C4``.

    Flows are ``scaling(2)``, ``shear(2)``, ``hyperbolic(2)`` and ``affine(2)``, the same with 3, and generators of
    several groups, ``SO(2) + scaling(2)``: elements exp(sum_i u_i A_i).

    Raises: ValueError for an unknown name, with the nearest valid one.
    """
    parts = [part.strip() for part in name.split(" x ")]
    if len(parts) > 1:
        return Product(tuple(parse_matrix_group(part) for part in parts))
    parts = [part.strip() for part in name.split(" + ")]
    if len(parts) > 1:
        return joined_flows([parse_matrix_group(part) for part in parts])
    if (found := re.fullmatch(r"(\w+)\(([23])\)", name.strip())) and found[1] in _FLOWS:
        return _FLOWS[found[1]](int(found[2]))
    if found := re.fullmatch(r"S\((\d{1,4})\)", name.strip()):
        return Permutations(int(found[1]))
    return parse_group(name)
