"""Template clouds: which of a few templates is a noisy cloud in a random pose? For pre-training, and after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from rapidash.data import CloudDataset, Field
from rapidash.datasets import template_clouds
from rapidash.groups import Position
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._classification import Classification, CloudClassifier
from rapidash.tasks._file_task import NeededField
from rapidash.tasks._point_inputs import network_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes


@dataclass(frozen=True)
class TemplateCloudsTask(Classification):
    """Name the template of a cloud in a random pose, see `rapidash.datasets.template_clouds`. Error rate in percent.

    Args:
        num_templates, num_points, noise: of the clouds.
        num_train, num_val, num_test: sizes of the splits.
        data_seed: of templates and samples.
    Raises: ValueError for values outside the above.
    """

    num_templates: int = 10
    num_points: int = 12
    noise: float = 0.25
    num_train: int = 4000
    num_val: int = 500
    num_test: int = 1000
    data_seed: int = 0

    name: str = field(default="template-clouds", init=False)
    dim: int = field(default=3, init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        self._clouds("train", 1)

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos and label."""
        size = split_sizes(self)[split]
        assert size is not None
        return self._clouds(split, size)

    def _clouds(self, split: Split, size: int) -> CloudDataset:
        return template_clouds(
            split,
            size=size,
            num_templates=self.num_templates,
            num_points=self.num_points,
            noise=self.noise,
            seed=self.data_seed,
        )

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a cloud from a file must have."""
        return {"pos": NeededField(Field(Position(), "length"), 3)}

    def class_names(self) -> Sequence[str]:
        """The numbers of the templates."""
        return [f"template {number}" for number in range(self.num_templates)]

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CloudClassifier(variant, self.num_templates)

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(self.build(variant))
