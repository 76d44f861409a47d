"""Numbers that describe a cloud: some that motions leave, and some that only one kind of motion changes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.data import CloudBatch, CloudDataset
from rapidash.groups import Scalar

Columns = Float[Tensor, "B F"]
AXES: Final = ("x", "y", "z")
_MOST_POINTS: Final = 64  # of a cloud, whose distances are looked at
_MOST_KINDS: Final = 5
_BINS: Final = 12
_TINY: Final = 1e-12


@dataclass(frozen=True)
class Descriptors:
    """Rows of numbers, one for each cloud, float64.

    Args:
        shape: unchanged by all motions and mirrors: distances, moments, and how many points of each kind there are.
        form: the same of clouds of equal size.
        size: the logarithm of the root mean square distance from the centroid.
        hand: unchanged by motions, of other sign in a mirror.
        pose: unchanged by translations, changed by turns.
        heights: by axis, unchanged by translations and by turns about the axis.
        place: the centroid.
    """

    shape: Columns
    form: Columns
    size: Columns
    hand: Columns
    pose: Columns
    heights: Mapping[str, Columns]
    place: Columns


def describe(data: CloudDataset, *, unit: float) -> Descriptors:
    """The descriptors of all clouds.

    Args:
        data: clouds in 2 or 3 dimensions.
        unit: of length.
    """
    batch = data.batch(torch.arange(len(data)))
    pos, owner, num = batch.pos.double() / unit, batch.batch, batch.num_clouds
    counts = batch.num_points.double()[:, None]
    place = _sums(pos, owner, num) / counts
    offset = pos - place[owner]
    kinds = _kinds(batch)
    size = (_sums(offset.square().sum(dim=1, keepdim=True), owner, num) / counts).sqrt().clamp_min(_TINY)
    composition = torch.cat([counts.log(), _sums(kinds, owner, num) / counts], dim=1)
    shape = torch.cat([_invariants(offset, kinds, batch), composition], dim=1)
    form = torch.cat([_invariants(offset / size[owner], kinds, batch), composition], dim=1)
    first = [_sums(offset * weight[:, None], owner, num) / counts for weight in _weights(offset, kinds)]
    second = torch.einsum("ni,nj->nij", offset, offset).flatten(1)
    moments = (_sums(second, owner, num) / counts).reshape(num, pos.shape[1], pos.shape[1])
    return Descriptors(
        shape,
        form,
        size.log(),
        _hand(first, moments),
        _pose(offset, first, moments, owner),
        {axis: _heights(offset, kinds, index, owner, num) for index, axis in enumerate(AXES[: pos.shape[1]])},
        place,
    )


def unit_of(data: CloudDataset) -> float:
    """The root mean square distance of the points of all clouds from their centroids; 1 where that is 0."""
    batch = data.batch(torch.arange(len(data)))
    pos, owner = batch.pos.double(), batch.batch
    centers = _sums(pos, owner, batch.num_clouds) / batch.num_points.double()[:, None]
    return float((pos - centers[owner]).square().sum(dim=1).mean().sqrt()) or 1.0


def _sums(values: Float[Tensor, "N F"], owner: Int[Tensor, " N"], num: int) -> Float[Tensor, "B F"]:
    return values.new_zeros(num, values.shape[1]).index_add(0, owner, values)


def _largest(values: Float[Tensor, "N F"], owner: Int[Tensor, " N"], num: int) -> Float[Tensor, "B F"]:
    """Of offsets from a centroid, so that the largest is at least 0."""
    return values.new_zeros(num, values.shape[1]).scatter_reduce(0, owner[:, None].expand_as(values), values, "amax")


def _kinds(batch: CloudBatch) -> Float[Tensor, "N K"]:
    """Columns that tell the points apart: the most frequent values of a whole number, or numbers that do not move."""
    columns = []
    for name, tensor in batch.tensors.items():
        field = batch.fields[name]
        if field.level != "point" or tensor.dim() > 2 or not isinstance(field.representation, Scalar):
            continue
        if not tensor.is_floating_point() and tensor.dim() == 1:
            values, counts = tensor.unique(return_counts=True)
            kept = values[counts.argsort(descending=True)][:_MOST_KINDS]
            if len(values) > 1:
                columns.append((tensor[:, None] == kept).double())
        elif tensor.is_floating_point():
            columns.append(tensor.reshape(len(tensor), -1).double()[:, :_MOST_KINDS])
    if not columns:
        return batch.pos.new_zeros(len(batch.pos), 0).double()
    return torch.cat(columns, dim=1)[:, :_MOST_KINDS]


def _weights(offset: Float[Tensor, "N D"], kinds: Float[Tensor, "N K"]) -> list[Float[Tensor, " N"]]:
    """Weights of the points that motions leave, whose sums of offsets are vectors of the cloud."""
    radius = offset.norm(dim=1)
    return [radius, radius.square(), radius.pow(3), *kinds.unbind(dim=1)]


def _invariants(offset: Float[Tensor, "N D"], kinds: Float[Tensor, "N K"], batch: CloudBatch) -> Columns:
    """Moments of the distances from the centroid, also of each kind, and a soft histogram of those between points."""
    owner, num = batch.batch, batch.num_clouds
    counts = batch.num_points.double()[:, None]
    radius = offset.norm(dim=1, keepdim=True)
    powers = torch.cat([radius, radius.square(), radius.pow(3), radius.pow(4)], dim=1)
    moments = _sums(powers, owner, num) / counts
    second = _sums(torch.einsum("ni,nj->nij", offset, offset).flatten(1), owner, num) / counts
    dim = offset.shape[1]
    axes = torch.linalg.eigvalsh(second.reshape(num, dim, dim))
    of_kinds = [_sums(radius * kind[:, None], owner, num) / counts for kind in kinds.unbind(dim=1)]
    largest = _largest(radius, owner, num)
    return torch.cat([moments, axes, largest, *of_kinds, _histograms(offset, kinds, batch)], dim=1)


def _histograms(offset: Float[Tensor, "N D"], kinds: Float[Tensor, "N K"], batch: CloudBatch) -> Columns:
    """Soft histograms of the distances in each cloud, of all pairs and weighted by the kinds of both points."""
    centers = torch.linspace(0, 3, _BINS, dtype=torch.float64)
    rows = []
    weights = torch.cat([offset.new_ones(len(offset), 1), kinds], dim=1)
    for points, weight in zip(offset.split(batch.num_points.tolist()), weights.split(batch.num_points.tolist())):
        step = max(1, math.ceil(len(points) / _MOST_POINTS))
        points, weight = points[::step], weight[::step]
        pairs = torch.combinations(torch.arange(len(points))) if len(points) > 1 else torch.zeros(0, 2).long()
        distance = (points[pairs[:, 0]] - points[pairs[:, 1]]).norm(dim=1)
        bins = torch.exp(-((distance[:, None] - centers) ** 2) / (2 * (3 / _BINS) ** 2))
        product = weight[pairs[:, 0]] * weight[pairs[:, 1]]
        rows.append((product.T @ bins / max(1, len(pairs))).flatten())
    return torch.stack(rows)


def _hand(vectors: list[Float[Tensor, "B D"]], moments: Float[Tensor, "B D D"]) -> Columns:
    """Determinants of unit vectors that the cloud makes: D vectors whose order motions keep and mirrors reverse."""
    dim = moments.shape[1]
    every = list(vectors)
    every += [torch.einsum("bij,bj->bi", moments, vector) for vector in vectors[:2]]
    every += [torch.einsum("bij,bj->bi", moments, every[len(vectors)])]
    unit = [vector / vector.norm(dim=1, keepdim=True).clamp_min(_TINY) for vector in every]
    found = [torch.linalg.det(torch.stack(chosen, dim=1)) for chosen in combinations(unit, dim)]
    columns = torch.stack(found, dim=1)[:, :40]
    return torch.sign(columns) * columns.abs().sqrt()


def _pose(
    offset: Float[Tensor, "N D"],
    vectors: list[Float[Tensor, "B D"]],
    moments: Float[Tensor, "B D D"],
    owner: Int[Tensor, " N"],
) -> Columns:
    """Second moments, vectors, third moments along the axes, and the ends along each axis."""
    num, dim = len(moments), moments.shape[1]
    upper = torch.triu_indices(dim, dim)
    counts = torch.bincount(owner, minlength=num)[:, None]
    third = _sums(torch.einsum("ni,nj,nk->nijk", offset, offset, offset).flatten(1), owner, num) / counts
    ends = [_largest(sign * offset, owner, num) for sign in (1.0, -1.0)]
    return torch.cat([moments[:, upper[0], upper[1]], third, *vectors, *ends], dim=1)


def _heights(
    offset: Float[Tensor, "N D"], kinds: Float[Tensor, "N K"], axis: int, owner: Int[Tensor, " N"], num: int
) -> Columns:
    """Moments of the coordinate along an axis, alone and with the distance from it, and its ends."""
    height = offset[:, axis : axis + 1]
    radius = offset.norm(dim=1, keepdim=True)
    counts = torch.bincount(owner, minlength=num)[:, None]
    powers = [height.abs(), height.square(), height.pow(3), height * radius, height * radius.square(), height.pow(4)]
    powers += [height * kind[:, None] for kind in kinds.unbind(dim=1)]
    means = _sums(torch.cat(powers, dim=1), owner, num) / counts
    ends = [_largest(sign * height, owner, num) for sign in (1.0, -1.0)]
    return torch.cat([means, *ends], dim=1)
