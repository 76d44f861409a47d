"""The seven corruptions of PointCloud-C, after Ren et al., ICML 2022 (arXiv:2202.03377), written from their definition.

Every effect takes positions (N, 3) in the unit ball, the parameter of the severity and a random stream.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data._effects import (
    Effect,
    affine,
    axis_rotations,
    choice,
    deformed,
    in_proportion,
    integer,
    kept,
    nearest_rows,
    normal,
    normalized,
    to_unit_ball,
    uniform,
    with_added,
)

_MAX_CLUSTERS = 7
_CLUSTER_SPREAD = (0.075, 0.125)


def scale(pos: Float[Tensor, "N 3"], s: float, generator: torch.Generator) -> Effect:
    """Each axis scaled by an independent U(1/s, s), then centered and scaled to the largest radius 1."""
    factors = uniform(1 / s, s, 3, generator=generator)
    return normalized(deformed(pos, affine(torch.diag(factors))), to_unit_ball)


def jitter(pos: Float[Tensor, "N 3"], sigma: float, generator: torch.Generator) -> Effect:
    """N(0, sigma^2) added to every coordinate."""
    return Effect(torch.arange(len(pos)), pos + sigma * normal(len(pos), 3, generator=generator))


def rotate(pos: Float[Tensor, "N 3"], degrees: float, generator: torch.Generator) -> Effect:
    """Rotated: Euler angles U(-a, a), R = Rz Ry Rx, points multiplied by R from the right."""
    limit = math.radians(degrees)
    x, y, z = axis_rotations(uniform(-limit, limit, 3, generator=generator))
    return deformed(pos, affine((z @ y @ x).T))


def dropout_global(pos: Float[Tensor, "N 3"], ratio: float, generator: torch.Generator) -> Effect:
    """A random share of the points removed."""
    return kept(pos, choice(len(pos), len(pos) - int(len(pos) * ratio), generator).sort().values)


def dropout_local(pos: Float[Tensor, "N 3"], count: float, generator: torch.Generator) -> Effect:
    """Points removed in 1 to 7 clusters of multinomial sizes: each the neighborhood of a random point that is left."""
    rows = torch.arange(len(pos))
    for size in _cluster_sizes(in_proportion(int(count), len(pos)), generator):
        if size >= len(rows):
            return kept(pos, rows[:0])
        near = nearest_rows(pos[rows], integer(len(rows), generator), size)
        left = torch.ones(len(rows), dtype=torch.bool)
        left[near] = False
        rows = rows[left]
    return kept(pos, rows)


def add_global(pos: Float[Tensor, "N 3"], count: float, generator: torch.Generator) -> Effect:
    """Points added, uniform in the unit ball."""
    num = in_proportion(int(count), len(pos))
    direction = normal(num, 3, generator=generator)
    radius = uniform(0.0, 1.0, num, 1, generator=generator) ** (1 / 3)
    return with_added(pos, radius * direction / direction.norm(dim=1, keepdim=True))


def add_local(pos: Float[Tensor, "N 3"], count: float, generator: torch.Generator) -> Effect:
    """Points added in 1 to 7 Gaussian clusters about random points; p outside the unit ball goes to p / |p|^2."""
    added = [torch.zeros(0, 3, dtype=pos.dtype)]
    for size in _cluster_sizes(in_proportion(int(count), len(pos)), generator):
        spread = uniform(*_CLUSTER_SPREAD, 1, generator=generator)
        added.append(pos[integer(len(pos), generator)] + spread * normal(size, 3, generator=generator))
    cluster = torch.cat(added)
    square = cluster.square().sum(dim=1, keepdim=True)
    return with_added(pos, torch.where(square > 1, cluster / square, cluster))


def _cluster_sizes(total: int, generator: torch.Generator) -> list[int]:
    """A total shared out to 1 to 7 clusters by a uniform multinomial; empty ones are left out."""
    num = 1 + integer(_MAX_CLUSTERS, generator)
    sizes = torch.bincount(torch.randint(num, (total,), generator=generator), minlength=num)
    return [size for size in sizes.tolist() if size > 0]
