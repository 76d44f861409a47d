"""Groups of every kind by name, products too."""

import re

from rapidash.groups._matrix_group import MatrixGroup
from rapidash.groups._matrix_groups import Permutations
from rapidash.groups._parse_group import parse_group
from rapidash.groups._product import Product


def parse_matrix_group(name: str) -> MatrixGroup:
    """Read a group from its name: a motion group as `parse_group` does, ``S(5)``, or a product, ``C4 x C4``.

    Raises: ValueError for an unknown name, with the nearest valid one.
    """
    parts = [part.strip() for part in name.split(" x ")]
    if len(parts) > 1:
        return Product(tuple(parse_matrix_group(part) for part in parts))
    if found := re.fullmatch(r"S\((\d{1,4})\)", name.strip()):
        return Permutations(int(found[1]))
    return parse_group(name)
