"""Classification of generated solids: sphere, cube, rod, ...? A small task that needs no file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from rapidash.data import CloudDataset, Field
from rapidash.datasets import SOLIDS, solids_dataset
from rapidash.groups import Position
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._classification import Classification, CloudClassifier
from rapidash.tasks._file_task import NeededField
from rapidash.tasks._point_inputs import network_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes


@dataclass(frozen=True)
class SolidsTask(Classification):
    """Classify solids of eight kinds from points on their surfaces. The metric is the error rate in percent.

    The solids stand in a canonical pose, up to a small tilt: see `rapidash.datasets.solids_dataset`.

    Args:
        num_points: points of each solid.
        num_train, num_val, num_test: sizes of the splits.
        data_seed: of the draws of all solids.
    Raises: ValueError for a number below 1.
    """

    num_points: int = 24
    num_train: int = 2000
    num_val: int = 400
    num_test: int = 1000
    data_seed: int = 0

    name: str = field(default="solids", init=False)
    dim: int = field(default=3, init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        if self.num_points < 1:
            raise ValueError(f"num_points must be at least 1, got {self.num_points}")

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos and label."""
        size = split_sizes(self)[split]
        assert size is not None
        return solids_dataset(split, size=size, num_points=self.num_points, seed=self.data_seed)

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a cloud from a file must have."""
        return {"pos": NeededField(Field(Position(), "length"), 3)}

    def class_names(self) -> Sequence[str]:
        """The names of the solids."""
        return SOLIDS

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CloudClassifier(variant, len(SOLIDS))

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(self.build(variant))
