"""How far the data themselves vary along each motion: beyond that, nothing in them speaks against it."""

import math
from collections.abc import Iterator
from itertools import combinations, pairwise

import torch
from torch import Tensor

from rapidash.data import CloudBatch
from rapidash.methods import Measurement, Subject
from rapidash.study.measures._on_validation import first

SPREAD = "spread of the data along a motion"
SAMPLES = 500


def motion_spread(subject: Subject) -> Iterator[Measurement]:
    """Half-widths of uniform laws with the deviations of the validation clouds, for the generators of `affine`.

    Of every cloud one number moves by u when a motion moves it by u: of its second moments M about the centroid,
    log M_ii / 2 (mean over the axes) for the scaling, and log(M_ii / M_jj) / 4 for a stretch, in axes turned by 45
    degrees for a shear; the centroid for translations; and for a rotation the angle of the point that is farthest from
    the centroid, in the plane that turns. Clouds of different shapes differ in these numbers too: the spread is what
    the motion has at most.

    Raises: ValueError for data that are no clouds of the plane or of space.
    """
    batch = first(subject.data, SAMPLES)
    if not isinstance(batch, CloudBatch) or batch.pos.shape[1] not in (2, 3):
        raise ValueError(
            f"the spread along motions is one of clouds in 2 or 3 dimensions; {subject.task.name!r} has none"
        )
    for motion, unit, value in spreads(batch):
        yield Measurement(SPREAD, value, unit, motion, subject.moment, subject.view)


def spreads(batch: CloudBatch) -> Iterator[tuple[str, str, float]]:
    """Motion, unit and half-width."""
    pos, cloud, num = batch.pos.double(), batch.batch, batch.num_clouds
    dim = pos.shape[1]
    count = torch.bincount(cloud, minlength=num).clamp(min=1)[:, None]
    centroid = pos.new_zeros(num, dim).index_add(0, cloud, pos) / count
    offset = pos - centroid[cloud]
    products = (offset[:, :, None] * offset[:, None]).flatten(1)
    moments = (pos.new_zeros(num, dim * dim).index_add(0, cloud, products) / count).unflatten(1, (dim, dim))
    farthest = _farthest(offset, cloud, num)
    planes = [(0, 1)] if dim == 2 else [(1, 2), (2, 0), (0, 1)]
    for axis, (i, j) in enumerate(planes):
        name = "rotation" if dim == 2 else f"rotation about {'xyz'[axis]}"
        angle = torch.atan2(farthest[:, j], farthest[:, i])
        length = float(torch.polar(torch.ones_like(angle), angle).mean().abs())
        deviation = math.sqrt(max(0.0, -2 * math.log(length))) if length > 0 else math.inf
        yield name, "radian", min(math.sqrt(3) * deviation, math.pi)
    for axis in range(dim):
        yield f"translation along {'xyz'[axis]}", "length", _half_width(centroid[:, axis])
    small = moments.diagonal(dim1=1, dim2=2).clamp(min=1e-12)
    yield "scaling", "log", _half_width(small.log().mean(dim=1) / 2)
    for i, j in pairwise(range(dim)):
        yield f"stretch in {'xyz'[i]}{'xyz'[j]}", "log", _half_width((small[:, i] / small[:, j]).log() / 4)
    for i, j in combinations(range(dim), 2):
        middle, off = (small[:, i] + small[:, j]) / 2, moments[:, i, j]
        ratio = (middle + off).clamp(min=1e-12) / (middle - off).clamp(min=1e-12)
        yield f"shear in {'xyz'[i]}{'xyz'[j]}", "log", _half_width(ratio.log() / 4)


def _half_width(values: Tensor) -> float:
    """Of the uniform law with the same standard deviation."""
    return math.sqrt(3) * float(values.std(correction=0))


def _farthest(offset: Tensor, cloud: Tensor, num: int) -> Tensor:
    """The offset (B, D) of the point of each cloud that is farthest from its centroid."""
    distance = offset.norm(dim=1)
    largest = distance.new_zeros(num).scatter_reduce(0, cloud, distance, "amax")
    place = torch.full((num,), len(offset), device=cloud.device)
    at = torch.where(distance >= largest[cloud], torch.arange(len(offset), device=cloud.device), len(offset) - 1)
    return offset[place.scatter_reduce(0, cloud, at, "amin")]
