"""Molecules from files of users: which fields they must have, and which of them a model knows."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rapidash.data import Field
from rapidash.datasets import ELEMENT_SYMBOLS, DataError, FileCloud, Molecules
from rapidash.groups import Position, Scalar
from rapidash.tasks._file_task import NeededField, cloud_tensors

NEEDS_OF_MOLECULES: Mapping[str, NeededField] = {
    "pos": NeededField(Field(Position(), "angstrom"), 3),
    "z": NeededField(Field(Scalar(), "atomic number"), 0),
}


def read_molecule(found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
    """Positions and elements of a molecule, checked as those of the training data were.

    Raises: DataError for missing fields, elements that the training data did not have, or atoms whose distances are not
        those of a molecule in angstrom.
    """
    tensors = cloud_tensors(found, NEEDS_OF_MOLECULES)
    pos, z = tensors["pos"].numpy(), tensors["z"].numpy()
    check_elements(tensors["z"], reference)
    if problem := Molecules(np.array([len(z)]), z, pos, names=[found.name]).problems(reference["elements"]).get(0):
        raise DataError(problem)
    return tensors


def check_elements(z: Tensor, reference: Mapping[str, Any]) -> None:
    """Raises: DataError for elements that the training data did not have."""
    if unknown := sorted(set(z.tolist()) - set(reference["elements"])):
        raise DataError(f"element {symbols(unknown)} was not in the training data: {symbols(reference['elements'])}")


def check_atoms(z: Tensor, reference: Mapping[str, Any]) -> None:
    """Raises: DataError for the atoms of another molecule than that of the training data."""
    if (atoms := sorted(z.tolist())) != reference["atoms"]:
        raise DataError(
            f"its atoms are {_formula(atoms)}, the model was trained on {_formula(reference['atoms'])}: "
            "energies of another molecule have no common zero"
        )


def elements_of(z: Tensor) -> list[int]:
    """The atomic numbers that occur, in ascending order."""
    return torch.unique(z).tolist()


def _formula(atoms: list[int]) -> str:
    """The atoms of a molecule in words, e.g. ``"6 H, 2 C, 1 O"`` of ethanol."""
    return ", ".join(f"{atoms.count(number)} {symbols([number])}" for number in sorted(set(atoms)))


def symbols(numbers: Iterable[int]) -> str:
    """The elements with these atomic numbers, the number where there is none."""
    known = range(1, len(ELEMENT_SYMBOLS) + 1)
    return ", ".join(ELEMENT_SYMBOLS[number - 1] if number in known else str(number) for number in numbers)
