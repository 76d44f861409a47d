"""The field's n-body benchmark: where are five charged particles, one unit of time from now?"""

import math
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.datasets._cache import Parameters, cached_tensors
from rapidash.datasets._charged_particles import simulate_charged_particles
from rapidash.groups import Position, Scalar, Vector

Split = Literal["train", "val", "test"]

NBODY_SIZES: dict[str, int] = {"train": 3000, "val": 2000, "test": 2000}  # of Satorras et al.
NBODY_HORIZON = 1.0  # units of time from the input frame to the target frame

_VERSION = 1  # of the draws and the simulation: a change of either must change it, or old caches are taken for new
_NUM_PARTICLES, _SPEED, _BOX = 5, 0.5, 5.0
_DT, _SAMPLE_EVERY, _INPUT_FRAME, _TARGET_FRAME = 0.001, 100, 30, 40


def nbody_dataset(
    split: Split,
    *,
    size: int | None = None,
    seed: int = 0,
    uniform_field: float = 0.0,
    cache_dir: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
) -> CloudDataset:
    """Five charged particles: positions, velocities and charges now, and the positions 1000 steps of 0.001 later.

    At the start every coordinate is drawn from N(0, 1), and where it lies outside the box of +-5 it is reflected into
    it (with the velocity turned inward); every particle has the speed 0.5 in a uniform direction and the charge +1 or
    -1 with probability 1/2. ``simulate_charged_particles`` then runs without walls and keeps a frame every 100 steps.
    Frames are counted from 0 as in the field's code: the input is frame 30 (after step 3100), the target frame 40
    (after step 4100). The benchmark goes on to step 5000, but those frames are not used, and not computed here.

    With a field, every particle is accelerated downward, along -z, from the input frame on and not before: inputs are
    those without it, and all targets lie 0.5005 uniform_field lower. Of the rotations those about z are left.

    A sample depends on (seed, split, its index) only: a smaller size is the beginning of a larger one. The simulation
    runs in float64 and is kept on disk, in the folder ``cache_dir`` (default: RAPIDASH_CACHE, or ~/.cache/rapidash).

    Fields: pos (position), vel (vector), charge (scalar), target (position), each a row per particle: (5 size, 3),
        (5 size, 3), (5 size, 1), (5 size, 3); dimensionless units of length, length/time and charge.
    Args:
        split: "train", "val" or "test", with independent samples.
        size: number of clouds, at least 1; by default that of the field: 3000, 2000 and 2000.
        uniform_field: that acceleration, lengths per time squared.
        seed: of all the draws; the published figures are over other draws of the same distribution.
        cache_dir: folder of the cache.
        dtype: of the tensors returned.
    Raises: ValueError for an unknown split, a size below 1, or a field that is not finite.
    Source: Satorras et al., "E(n) Equivariant Graph Neural Networks", ICML 2021.
    """
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}, expected one of {get_args(Split)}")
    size = NBODY_SIZES[split] if size is None else size
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if not math.isfinite(uniform_field):
        raise ValueError(f"uniform_field must be finite, got {uniform_field}")
    parameters: Parameters = {"dataset": "nbody", "version": _VERSION, "split": split, "size": size, "seed": seed}
    if uniform_field:  # the files without one are those of the time before
        parameters = {**parameters, "uniform_field": uniform_field}
    tensors = cached_tensors(
        f"nbody-{split}", parameters, lambda: _simulate_split(split, size, seed, uniform_field), cache_dir=cache_dir
    )
    fields = {
        "pos": Field(Position(), "length"),
        "vel": Field(Vector(), "length/time"),
        "charge": Field(Scalar(), "charge"),
        "target": Field(Position(), "length"),
    }
    points = {name: tensors[name].flatten(0, 1).to(dtype) for name in fields}
    return CloudDataset(points, fields, torch.full((size,), _NUM_PARTICLES))


def _simulate_split(split: str, size: int, seed: int, uniform_field: float) -> dict[str, Tensor]:
    states = [_initial_state(seed, split, index) for index in range(size)]
    pos, vel, charge = (torch.stack(parts) for parts in zip(*states))
    num_steps = (_TARGET_FRAME + 1) * _SAMPLE_EVERY
    pos_frames, vel_frames = simulate_charged_particles(
        pos,
        vel,
        charge,
        num_steps=num_steps,
        sample_every=_SAMPLE_EVERY,
        dt=_DT,
        field=(0.0, 0.0, -uniform_field),
        field_from=(_INPUT_FRAME + 1) * _SAMPLE_EVERY,
    )
    return {
        "pos": pos_frames[:, _INPUT_FRAME].contiguous(),
        "vel": vel_frames[:, _INPUT_FRAME].contiguous(),
        "charge": charge.unsqueeze(-1),
        "target": pos_frames[:, _TARGET_FRAME].contiguous(),
    }


def _initial_state(seed: int, split: str, index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (5, 3), velocities (5, 3) and charges (5,) of one sample."""
    rng = seeded("nbody", seed, split, index)
    pos = torch.randn(_NUM_PARTICLES, 3, generator=rng, dtype=torch.float64)
    direction = torch.randn(_NUM_PARTICLES, 3, generator=rng, dtype=torch.float64)
    charge = 2.0 * torch.randint(0, 2, (_NUM_PARTICLES,), generator=rng, dtype=torch.float64) - 1.0
    pos, vel = _reflect_into_box(pos, _SPEED * direction / direction.norm(dim=-1, keepdim=True))
    return pos, vel, charge


def _reflect_into_box(pos: Tensor, vel: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror the coordinates beyond a wall at it, and turn their velocity inward."""
    wall = _BOX * pos.sign()
    outside = pos.abs() > _BOX
    return torch.where(outside, 2 * wall - pos, pos), torch.where(outside, -vel.abs() * pos.sign(), vel)
