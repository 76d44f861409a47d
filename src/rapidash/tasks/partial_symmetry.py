"""Partial symmetry: planar clouds whose labels tolerate a known range of rotations, or a planted cyclic group, or none."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from rapidash.data import CloudDataset, Field
from rapidash.datasets import partial_symmetry_clouds
from rapidash.groups import Position
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._classification import Classification, CloudClassifier
from rapidash.tasks._file_task import NeededField
from rapidash.tasks._point_inputs import network_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes


@dataclass(frozen=True)
class PartialSymmetryTask(Classification):
    """Name template, pose and size of planar clouds, see `rapidash.datasets.partial_symmetry_clouds`.

    Args:
        num_templates, num_points, num_poses, turns, spread, sizes: of the clouds. With the defaults, upright and upside
            down clouds turned by up to pi / 4 each way, a label tolerates a half-width of pi / 4 more. A spread of None
            is half of what poses leave, pi / (2 turns num_poses).
        num_train, num_val, num_test: sizes of the splits.
        data_seed: of alphabet and samples.
    Raises: ValueError for values outside the above.
    """

    num_templates: int = 2
    num_points: int = 12
    num_poses: int = 2
    turns: int = 1
    spread: float | None = None
    sizes: tuple[float, ...] = (1.0, 2.0)
    num_train: int = 4000
    num_val: int = 1000
    num_test: int = 2000
    data_seed: int = 0

    name: str = field(default="partial-symmetry", init=False)
    dim: int = field(default=2, init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        self._clouds("train", 1)

    @property
    def tolerated(self) -> float:
        """The half-width of rotations, radians, by which every cloud may be turned before poses meet."""
        return math.pi / (self.turns * self.num_poses) - self._spread

    @property
    def _spread(self) -> float:
        return math.pi / (2 * self.turns * self.num_poses) if self.spread is None else self.spread

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos and label."""
        size = split_sizes(self)[split]
        assert size is not None
        return self._clouds(split, size)

    def _clouds(self, split: Split, size: int) -> CloudDataset:
        return partial_symmetry_clouds(
            split,
            size=size,
            num_templates=self.num_templates,
            num_points=self.num_points,
            num_poses=self.num_poses,
            turns=self.turns,
            spread=self._spread,
            sizes=self.sizes,
            seed=self.data_seed,
        )

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a cloud from a file must have."""
        return {"pos": NeededField(Field(Position(), "length"), 2)}

    def class_names(self) -> Sequence[str]:
        """Template, pose and size of each class."""
        return [
            f"template {template}, pose {pose}, size {size:g}"
            for template in range(self.num_templates)
            for pose in range(self.num_poses)
            for size in self.sizes
        ]

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CloudClassifier(variant, len(self.class_names()))

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(self.build(variant))
