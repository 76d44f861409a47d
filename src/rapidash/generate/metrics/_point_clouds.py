"""Point clouds as one tensor: as many points from each, and the normalizations that figures are named by."""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rapidash.data import CloudDataset, seeded

CloudScale = Literal["global", "box", "unit sphere", "none"]

_LARGEST = 1e100  # of coordinates: their squares are finite


def is_finite(clouds: Float[Tensor, "B N D"]) -> Bool[Tensor, " B"]:
    """Whether every point of a cloud is finite, and its square is."""
    return (clouds.double().abs() < _LARGEST).flatten(1).all(dim=1)


def check_clouds(a: Tensor, b: Tensor) -> None:
    """Raises: ValueError for sets that are no clouds (B, N, D), empty, or of different dimensions."""
    for name, clouds in (("the first set", a), ("the second set", b)):
        if clouds.dim() != 3 or 0 in clouds.shape:
            raise ValueError(f"{name} must be clouds (B, N, D), none of them empty, got shape {tuple(clouds.shape)}")
    if a.shape[2] != b.shape[2]:
        raise ValueError(f"clouds need one dimension, got {a.shape[2]} and {b.shape[2]}")


def subsampled(data: CloudDataset, num_points: int, *, seed: int = 0) -> Float[Tensor, "B n D"]:
    """As many points of every cloud, drawn once without replacement, in float64.

    Args:
        data: clouds.
        num_points: n, at most the points of the smallest cloud.
        seed: cloud i draws from the stream (seed, "points", i), whatever the other clouds are.
    Raises: ValueError for no clouds, or a cloud with fewer points.
    """
    if not len(data):
        raise ValueError("there are no clouds to draw points from")
    smallest = int(data.num_points.min())
    if not 1 <= num_points <= smallest:
        raise ValueError(f"num_points must be from 1 to {smallest}, the points of the smallest cloud, got {num_points}")
    clouds = data.tensors["pos"].detach().cpu().double().split(data.num_points.tolist())
    drawn = [
        cloud[torch.randperm(len(cloud), generator=seeded(seed, "points", index))[:num_points]]
        for index, cloud in enumerate(clouds)
    ]
    return torch.stack(drawn)


def normalized(
    samples: Float[Tensor, "A N D"], references: Float[Tensor, "B M D"], scale: CloudScale
) -> tuple[Float[Tensor, "A N D"], Float[Tensor, "B M D"]]:
    """Samples and references, both moved and scaled by the same rule.

    - "global": by one mean (D,) and one standard deviation, those of all points of the references;
    - "box": each cloud by its own box, whose middle goes to 0 and whose longest side to [-1, 1];
    - "unit sphere": each cloud by its own mean, its farthest point to distance 1;
    - "none": as they are.

    A cloud whose points coincide is moved and not scaled. Clouds that are not finite stay as they are.

    Raises: ValueError for an unknown rule, empty sets, other dimensions, or references of which none is finite.
    """
    check_clouds(samples, references)
    if scale not in get_args(CloudScale):
        raise ValueError(f"unknown normalization {scale!r}, expected one of {get_args(CloudScale)}")
    if scale == "none":
        return samples, references
    if scale == "global":
        points = references[is_finite(references)].flatten(0, 1)
        if not len(points):
            raise ValueError("no reference cloud is finite: there is no mean and scale")
        middle = points.mean(dim=0)
        length = (points - middle).square().mean().sqrt()
        length = torch.where(length > 0, length, 1)
        return (samples - middle) / length, (references - middle) / length
    return _each(samples, scale), _each(references, scale)


def _each(clouds: Tensor, scale: CloudScale) -> Tensor:
    good = is_finite(clouds)
    inside = torch.where(good[:, None, None], clouds, 0)
    low, high = inside.amin(dim=1, keepdim=True), inside.amax(dim=1, keepdim=True)
    middle = (low + high) / 2 if scale == "box" else inside.mean(dim=1, keepdim=True)
    centered = inside - middle
    length = (high - low).amax(dim=2, keepdim=True) / 2 if scale == "box" else _radius(centered)
    return torch.where(good[:, None, None], centered / torch.where(length > 0, length, 1), clouds)


def _radius(centered: Tensor) -> Tensor:
    return centered.norm(dim=2, keepdim=True).amax(dim=1, keepdim=True)
