"""Planar clouds whose labels tolerate motions up to a known extent: the truth that a learned symmetry must find."""

import math
from collections.abc import Sequence
from typing import Final, Literal, get_args

import torch

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.groups import Position, Scalar

Split = Literal["train", "val", "test"]
SIZES: Final = (1.0, 2.0)


def partial_symmetry_clouds(
    split: Split,
    *,
    size: int,
    num_templates: int = 2,
    num_points: int = 12,
    num_poses: int = 2,
    turns: int = 1,
    spread: float = math.pi / 4,
    sizes: Sequence[float] = SIZES,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> CloudDataset:
    """Clouds of the plane, each a random template in one of several poses and sizes; the class is all three.

    A cloud is its template times its size, turned by 2 pi j / (turns num_poses) in pose j, then by a random element of
    the cyclic group of order ``turns`` and by an angle uniform in [-spread, spread]. So rotations of that cyclic group
    leave the label, and so do further angles up to pi / (turns num_poses) - spread, beyond which poses meet. A size may
    change by half the logarithm of the ratio of neighboring sizes, though the data never show it.

    Fields: pos (size num_points, 2), a dimensionless length; label (size,): (template, pose, size) as one number.
    Args:
        split: "train", "val" or "test", with independent samples.
        size: number of clouds, at least 1.
        num_templates: of the alphabet, standard normal points with centroid 0, at least 1.
        num_points: of each cloud, at least 3.
        num_poses: classes of pose; 1: none.
        turns: order of the planted cyclic group; 1: none.
        spread: radians, in [0, pi / (turns num_poses)].
        sizes: positive and increasing.
        seed: of alphabet and samples.
        dtype: of the positions.
    Raises: ValueError for values outside the above.
    """
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}, expected one of {get_args(Split)}")
    if size < 1 or num_templates < 1 or num_points < 3 or num_poses < 1 or turns < 1:
        raise ValueError(
            "expected size, num_templates, num_poses and turns of at least 1 and num_points of at least 3, got "
            f"{size=}, {num_templates=}, {num_poses=}, {turns=}, {num_points=}"
        )
    if not 0 <= spread <= math.pi / (turns * num_poses):
        raise ValueError(f"spread must be in [0, pi / (turns num_poses)], beyond which poses meet, got {spread}")
    if not sizes or min(sizes) <= 0 or sorted(set(sizes)) != list(sizes):
        raise ValueError(f"sizes must be positive and increasing, got {tuple(sizes)}")
    alphabet = torch.randn(num_templates, num_points, 2, generator=seeded("partial", seed), dtype=torch.float64)
    alphabet = alphabet - alphabet.mean(dim=1, keepdim=True)
    rng = seeded("partial", seed, split)
    counts = (num_templates, num_poses, len(sizes))
    template, pose, which = (torch.randint(count, (size,), generator=rng) for count in counts)
    turn = torch.randint(turns, (size,), generator=rng)
    angle = 2 * math.pi * (pose.double() / (turns * num_poses) + turn.double() / turns)
    angle = angle + spread * (2 * torch.rand(size, generator=rng, dtype=torch.float64) - 1)
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack([cos, -sin, sin, cos], dim=1).unflatten(1, (2, 2))
    factor = torch.tensor(sizes, dtype=torch.float64)[which]
    pos = factor[:, None, None] * alphabet[template] @ rotation.mT
    label = (template * num_poses + pose) * len(sizes) + which
    fields = {"pos": Field(Position(), "length"), "label": Field(Scalar(), level="cloud")}
    points = torch.full((size,), num_points)
    return CloudDataset({"pos": pos.flatten(0, 1).to(dtype), "label": label}, fields, points)
