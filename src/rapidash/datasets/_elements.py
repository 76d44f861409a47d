"""Chemical elements: symbols and atomic numbers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._reading import DataError

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts "
    "Og"
)
ELEMENT_SYMBOLS = tuple(_SYMBOLS.split())  # of atomic number 1, 2, ...
ATOMIC_NUMBER = {symbol: number for number, symbol in enumerate(ELEMENT_SYMBOLS, start=1)}
_NUMBER = {str(number): number for number in ATOMIC_NUMBER.values()} | ATOMIC_NUMBER

# Single-bond radii in angstrom of the elements 1 to 96 (Cordero et al., Dalton Trans. 2832, 2008).
_RADII = (
    "0.31 0.28 1.28 0.96 0.84 0.76 0.71 0.66 0.57 0.58 1.66 1.41 1.21 1.11 1.07 1.05 1.02 1.06 2.03 1.76 1.70 1.60 "
    "1.53 1.39 1.39 1.32 1.26 1.24 1.32 1.22 1.22 1.20 1.19 1.20 1.20 1.16 2.20 1.95 1.90 1.75 1.64 1.54 1.47 1.46 "
    "1.42 1.39 1.45 1.44 1.42 1.39 1.39 1.38 1.39 1.40 2.44 2.15 2.07 2.04 2.03 2.01 1.99 1.98 1.98 1.96 1.94 1.92 "
    "1.92 1.89 1.90 1.87 1.87 1.75 1.70 1.62 1.51 1.44 1.41 1.36 1.36 1.32 1.45 1.46 1.48 1.40 1.50 1.50 2.60 2.21 "
    "2.15 2.06 2.00 1.96 1.90 1.87 1.80 1.69"
)
COVALENT_RADII = np.array([1.5, *map(float, _RADII.split()), *[1.7] * 22])  # by atomic number; beyond 96 a guess


def element_number(word: str) -> int:
    """Atomic number of a symbol in any case, or of a number; 0 for one that is unknown."""
    return _NUMBER.get(word) or _NUMBER.get(word.capitalize(), 0)


def element_numbers(words: Sequence[str]) -> NDArray[np.int64]:
    """Atomic numbers of some symbols, see `element_number`. Raises: DataError for one that is unknown."""
    numbers = list(map(element_number, words))
    if 0 in numbers:
        raise DataError(f"unknown element {words[numbers.index(0)]!r}")
    return np.array(numbers, dtype=np.int64)
