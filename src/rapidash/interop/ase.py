"""ASE atoms as clouds, recognized by their methods, and a trained model as a calculator; only this imports ASE."""

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.data import CloudDataset, Field, centers_far_away, rounded
from rapidash.groups import Position, Scalar, Vector

if TYPE_CHECKING:
    from rapidash.interop._ase_calculator import RapidashCalculator

__all__ = ["RapidashCalculator", "from_ase"]


def __getattr__(name: str) -> Any:
    """The calculator, imported at its first use. Raises: ImportError naming the extra where ASE is not installed."""
    if name != "RapidashCalculator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from rapidash.interop._ase_calculator import RapidashCalculator
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "ase":
            raise
        raise ImportError('RapidashCalculator needs ase: pip install "rapidash[mol]"') from error
    return RapidashCalculator


def from_ase(atoms: Any, *, dtype: torch.dtype = torch.float32) -> CloudDataset:
    """An ``ase.Atoms``, or several, as a data set.

    Fields: pos (position, angstrom), z (scalar, (N,), int64: atomic numbers); where every structure has results,
        energy (scalar, (B, 1), eV, float64) and forces (vector, eV/angstrom), as stored: nothing is computed. Results
        of atoms that were moved or exchanged since are left out, and so are those that not all structures have, with a
        warning. A structure more than 100 times its own size from the origin is moved to it, with a warning, unless
        ``dtype`` is float64: other types have too few digits for it.
    Raises: TypeError for an object without positions and numbers; ValueError for periodic structures (their neighbors
        across the cell would be lost), for structures without atoms, with an unknown element (0) or positions that are
        not finite, for results of another shape, or for none.
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
        if not np.isfinite(item.get_positions()).all():
            raise ValueError(f"structure {number} has positions that are not finite")
    results = [_results(item, number) for number, item in enumerate(structures)]
    fields = {"pos": Field(Position(), "angstrom"), "z": Field(Scalar())}
    pos = np.concatenate([np.asarray(item.get_positions(), dtype=np.float64) for item in structures])
    z = np.concatenate([np.asarray(item.get_atomic_numbers(), dtype=np.int64) for item in structures])
    sizes = torch.tensor([len(item.get_atomic_numbers()) for item in structures])
    tensors = {"pos": _positions(torch.from_numpy(pos), sizes, dtype), "z": torch.from_numpy(z)}
    _warn_of_gaps(results)
    if all("forces" in found for found in results):
        fields["forces"] = Field(Vector(), "eV/angstrom")
        tensors["forces"] = torch.from_numpy(np.concatenate([found["forces"] for found in results])).to(dtype)
    if all("energy" in found for found in results):
        fields["energy"] = Field(Scalar(), "eV", "cloud")
        tensors["energy"] = torch.tensor([[found["energy"].item()] for found in results], dtype=torch.float64)
    return CloudDataset(tensors, fields, sizes)


def _positions(pos: Float[Tensor, "N 3"], sizes: Int[Tensor, " B"], dtype: torch.dtype) -> Float[Tensor, "N 3"]:
    far = centers_far_away(pos, sizes).any(dim=1).nonzero()[:, 0].tolist()
    if far and dtype != torch.float64:
        warnings.warn(
            f"structure {_listed(far)} lies so far from the origin that {dtype} has too few digits: moved to it; "
            "pass dtype=torch.float64 to keep positions as they are",
            RuntimeWarning,
            stacklevel=3,
        )
    return rounded(pos, sizes, dtype)


def _warn_of_gaps(results: list[dict[str, Any]]) -> None:
    """Tell which structures lack results that others have, so that they are left out for all."""
    gaps: dict[tuple[int, ...], list[str]] = {}
    for name in ("energy", "forces"):
        without = tuple(number for number, found in enumerate(results) if name not in found)
        if without and len(without) < len(results):
            gaps.setdefault(without, []).append(name)
    for without, names in gaps.items():
        warnings.warn(
            f"structure {_listed(without)} of {len(results)} has no {' and '.join(names)}: left out for all",
            RuntimeWarning,
            stacklevel=3,
        )


def _listed(numbers: Sequence[int]) -> str:
    """The first numbers, and how many more there are."""
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return ", ".join(map(str, numbers[:5])) + more


def _results(atoms: Any, number: int) -> dict[str, Any]:
    """Energy and forces of a finished calculation, if there is one for these atoms where they are."""
    calculator = getattr(atoms, "calc", None)
    stored = getattr(calculator, "results", None) or {}
    found = {name: np.asarray(stored[name]) for name in ("energy", "forces") if stored.get(name) is not None}
    before = getattr(calculator, "atoms", None)
    if found and before is not None and not _same_atoms(before, atoms):
        warnings.warn(
            f"structure {number} was moved or changed after its calculation: its {' and '.join(found)} are left out",
            RuntimeWarning,
            stacklevel=3,
        )
        return {}
    for name, expected in (("energy", ()), ("forces", atoms.get_positions().shape)):
        if name in found and found[name].shape not in (expected, expected or (1,)):
            raise ValueError(f"structure {number}: {name} has the shape {found[name].shape}, expected {expected}")
    return {name: values.astype(np.float64) for name, values in found.items()}


def _same_atoms(before: Any, now: Any) -> bool:
    """Whether elements and positions are the same; a cell plays no part."""
    return bool(
        np.array_equal(before.get_atomic_numbers(), now.get_atomic_numbers())
        and np.allclose(before.get_positions(), now.get_positions(), rtol=0, atol=1e-8)
    )
