"""Lengths of bonds and valences of H, C, N, O, F, by which the classic figures of generated molecules tell bonds.

They are data: mean lengths in picometers, with the choice of entries and the margins of EDM (Hoogeboom et al.,
"Equivariant Diffusion for Molecule Generation in 3D", ICML 2022), whose margins were tuned on QM9. Charges and aromatic
bonds are unknown to them.
"""

import numpy as np
from numpy.typing import NDArray

ELEMENTS = (1, 6, 7, 8, 9)  # atomic numbers that the tables have
MARGINS = (10.0, 5.0, 3.0)  # pm by which a single, double, triple bond may be longer than the table says
VALENCE = np.array([-1, 1, -1, -1, -1, -1, 4, 3, 2, 1])  # by atomic number; -1 for elements without an entry

_SINGLE = {
    (1, 1): 74, (1, 6): 109, (1, 7): 101, (1, 8): 96, (1, 9): 92,
    (6, 6): 154, (6, 7): 147, (6, 8): 143, (6, 9): 135,
    (7, 7): 145, (7, 8): 140, (7, 9): 136, (8, 8): 148, (8, 9): 142, (9, 9): 142,
}  # fmt: skip
_DOUBLE = {(6, 6): 134, (6, 7): 129, (6, 8): 120, (7, 7): 125, (7, 8): 121, (8, 8): 121}
_TRIPLE = {(6, 6): 120, (6, 7): 116, (6, 8): 113, (7, 7): 110}


def _by_element(lengths: dict[tuple[int, int], int]) -> NDArray[np.float64]:
    table = np.full((10, 10), -np.inf)  # no distance is below: no such bond
    for (a, b), length in lengths.items():
        table[a, b] = table[b, a] = length
    return table


LENGTHS = np.stack([_by_element(_SINGLE), _by_element(_DOUBLE), _by_element(_TRIPLE)])  # pm, (order - 1, z, z)
