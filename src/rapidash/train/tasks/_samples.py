"""Which samples of a data set a task takes, and in which pose."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch

from rapidash._seed import seeded
from rapidash.data import CloudDataset
from rapidash.groups import SO

Pose = Literal["aligned", "rotated"]


def check_sizes(sizes: Mapping[str, int | None]) -> None:
    """Raises: ValueError where a number of samples is below 1 (None takes all)."""
    if wrong := {f"num_{split}": size for split, size in sizes.items() if size is not None and size < 1}:
        raise ValueError(f"{', '.join(f'num_{split}' for split in sizes)} must be at least 1, got {wrong}")


def check_pose(pose: str) -> None:
    """Raises: ValueError for an unknown pose."""
    if pose not in get_args(Pose):
        raise ValueError(f"pose must be one of {get_args(Pose)}, got {pose!r}")


def keep_fields(data: CloudDataset, names: Sequence[str]) -> CloudDataset:
    """The data set with some of its fields."""
    return CloudDataset(
        {name: data.tensors[name] for name in names}, {name: data.fields[name] for name in names}, data.num_points
    )


def random_part(data: CloudDataset, size: int | None, *name: str) -> CloudDataset:
    """At most ``size`` clouds (None: all), drawn from the random stream of a name: the same in every run."""
    if size is None or size >= len(data):
        return data
    return data.subset(torch.randperm(len(data), generator=seeded(*name))[:size])


def turned(data: CloudDataset, dim: int, *name: str) -> CloudDataset:
    """Every cloud turned by a uniform rotation of its own, from the random stream of a name: the same in every run."""
    turns = SO(dim).sample(len(data), generator=seeded(*name))
    moved = data.batch(torch.arange(len(data))).transform(turns)
    return CloudDataset(moved.tensors, data.fields, data.num_points)
