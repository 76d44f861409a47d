"""Columns of a user's own clouds: numbers of points and atoms, cells, and what elements explain of an energy."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.data import CloudDataset
from rapidash.tasks._own_reading import OwnClouds


def fitted_offsets(counts: Float[Tensor, "B E"], values: Float[Tensor, " B"]) -> list[float]:
    """Least squares of values on the numbers of atoms of each element; the shortest where they determine no one."""
    return torch.linalg.lstsq(counts.double(), values.double()[:, None], driver="gelsd").solution[:, 0].tolist()


def element_counts(data: CloudDataset, elements: tuple[int, ...]) -> Float[Tensor, "B E"]:
    """How many atoms of each element every cloud has."""
    z = data.tensors["z"]
    owner = torch.repeat_interleave(torch.arange(len(data)), data.num_points)
    one_hot = (z[:, None] == z.new_tensor(elements)).double()
    return one_hot.new_zeros(len(data), len(elements)).index_add(0, owner, one_hot)


def stacked(values: list[Any], level: str) -> Any:
    """The values of clouds, one under the other, or those of their points."""
    return np.stack(values) if level == "cloud" else np.concatenate(values)


def cell_columns(clouds: OwnClouds, chosen: list[int], dim: int) -> dict[str, Tensor]:
    """Cells (B D, D), and along which of their vectors each is periodic (B, D)."""
    cells = np.stack([np.asarray(clouds.cells[index], dtype=np.float64) for index in chosen])
    return {
        "cell": torch.from_numpy(cells).float().reshape(-1, dim, dim),
        "periodic": torch.from_numpy(np.stack([clouds.periodic[index] for index in chosen])).bool(),
    }


def point_counts(clouds: OwnClouds) -> Int[Tensor, " B"]:
    """The number of points of every cloud that was read."""
    return torch.tensor([len(pos) for pos in clouds.pos])
