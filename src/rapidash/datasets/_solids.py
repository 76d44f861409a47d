"""Points on eight kinds of solids, generated: a small classification problem that needs no file."""

import math
from typing import Final, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.groups import SO, Position, Scalar

Split = Literal["train", "val", "test"]

SOLIDS: Final = ("sphere", "cube", "rod", "plate", "cone", "cylinder", "ring", "ellipsoid")
_HALF_SIDES: Final = {"cube": (0.75, 0.75, 0.75), "rod": (0.3, 0.3, 1.3), "plate": (1.1, 1.1, 0.15)}
_SEMI_AXES: Final = {"sphere": (1.0, 1.0, 1.0), "ellipsoid": (1.2, 0.7, 0.4)}


def solids_dataset(
    split: Split,
    *,
    size: int,
    num_points: int = 24,
    tilt: float = 0.15,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> CloudDataset:
    """Points on the surfaces of solids in a canonical pose, and their kinds.

    The axis of a solid is z; a factor in 0.9 to 1.1 sizes it, and a rotation vector from N(0, tilt^2) tilts it. A
    sample depends on (seed, split, its index) only: a smaller size is the beginning of a larger one. Every solid is its
    own mirror image.

    Fields: pos (size num_points, 3), a dimensionless length; label (size,), a number of `SOLIDS`.
    Args:
        split: "train", "val" or "test", with independent samples.
        size: number of clouds, at least 1.
        num_points: of each cloud, at least 1.
        tilt: standard deviation of every component of the rotation vector, radians; 0: none is tilted.
        seed: of all the draws.
        dtype: of the positions.
    Raises: ValueError for an unknown split, a size or number of points below 1, or a negative tilt.
    """
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}, expected one of {get_args(Split)}")
    if size < 1 or num_points < 1 or not 0 <= tilt < math.inf:
        raise ValueError(f"expected size >= 1, num_points >= 1 and tilt >= 0, got {size=}, {num_points=}, {tilt=}")
    kinds, clouds, turns = zip(*(_solid(seeded("solids", seed, split, index), num_points) for index in range(size)))
    generators = SO(3).generators()[:, :3, :3]
    tilts = torch.linalg.matrix_exp(torch.einsum("bk,kij->bij", tilt * torch.stack(turns), generators))
    pos = torch.einsum("bij,bnj->bni", tilts, torch.stack(clouds)).flatten(0, 1)
    fields = {"pos": Field(Position(), "length"), "label": Field(Scalar(), level="cloud")}
    return CloudDataset({"pos": pos.to(dtype), "label": torch.tensor(kinds)}, fields, torch.full((size,), num_points))


def _solid(rng: torch.Generator, num_points: int) -> tuple[int, Float[Tensor, "N 3"], Float[Tensor, "3"]]:
    """The kind of a solid, points on it, and the direction and size of its tilt, standard normal."""
    kind = int(torch.randint(len(SOLIDS), (), generator=rng))
    scale = 0.9 + 0.2 * torch.rand((), generator=rng, dtype=torch.float64)
    points = surface_points(SOLIDS[kind], num_points, rng)
    return kind, scale * points, torch.randn(3, generator=rng, dtype=torch.float64)


def surface_points(solid: str, num_points: int, rng: torch.Generator) -> Float[Tensor, "N 3"]:
    """Random points on one solid of size 1, not tilted, float64."""
    if solid in _SEMI_AXES:
        normal = torch.randn(num_points, 3, generator=rng, dtype=torch.float64)
        return normal / normal.norm(dim=1, keepdim=True) * normal.new_tensor(_SEMI_AXES[solid])
    if solid in _HALF_SIDES:
        inside = 2 * torch.rand(num_points, 3, generator=rng, dtype=torch.float64) - 1
        return inside / inside.abs().amax(dim=1, keepdim=True) * inside.new_tensor(_HALF_SIDES[solid])
    angle, height = torch.rand(2, num_points, generator=rng, dtype=torch.float64)
    angle, height = 2 * math.pi * angle, 2 * height - 1
    match solid:
        case "cone":
            radius, z = 0.5 * (1 - height), height
        case "cylinder":
            radius, z = torch.full_like(height, 0.55), height
        case _:  # a ring around z
            radius, z = 0.9 + 0.3 * torch.cos(math.pi * height), 0.3 * torch.sin(math.pi * height)
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], dim=1)
