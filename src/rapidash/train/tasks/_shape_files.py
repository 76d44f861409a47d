"""Shapes from files of users in the form of the training data: so many points, centered, of largest radius 1."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Field
from rapidash.datasets import DataError, FileCloud
from rapidash.datasets._meshes import Mesh, sample_surface
from rapidash.datasets._shapes import unit_ball
from rapidash.groups import Position
from rapidash.train._prediction import Input, cloud_tensors

SHAPE_INPUTS: Mapping[str, Input] = {"pos": Input(Field(Position(), "any length: shapes are scaled"), 3)}


def read_shape(found: FileCloud, num_points: int) -> dict[str, Tensor]:
    """Points on the surface of a mesh, or a random part of a cloud, the same in every run.

    Raises: DataError for a cloud of fewer points than asked for, a surface without area, or points that coincide.
    """
    pos = cloud_tensors(found, SHAPE_INPUTS)["pos"].numpy()
    draws = seeded("predict", "shape")
    if found.triangles is not None:
        pos, _ = sample_surface(Mesh(pos, found.triangles), num_points, draws)
    elif len(pos) < num_points:
        raise DataError(f"it has {len(pos)} points without faces, the model was trained on clouds of {num_points}")
    else:
        pos = pos[torch.randperm(len(pos), generator=draws)[:num_points].numpy()]
    if not np.ptp(pos, axis=0).any():
        raise DataError("all its points coincide")
    return {"pos": torch.from_numpy(unit_ball(pos))}
