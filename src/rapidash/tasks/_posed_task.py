"""The base of tasks whose clouds are read from files, aligned or turned, all or some of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import nn

from rapidash._seed import seeded
from rapidash.data import CloudDataset
from rapidash.datasets import DataError, OnError, ReadDataset
from rapidash.groups import SO, Group
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._point_inputs import network_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes

Pose = Literal["aligned", "rotated"]


@dataclass(frozen=True)
class PosedTask:
    """Base of such tasks; a task adds its name, how its files are read, a network, a loss and a metric.

    Args:
        pose: "aligned", as the files have the clouds, or "rotated": every cloud of every split turned by a uniform
            rotation of its own, the same in every run.
        num_train, num_val, num_test: at most so many clouds, a random part that does not depend on the run; None: all.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad clouds out, counted and reported; "raise" stops at the first.
        verify: compare the checksums of files, where there are published ones; False takes other versions of them.
    Raises: ValueError for an unknown pose or a number below 1.
    """

    pose: Pose = "aligned"
    num_train: int | None = None
    num_val: int | None = None
    num_test: int | None = None
    data_dir: str | None = None
    on_error: OnError = "raise"
    verify: bool = True

    name: str = field(default="", init=False)
    dim: int = field(default=3, init=False)

    def __post_init__(self) -> None:
        if self.pose not in get_args(Pose):
            raise ValueError(f"pose must be one of {get_args(Pose)}, got {self.pose!r}")
        check_split_sizes(self)

    def read(self, split: Split) -> ReadDataset:
        """The clouds of a split as the files have them."""
        raise NotImplementedError

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        raise NotImplementedError

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(self.build(variant))

    def chosen(self, split: Split, fields: Sequence[str], *, num_classes: int) -> CloudDataset:
        """Some fields of the split's clouds that the task takes, as the files have them.

        Raises: FileNotFoundError; DataError for a damaged file or another number of classes.
        """
        data = self.read(split)
        if len(data.info["class_names"]) != num_classes:
            raise DataError(f"{data.source} has {len(data.info['class_names'])} classes, expected {num_classes}")
        kept = CloudDataset(
            {name: data.tensors[name] for name in fields}, {name: data.fields[name] for name in fields}, data.num_points
        )
        size = split_sizes(self)[split]
        if size is None or size >= len(kept):
            return kept
        return kept.subset(torch.randperm(len(kept), generator=seeded(self.name, split))[:size])

    def poses(self, split: Split) -> Group | None:
        """The group by which every cloud of a split is turned, None for clouds as they are."""
        return SO(self.dim) if self.pose == "rotated" else None

    def posed(self, data: CloudDataset, split: Split) -> CloudDataset:
        """The clouds as they are, or each turned by its own element."""
        group = self.poses(split)
        if group is None:
            return data
        turns = group.sample(len(data), generator=seeded(self.name, "pose", split))
        turned = data.batch(torch.arange(len(data))).transform(turns)
        return CloudDataset(turned.tensors, data.fields, data.num_points)
