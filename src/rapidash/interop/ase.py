"""ASE atoms as clouds, recognized by their methods: nothing is imported."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from rapidash.data import CloudDataset, Field
from rapidash.groups import Position, Scalar, Vector

__all__ = ["from_ase"]


def from_ase(atoms: Any, *, dtype: torch.dtype = torch.float32) -> CloudDataset:
    """An ``ase.Atoms``, or several, as a data set.

    Fields: pos (position, angstrom), z (scalar, (N,), int64: atomic numbers); where every structure has results,
        energy (scalar, (B, 1), eV, float64) and forces (vector, eV/angstrom), as stored: nothing is computed.
    Raises: TypeError for an object without positions and numbers; ValueError for periodic structures (their neighbors
        across the cell would be lost), for structures without atoms or with an unknown element (0), or for none.
    """
    structures = [atoms] if hasattr(atoms, "get_positions") else list(atoms) if isinstance(atoms, Iterable) else [atoms]
    if not structures:
        raise ValueError("expected at least one structure, got none")
    for number, item in enumerate(structures):
        if not (hasattr(item, "get_positions") and hasattr(item, "get_atomic_numbers")):
            raise TypeError(f"structure {number} is a {type(item).__name__}, expected ase.Atoms")
        if np.any(getattr(item, "pbc", False)):
            raise ValueError(
                f"structure {number} is periodic, pbc = {list(item.pbc)}: clouds have no cell; set pbc=False"
            )
        if len(item.get_atomic_numbers()) == 0 or (np.asarray(item.get_atomic_numbers()) < 1).any():
            raise ValueError(f"structure {number} has no atoms, or an atom of unknown element (number 0)")
    results = [_results(item) for item in structures]
    fields = {"pos": Field(Position(), "angstrom"), "z": Field(Scalar())}
    pos = np.concatenate([np.asarray(item.get_positions(), dtype=np.float64) for item in structures])
    z = np.concatenate([np.asarray(item.get_atomic_numbers(), dtype=np.int64) for item in structures])
    tensors = {"pos": torch.from_numpy(pos).to(dtype), "z": torch.from_numpy(z)}
    if all("forces" in found for found in results):
        fields["forces"] = Field(Vector(), "eV/angstrom")
        tensors["forces"] = torch.from_numpy(np.concatenate([found["forces"] for found in results])).to(dtype)
    if all("energy" in found for found in results):
        fields["energy"] = Field(Scalar(), "eV", "cloud")
        tensors["energy"] = torch.tensor([[float(found["energy"])] for found in results], dtype=torch.float64)
    return CloudDataset(tensors, fields, torch.tensor([len(item.get_atomic_numbers()) for item in structures]))


def _results(atoms: Any) -> dict[str, Any]:
    """Energy and forces of a finished calculation, if there is one for these positions."""
    calculator = getattr(atoms, "calc", None)
    stored = dict(getattr(calculator, "results", None) or {})
    same = getattr(calculator, "check_state", None)
    if stored and same is not None and same(atoms):
        return {}  # the atoms were moved after the calculation
    return {
        name: np.asarray(stored[name], dtype=np.float64)
        for name in ("energy", "forces")
        if stored.get(name) is not None
    }
