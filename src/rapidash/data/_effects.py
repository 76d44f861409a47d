"""Effects of corruptions on one cloud: points are kept, added or moved, and space is deformed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Deformation = Callable[[Float[Tensor, "K 3"]], tuple[Float[Tensor, "K 3"], Float[Tensor, "K 3 3"]]]
"""A map of space: points x -> f(x) and its Jacobians df/dx."""

FULL_SIZE = 1024  # points of the clouds for which the benchmarks define their counts


@dataclass(frozen=True)
class Effect:
    """The effect on a cloud of N points.

    Args:
        rows: (M,) the point of the input from which each point of the output takes its other fields.
        pos: (M, 3) positions of the output.
        deform: the smooth part of the motion of points, which other positions and vectors follow; None for none.
    """

    rows: Int[Tensor, " M"]
    pos: Float[Tensor, "M 3"]
    deform: Deformation | None = None


def affine(matrix: Float[Tensor, "3 3"], shift: Float[Tensor, "3"] | None = None) -> Deformation:
    """X -> A x + b."""

    def deform(x: Tensor) -> tuple[Tensor, Tensor]:
        moved = x @ matrix.T
        return moved if shift is None else moved + shift, matrix.expand(len(x), 3, 3)

    return deform


def then(first: Deformation, second: Deformation) -> Deformation:
    """X -> second(first(x)), by the chain rule."""

    def deform(x: Tensor) -> tuple[Tensor, Tensor]:
        middle, inner = first(x)
        final, outer = second(middle)
        return final, outer @ inner

    return deform


def to_unit_ball(pos: Float[Tensor, "N 3"]) -> Deformation:
    """The similarity that moves these points to their mean and scales them to the largest radius 1."""
    center = pos.mean(dim=0)
    return _similarity(center, 1 / _positive((pos - center).norm(dim=1).max()))


def to_box(pos: Float[Tensor, "N 3"]) -> Deformation:
    """The similarity that centers the axis-aligned box of these points and scales its longest side to 2."""
    low, high = pos.min(dim=0).values, pos.max(dim=0).values
    return _similarity((low + high) / 2, 2 / _positive((high - low).max()))


def deformed(pos: Float[Tensor, "N 3"], deform: Deformation) -> Effect:
    """Every point moved by a map of space."""
    return Effect(torch.arange(len(pos)), deform(pos)[0], deform)


def kept(pos: Float[Tensor, "N 3"], rows: Int[Tensor, " M"]) -> Effect:
    """Some of the points, unmoved. Raises: ValueError where none is left."""
    if len(rows) == 0:
        raise ValueError(f"the corruption leaves none of {len(pos)} points: take a larger cloud or a lower severity")
    return Effect(rows, pos[rows])


def with_added(pos: Float[Tensor, "N 3"], added: Float[Tensor, "A 3"]) -> Effect:
    """All points and further ones, which take their other fields from the nearest point of the cloud."""
    nearest = torch.cdist(added, pos).argmin(dim=1) if len(added) else torch.zeros(0, dtype=torch.int64)
    return Effect(torch.cat([torch.arange(len(pos)), nearest]), torch.cat([pos, added]))


def normalized(effect: Effect, similarity: Callable[[Tensor], Deformation]) -> Effect:
    """The effect, followed by a similarity that depends on the positions reached."""
    last = similarity(effect.pos)
    deform = last if effect.deform is None else then(effect.deform, last)
    return Effect(effect.rows, last(effect.pos)[0], deform)


def in_normal_form(
    effect: Callable[[Tensor, float, torch.Generator], Effect],
    normal_form: Callable[[Tensor], Deformation],
    pos: Float[Tensor, "N 3"],
    level: float,
    generator: torch.Generator,
) -> Effect:
    """An effect on a cloud of any place and size: brought to its normal form by a similarity, and back after it."""
    there = normal_form(pos)
    shift, matrix = there(pos.new_zeros(1, 3))
    inverse = torch.linalg.inv(matrix[0])
    back = affine(inverse, -inverse @ shift[0])
    found = effect(there(pos)[0], level, generator)
    deform = None if found.deform is None else then(then(there, found.deform), back)
    return Effect(found.rows, back(found.pos)[0], deform)


def nearest_rows(pos: Float[Tensor, "N 3"], center: int, num: int) -> Int[Tensor, " num"]:
    """The points nearest to one of them, itself the first."""
    distance = (pos - pos[center]).norm(dim=1)
    distance[center] = -1.0
    return distance.argsort(stable=True)[:num]


def in_proportion(count: int, num_points: int) -> int:
    """A count that the benchmarks state for 1,024 points, for a cloud of another size."""
    return round(count * num_points / FULL_SIZE)


def uniform(low: float, high: float, *shape: int, generator: torch.Generator) -> Tensor:
    """Draws from U(low, high), float64."""
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


def normal(*shape: int, generator: torch.Generator) -> Tensor:
    """Draws from N(0, 1), float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def integer(high: int, generator: torch.Generator) -> int:
    """One draw from 0 .. high - 1."""
    return int(torch.randint(high, (1,), generator=generator))


def choice(num: int, size: int, generator: torch.Generator) -> Int[Tensor, " size"]:
    """Different rows out of ``num``, in random order."""
    return torch.randperm(num, generator=generator)[:size]


def signs(*shape: int, generator: torch.Generator) -> Tensor:
    """Draws from -1 and 1, float64."""
    return 2.0 * torch.randint(2, shape, generator=generator).double() - 1.0


def axis_rotations(angles: Float[Tensor, "3"]) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations about x, y and z by the given angles in radians."""
    (cx, cy, cz), (sx, sy, sz) = torch.cos(angles).tolist(), torch.sin(angles).tolist()
    x = torch.tensor([[1, 0, 0], [0, cx, -sx], [0, sx, cx]], dtype=torch.float64)
    y = torch.tensor([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]], dtype=torch.float64)
    z = torch.tensor([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]], dtype=torch.float64)
    return x, y, z


def _similarity(center: Tensor, scale: Tensor) -> Deformation:
    return affine(scale * torch.eye(3, dtype=center.dtype), -scale * center)


def _positive(length: Tensor) -> Tensor:
    """The length, 1 for a cloud that is a single place."""
    return torch.where(length > 0, length, torch.ones_like(length))
