"""Shapes from files of users in the form of the training data: so many points, centered, of largest radius 1."""

from collections.abc import Mapping

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import normalize

from rapidash._seed import seeded
from rapidash.data import Field
from rapidash.datasets import DataError, FileCloud, Mesh, sample_surface, unit_ball
from rapidash.groups import Position
from rapidash.tasks._file_task import NeededField, cloud_tensors

NEEDS_OF_SHAPES: Mapping[str, NeededField] = {"pos": NeededField(Field(Position(), "any length: shapes are scaled"), 3)}


def read_shape(found: FileCloud, num_points: int) -> dict[str, Tensor]:
    """Points on the surface of a mesh, or a random part of a cloud, the same in every run.

    Raises: DataError for a cloud of fewer points than asked for, a surface without area, or points that coincide.
    """
    return _normalized(_sampled(found, NEEDS_OF_SHAPES, num_points, num_points))


def read_shape_by_points(
    found: FileCloud, needs: Mapping[str, NeededField], fewest: int, most: int
) -> dict[str, Tensor]:
    """The same for predictions at the points (or vertices) of the file: ``rows`` has the nearest point of each.

    Args:
        found: the shape.
        needs: pos, and normal if the task uses it.
        fewest, most: numbers of points of the training data.
    """
    sample = _sampled(found, needs, fewest, most)
    pos, every = sample["pos"].numpy(), np.asarray(found.arrays["pos"], dtype=np.float64)
    rows = np.arange(len(pos)) if np.array_equal(pos, every) else cKDTree(pos).query(every)[1]
    return {**_normalized(sample), "rows": torch.from_numpy(rows)}


def _sampled(found: FileCloud, needs: Mapping[str, NeededField], fewest: int, most: int) -> dict[str, Tensor]:
    """Fields of at most so many points, in the unit of the file and, if they are all, in its order."""
    draws = seeded("predict", "shape")
    if found.triangles is not None:
        corners = cloud_tensors(found, NEEDS_OF_SHAPES)["pos"].numpy()
        sample = zip(("pos", "normal"), sample_surface(Mesh(corners, found.triangles), most, draws))
        return {name: torch.from_numpy(values) for name, values in sample if name in needs}
    tensors = cloud_tensors(found, needs)
    size = len(tensors["pos"])
    if size < fewest:
        sizes = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        raise DataError(f"it has {size} points without faces, the model was trained on clouds of {sizes}")
    kept = torch.randperm(size, generator=draws)[:most] if size > most else torch.arange(size)
    return {name: tensor[kept] for name, tensor in tensors.items()}


def _normalized(sample: dict[str, Tensor]) -> dict[str, Tensor]:
    pos = sample["pos"].numpy()
    if not np.ptp(pos, axis=0).any():
        raise DataError("all its points coincide")
    unit = {"pos": torch.from_numpy(unit_ball(pos))}
    return unit | ({"normal": normalize(sample["normal"], dim=1)} if "normal" in sample else {})
