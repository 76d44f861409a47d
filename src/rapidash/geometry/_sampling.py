"""Farthest point sampling: a subset that covers each cloud, without gradients."""

import math
from collections.abc import Callable
from importlib.util import find_spec

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.geometry._brute_force import squared_distance
from rapidash.geometry._check_cloud import check_cloud
from rapidash.geometry._segments import Segments, ranges
from rapidash.geometry._transforms import on_values


@on_values
def farthest_point_sample(
    pos: Float[Tensor, "N D"],
    batch: Int[Tensor, " N"],
    ratio: float,
    *,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " M"]:
    """Choose points of each cloud in turn, every next one as far as possible from those chosen before.

    Of a cloud with n points, max(1, floor(ratio * n)) are chosen. Distances are taken in float64; of points that are
    equally far the one of lowest index is taken; no point is taken twice, also where points coincide.

    Args:
        pos: positions.
        batch: (N,) the cloud of each point, sorted.
        ratio: share of the points to keep, in (0, 1].
        generator: draws the first point of each cloud; without it the cloud's first point is the first.
    Shape: (M,), rows of ``pos``, sorted by cloud, within a cloud in the order of choice.
    Raises: ValueError for a ratio outside (0, 1], and for what `check_cloud` finds.
    Source: Eldar et al., "The Farthest Point Strategy for Progressive Image Sampling", IEEE TIP 1997.
    """
    check_cloud(pos, batch)
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio must be in (0, 1], got {ratio}")
    segments = Segments.from_batch(batch)
    sizes = [max(1, math.floor(ratio * count)) for count in segments.count.tolist()]
    number = torch.tensor(sizes, device=pos.device)
    first = torch.zeros_like(segments.start)
    if generator is not None:
        draw = torch.rand(len(segments), dtype=torch.float64, generator=generator, device=generator.device)
        first = torch.minimum((draw.to(pos.device) * segments.count).long(), segments.count - 1)
    return _sampler(pos)(pos.detach().double(), segments, number, segments.start + first)


def _sampler(pos: Tensor) -> Callable[[Tensor, Segments, Tensor, Tensor], Tensor]:
    """The fastest implementation for these positions; all give the same rows."""
    if pos.device.type == "cpu" and find_spec("numba"):
        from rapidash.geometry._sampling_numba import farthest_points_numba

        return farthest_points_numba
    if pos.is_cuda and find_spec("triton"):
        from rapidash.geometry._sampling_triton import farthest_points_triton

        return farthest_points_triton
    return farthest_points_reference


def farthest_points_reference(
    points: Float[Tensor, "N D"], segments: Segments, number: Int[Tensor, " B"], first: Int[Tensor, " B"]
) -> Int[Tensor, " M"]:
    """The definition: all clouds at once, one point of each per step.

    Args:
        points: positions in float64.
        segments: the clouds.
        number: points to choose from each cloud, at least 1.
        first: row of the first choice in each cloud.
    """
    steps, clouds = int(number.max()), torch.arange(len(segments), device=points.device)
    column = torch.arange(segments.largest, device=points.device)
    is_inside = column < segments.count.unsqueeze(1)
    padded = points[(segments.start.unsqueeze(1) + column).clamp(max=len(points) - 1)]
    # squared distance to the chosen points; -1 for those themselves, -2 for what is no point
    gap = torch.where(is_inside, torch.inf, -2.0).double()
    chosen = [first - segments.start]
    for _ in range(steps - 1):
        last = chosen[-1]
        gap = torch.minimum(gap, squared_distance(padded, padded[clouds, last].unsqueeze(1)))
        gap[clouds, last] = -1.0
        chosen.append(gap.argmax(dim=1))
    order, cloud = ranges(torch.zeros_like(number), number)
    return torch.stack(chosen, dim=1)[cloud, order] + segments.start[cloud]
