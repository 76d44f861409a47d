"""Partial symmetry: planar clouds whose labels tolerate some rotations: a known range, a cyclic group, or none."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

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

_PLANTED: Final = {  # number of poses, order of the cyclic group, spread
    "range": (2, 1, math.pi / 4),
    "C4": (6, 4, 0.0),
    "none": (24, 1, 0.0),
    "all": (1, 1, math.pi),
}


@dataclass(frozen=True)
class PartialSymmetryTask(Classification):
    """Name template, pose and size of planar clouds, see `rapidash.datasets.partial_symmetry_clouds`.

    Args:
        num_templates, num_points, num_poses, turns, spread, sizes: of the clouds. With the defaults, upright and upside
            down clouds turned by up to pi / 4 each way, a label tolerates a half-width of pi / 4 more. A spread of None
            is half of what poses leave, pi / (2 turns num_poses).
        num_train, num_val, num_test: sizes of the splits.
        data_seed: of alphabet and samples.
        planted: a name for num_poses, turns and spread, which must have their defaults then: ``"range"`` is the
            defaults; ``"C4"``, 6 poses and quarter turns; ``"none"``, 24 poses, and no turn; ``"all"``, one pose and
            any turn. The poses of the second and third are 15 degrees apart, the bins of a `GroupHistogram`.
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
    planted: Literal["range", "C4", "none", "all"] | None = None

    name: str = field(default="partial-symmetry", init=False)
    dim: int = field(default=2, init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        if self.planted is not None:
            if self.planted not in _PLANTED:
                raise ValueError(f"planted must be one of {tuple(_PLANTED)}, got {self.planted!r}")
            if (self.num_poses, self.turns, self.spread) != (2, 1, None):
                raise ValueError("planted names num_poses, turns and spread: give it, or them")
        self._clouds("train", 1)

    @property
    def tolerated(self) -> float:
        """The half-width of rotations, radians, by which every cloud may be turned before poses meet."""
        num_poses, turns, spread = self._poses
        return math.inf if num_poses == 1 else math.pi / (turns * num_poses) - spread

    @property
    def _poses(self) -> tuple[int, int, float]:
        """num_poses, turns and spread."""
        if self.planted is not None:
            return _PLANTED[self.planted]
        spread = math.pi / (2 * self.turns * self.num_poses) if self.spread is None else self.spread
        return self.num_poses, self.turns, spread

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos and label."""
        size = split_sizes(self)[split]
        assert size is not None
        return self._clouds(split, size)

    def _clouds(self, split: Split, size: int) -> CloudDataset:
        num_poses, turns, spread = self._poses
        return partial_symmetry_clouds(
            split,
            size=size,
            num_templates=self.num_templates,
            num_points=self.num_points,
            num_poses=num_poses,
            turns=turns,
            spread=spread,
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
            for pose in range(self._poses[0])
            for size in self.sizes
        ]

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CloudClassifier(variant, len(self.class_names()))

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(self.build(variant))
