"""Periodic cells, and edges within a radius across their boundary, without gradients, by a tree of the images."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from rapidash.geometry._check_cloud import check_cloud
from rapidash.geometry._segments import Segments
from rapidash.geometry._transforms import on_values

_MARGIN = 1e-9  # relative; candidates of the tree are measured again
_MOST_IMAGES = 10_000_000  # points of one structure with its images


@dataclass(frozen=True)
class Cell:
    """The vectors along which structures repeat.

    Args:
        vectors: (B, D, D), a row for each vector; those of directions that are not periodic are not used.
        periodic: (B, D), along which vectors each structure repeats; None: along all.
    Raises: ValueError for other shapes or types.
    """

    vectors: Float[Tensor, "B D D"]
    periodic: Bool[Tensor, "B D"] | None = None

    def __post_init__(self) -> None:
        vectors, periodic = self.vectors, self.periodic
        if vectors.dim() != 3 or vectors.shape[1] != vectors.shape[2] or not vectors.is_floating_point():
            raise ValueError(
                f"cell vectors must be (B, D, D) floating point, a row each, got {vectors.dtype} of shape "
                f"{tuple(vectors.shape)}"
            )
        if periodic is not None and (periodic.shape != vectors.shape[:2] or periodic.dtype != torch.bool):
            raise ValueError(
                f"periodic must be {tuple(vectors.shape[:2])} booleans, got {periodic.dtype} of shape "
                f"{tuple(periodic.shape)}"
            )

    @property
    def repeating(self) -> Bool[Tensor, "B D"]:
        """Along which vectors each structure repeats."""
        return torch.ones_like(self.vectors[:, :, 0], dtype=torch.bool) if self.periodic is None else self.periodic

    def displacement(self, shift: Int[Tensor, "E D"], structure: Int[Tensor, " E"]) -> Float[Tensor, "E D"]:
        """Where whole numbers of cells lead, in the structure of each; differentiable in the vectors."""
        vectors = torch.where(self.repeating.unsqueeze(-1), self.vectors, torch.zeros_like(self.vectors))
        return torch.einsum("ed,edk->ek", shift.to(vectors), vectors[structure])

    def strained(self, strain: Float[Tensor, "B D D"]) -> "Cell":
        """The cell after x -> x + x @ strain, to be done to the positions too."""
        return Cell(self.vectors + self.vectors @ strain, self.periodic)


class PeriodicEdges(NamedTuple):
    """Edges with the number of cells that each source is moved by along every cell vector.

    The offset of an edge is pos[source] + `Cell.displacement` of its shift - pos[target].
    """

    edges: Int[Tensor, "2 E"]
    shift: Int[Tensor, "E D"]


@on_values
def periodic_radius_edges(pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"], r: float, cell: Cell) -> PeriodicEdges:
    """All pairs with |x_source + n @ cell - x_target| <= r, for every integer n along the periodic directions.

    A cell may be triclinic, and smaller than r: a point then has several images of another, and of itself, for
    neighbors. Positions may lie outside the cell. The point itself with n = 0 is among its neighbors, as for
    `radius_edges`, which this is where nothing is periodic.

    Args:
        pos: positions.
        batch: (N,) the structure of each point, sorted.
        r: radius, positive, in units of the positions; it is rounded to their dtype.
        cell: of every structure.
    Returns: edges sorted by target, then by source, then by shift.
    Raises: ValueError for a radius that is not positive and finite, a cell of other structures, one that is not finite
        or whose periodic vectors are dependent, a radius that reaches millions of images, and for what `check_cloud`
        finds.
    """
    check_cloud(pos, batch)
    radius = torch.tensor(r, dtype=pos.dtype).item()
    if not 0 < radius < math.inf:
        raise ValueError(f"r must be positive and finite, got {r}")
    segments = Segments.from_batch(batch)
    if cell.vectors.shape[:2] != (len(segments), pos.shape[1]):
        raise ValueError(
            f"{len(segments)} structures in {pos.shape[1]} dimensions need as many cells, got vectors of shape "
            f"{tuple(cell.vectors.shape)}"
        )
    points, cells, repeats = (given.detach().cpu() for given in (pos.double(), cell.vectors.double(), cell.repeating))
    parts = []
    for number, (own, vectors, along) in enumerate(zip(points.split(segments.count.tolist()), cells, repeats)):
        try:
            parts.append(_structure(own.numpy(), vectors.numpy(), along.numpy(), radius))
        except ValueError as error:
            raise ValueError(f"structure {number}: {error}") from None
    start = segments.start.tolist()
    edges = np.concatenate([part[0] + first for part, first in zip(parts, start)], axis=1)
    shift = np.concatenate([part[1] for part in parts])
    return PeriodicEdges(torch.from_numpy(edges).to(pos.device), torch.from_numpy(shift).to(pos.device))


def _structure(points: Any, cell: Any, periodic: Any, radius: float) -> tuple[Any, Any]:
    """Edges (2, E) and shifts (E, D) of one structure."""
    basis, thickness = _completed(cell, periodic)
    fraction = points @ np.linalg.inv(basis)
    home = np.where(periodic, np.floor(fraction), 0).astype(np.int64)
    fraction = fraction - home
    # every image of a wrapped point that is within the radius of the cell, a direction at a time
    reach = radius * (1 + _MARGIN) / thickness
    row, images = np.arange(len(points)), np.zeros((len(points), points.shape[1]), dtype=np.int64)
    for axis in np.flatnonzero(periodic):
        num = math.floor(reach[axis]) + 1
        if len(row) * (2 * num + 1) > _MOST_IMAGES:
            raise ValueError(
                f"r = {radius} reaches {2 * num + 1} cells along vector {axis}, whose planes are {thickness[axis]:.3g} "
                "apart: check the units of r and cell"
            )
        steps = np.arange(-num, num + 1)
        place = fraction[row, axis][:, None] + steps
        kept, step = np.nonzero((place >= -reach[axis]) & (place < 1 + reach[axis]))
        row, images = row[kept], images[kept]
        images[:, axis] = steps[step]
    moved = (fraction[row] + images) @ basis
    wrapped = fraction @ basis
    candidates = cKDTree(moved, leafsize=32, compact_nodes=False, balanced_tree=False).sparse_distance_matrix(
        cKDTree(wrapped, leafsize=32, compact_nodes=False, balanced_tree=False),
        radius * (1 + _MARGIN),
        output_type="ndarray",
    )
    image, target = candidates["i"], candidates["j"]
    source = row[image]
    shift = images[image] - home[source] + home[target]
    offset = points[source] - points[target] + shift @ np.where(periodic[:, None], cell, 0.0)
    is_near = np.einsum("ed,ed->e", offset, offset) <= radius * radius
    source, target, shift = source[is_near], target[is_near], shift[is_near]
    order = _order(target, source, shift, len(points))
    return np.stack([source[order], target[order]]), shift[order]


def _order(target: Any, source: Any, shift: Any, num_points: int) -> Any:
    """The order by target, then source, then shift."""
    least = shift.min(axis=0, initial=0)
    spans = (shift.max(axis=0, initial=0) - least + 1).tolist()
    if num_points**2 * math.prod(spans) >= 1 << 63:
        return np.lexsort((*shift.T[::-1], source, target))
    place = target.astype(np.int64) * num_points + source  # one number each sorts in a third of the time
    for along, first, span in zip(shift.T, least, spans):
        place = place * span + (along - first)
    return np.argsort(place)


def _completed(cell: Any, periodic: Any) -> tuple[Any, Any]:
    """A basis whose rows are the periodic vectors and, for the others, unit vectors at right angles to them.

    Also the distance between the planes of the cell along each vector.
    Raises: ValueError for periodic vectors that are not finite, or dependent.
    """
    vectors = cell[periodic]
    if not np.isfinite(vectors).all():
        raise ValueError(f"cell has NaN or infinite vectors: {cell.tolist()}")
    lengths = np.linalg.norm(vectors, axis=1)
    if len(vectors) and (lengths.min() == 0 or np.linalg.svd(vectors / lengths[:, None])[1].min() < 1e-8):
        raise ValueError(f"cell has no volume along its periodic vectors: {vectors.tolist()}")
    basis = np.empty_like(cell)
    basis[periodic] = vectors
    basis[~periodic] = (
        np.linalg.svd(vectors, full_matrices=True)[2][len(vectors) :] if len(vectors) else np.eye(len(cell))
    )
    return basis, 1 / np.linalg.norm(np.linalg.inv(basis), axis=0)
