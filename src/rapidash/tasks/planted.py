"""Planted symmetry: clouds whose labels keep all turns about z, some, or none, by construction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from rapidash.data import CloudDataset, Field
from rapidash.datasets import PLANTED, Planted, PlantedTruth, planted_classes, planted_dataset, planted_truth
from rapidash.groups import SO2, MatrixGroup, Position
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._classification import Classification, CloudClassifier
from rapidash.tasks._file_task import NeededField
from rapidash.tasks._point_inputs import network_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes


@dataclass(frozen=True)
class PlantedTask(Classification):
    """Classify turned copies of two templates by kind and, as far as the planted symmetry lets it count, by pose.

    See `rapidash.datasets.planted_dataset`. The metric is the error rate in percent; test data are not moved, for most
    turns change labels.

    Args:
        symmetry: ``"full"``, ``"partial"``, ``"discrete"``, ``"none"`` or ``"wrong axis"``.
        noise: standard deviation of every coordinate, where clouds have root mean square 1.
        num_train, num_val, num_test: sizes of the splits.
        data_seed: of templates and samples.
    Raises: ValueError for values outside the above.
    """

    symmetry: Planted = "full"
    noise: float = 0.05
    num_train: int = 2000
    num_val: int = 400
    num_test: int = 600
    data_seed: int = 0

    name: str = field(default="planted", init=False)
    dim: int = field(default=3, init=False)
    moves: MatrixGroup | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        if self.symmetry not in PLANTED:
            raise ValueError(f"symmetry must be one of {PLANTED}, got {self.symmetry!r}")
        if not self.noise >= 0:
            raise ValueError(f"noise must be at least 0, got {self.noise}")

    @property
    def truth(self) -> PlantedTruth:
        """The turns about z that keep every label."""
        return planted_truth(self.symmetry)

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """The turns about z, which methods are asked about."""
        return (SO2("z").without_translations(),)

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos, facing, kind and label."""
        size = split_sizes(self)[split]
        assert size is not None
        return planted_dataset(split, self.symmetry, size=size, noise=self.noise, seed=self.data_seed)

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a cloud from a file must have."""
        return {"pos": NeededField(Field(Position(), "length"), 3)}

    def class_names(self) -> Sequence[str]:
        """Kind and sector of every label."""
        sectors = planted_classes(self.symmetry) // 2
        return [f"kind {label // sectors}, sector {label % sectors}" for label in range(2 * sectors)]

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CloudClassifier(variant, planted_classes(self.symmetry))

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(self.build(variant))
