"""A cloud from a file of the user, for prediction, in the form of the clouds that a model was trained on."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from rapidash._seed import seeded
from rapidash.datasets import DataError, FileCloud, Mesh, sample_surface
from rapidash.tasks._molecule_files import symbols


def cloud_of_file(
    found: FileCloud, *, dim: int, elements: Sequence[int], is_periodic: bool, level: str, num_points: int
) -> dict[str, Tensor]:
    """The fields of a cloud; with predictions of points also ``rows``, see `rapidash.tasks.FileTask`.

    Args:
        found: in the file.
        dim: of space.
        elements: atomic numbers of the training clouds; empty: they had none.
        is_periodic: whether these had cells.
        level: of the target, "cloud" or "point".
        num_points: at most so many points of a cloud without elements; of a mesh as many on its surface.
    Raises: DataError for another dimension, no elements or unknown ones, or a cell that training did not know.
    """
    pos = np.asarray(found.arrays["pos"], dtype=np.float64)
    if pos.shape[1] != dim or not np.isfinite(pos).all():
        raise DataError(f"its positions must be finite and of {dim} dimensions, got shape {pos.shape}")
    if found.cell is not None and not is_periodic:
        raise DataError("it repeats along a cell, the training clouds did not")
    cell = _cell(found, dim) if is_periodic else {}
    if elements:
        return {"pos": torch.from_numpy(np.array(pos)), "z": _known_elements(found, elements), **cell}
    if found.triangles is not None and level == "cloud":
        pos, _ = sample_surface(Mesh(pos, found.triangles), num_points, seeded("own data", "predict"))
    every = torch.from_numpy(np.array(pos))
    kept = torch.randperm(len(every), generator=seeded("own data", "predict"))[:num_points].sort().values
    tensors = {"pos": every[kept], **cell}
    if level == "point":
        tensors["rows"] = torch.from_numpy(cKDTree(every[kept].numpy()).query(every.numpy())[1])
    return tensors


def _known_elements(found: FileCloud, elements: Sequence[int]) -> Tensor:
    if "z" not in found.arrays:
        raise DataError(f"it has no elements: the training clouds had {symbols(elements)}")
    z = torch.from_numpy(np.asarray(found.arrays["z"]).astype(np.int64))
    if unknown := sorted(set(z.tolist()) - set(elements)):
        raise DataError(f"element {symbols(unknown)} was not in the training data: {symbols(elements)}")
    return z


def _cell(found: FileCloud, dim: int) -> dict[str, Tensor]:
    """The vectors along which a cloud repeats, and along which of them; zeros for one that does not."""
    if found.cell is None or found.periodic is None:
        return {"cell": torch.zeros(1, dim, dim).double(), "periodic": torch.zeros(1, dim).bool()}
    cell, periodic = np.array(found.cell, dtype=np.float64), np.array(found.periodic, dtype=bool)
    return {"cell": torch.from_numpy(cell)[None], "periodic": torch.from_numpy(periodic)[None]}
