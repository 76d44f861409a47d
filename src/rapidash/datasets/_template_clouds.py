"""Noisy copies of a few templates in random poses: a cloud has a class, and a pose that is independent of it."""

import math
from typing import Literal, get_args

import torch

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.groups import SO, Position, Scalar

Split = Literal["train", "val", "test"]


def template_clouds(
    split: Split,
    *,
    size: int,
    num_templates: int = 10,
    num_points: int = 12,
    noise: float = 0.25,
    is_turned: bool = True,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> CloudDataset:
    """Clouds of space, each a random template plus noise, turned by a uniform rotation.

    Points have the order of their template.

    Fields: pos (size num_points, 3), a dimensionless length; label (size,), the number of the template.
    Args:
        split: "train", "val" or "test", with independent samples.
        size: number of clouds, at least 1.
        num_templates: standard normal points with centroid 0, at least 1.
        num_points: of each cloud, at least 3.
        noise: standard deviation of every coordinate about its template, at least 0.
        is_turned: whether every cloud is turned by its own rotation; else all have the pose of their template.
        seed: of templates and samples.
        dtype: of the positions.
    Raises: ValueError for values outside the above.
    """
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}, expected one of {get_args(Split)}")
    if size < 1 or num_templates < 1 or num_points < 3 or not 0 <= noise < math.inf:
        raise ValueError(
            "expected size and num_templates of at least 1, num_points of at least 3 and noise of at least 0, got "
            f"{size=}, {num_templates=}, {num_points=}, {noise=}"
        )
    shape = (num_templates, num_points, 3)
    templates = torch.randn(shape, generator=seeded("templates", seed), dtype=torch.float64)
    templates = templates - templates.mean(dim=1, keepdim=True)
    rng = seeded("templates", seed, split)
    label = torch.randint(num_templates, (size,), generator=rng)
    pos = templates[label] + noise * torch.randn(size, num_points, 3, generator=rng, dtype=torch.float64)
    if is_turned:
        pos = pos @ SO(3).sample(size, generator=rng)[:, :3, :3].mT
    fields = {"pos": Field(Position(), "length"), "label": Field(Scalar(), level="cloud")}
    points = torch.full((size,), num_points)
    return CloudDataset({"pos": pos.flatten(0, 1).to(dtype), "label": label}, fields, points)
