"""Planted groups: clouds in every pose whose labels stand the motions of one group, by construction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from rapidash.data import CloudDataset, Field
from rapidash.datasets import PLANTED_GROUPS, PlantedGroup, planted_group_classes, planted_group_dataset
from rapidash.groups import Group, MatrixGroup, Position, parse_group
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._classification import Classification, CloudClassifier
from rapidash.tasks._file_task import NeededField
from rapidash.tasks._point_inputs import network_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes


@dataclass(frozen=True)
class PlantedGroupsTask(Classification):
    """Classify moved copies of two templates by kind and, as far as the planted group lets it count, by hand and pose.

    See `rapidash.datasets.planted_group_dataset`. The metric is the error rate in percent; test data are not moved.

    Args:
        group: ``"E(3)"``, ``"SE(3)"``, ``"O2(z)"`` or ``"T(3)"``.
        noise: standard deviation of every coordinate, where clouds have root mean square 1.
        num_train, num_val, num_test: sizes of the splits.
        data_seed: of templates and samples.
    Raises: ValueError for values outside the above.
    """

    group: PlantedGroup = "E(3)"
    noise: float = 0.1
    num_train: int = 400
    num_val: int = 300
    num_test: int = 600
    data_seed: int = 0

    name: str = field(default="planted-groups", init=False)
    dim: int = field(default=3, init=False)
    moves: MatrixGroup | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        if self.group not in PLANTED_GROUPS:
            raise ValueError(f"group must be one of {PLANTED_GROUPS}, got {self.group!r}")
        if not self.noise >= 0:
            raise ValueError(f"noise must be at least 0, got {self.noise}")

    @property
    def truth(self) -> Group:
        """The motions that labels stand."""
        return parse_group(self.group)

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos, facing, kind, hand and label."""
        size = split_sizes(self)[split]
        assert size is not None
        return planted_group_dataset(split, self.group, size=size, noise=self.noise, seed=self.data_seed)

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a cloud from a file must have."""
        return {"pos": NeededField(Field(Position(), "length"), 3)}

    def class_names(self) -> Sequence[str]:
        """Kind and sector of every label."""
        sectors = planted_group_classes(self.group) // 2
        return [f"kind {label // sectors}, sector {label % sectors}" for label in range(2 * sectors)]

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CloudClassifier(variant, planted_group_classes(self.group))

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(self.build(variant))
