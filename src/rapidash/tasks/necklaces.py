"""Necklaces: arrangements of ones on a ring, to be told apart up to rotation."""

from dataclasses import dataclass, field
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Field, RowDataset
from rapidash.groups import MatrixGroup, Regular, Scalar, cyclic, finite_table
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._label import PlainLabelTask
from rapidash.tasks._pixel_network import FieldClassifier, invariant_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes

PLACES, ONES = 8, 4


def necklace_classes() -> Float[Tensor, "10 8"]:
    """One arrangement of 4 ones on a ring of 8 for each of the 10 classes up to rotation, the largest as a number."""
    every = [[float(place in chosen) for place in range(PLACES)] for chosen in combinations(range(PLACES), ONES)]
    largest = {max(tuple(row[k:] + row[:k]) for k in range(PLACES)) for row in every}
    return torch.tensor(sorted(largest, reverse=True), dtype=torch.float64)


@dataclass(frozen=True)
class NecklacesTask(PlainLabelTask):
    """Which of 10 arrangements of 4 ones on a ring of 8 places a signal shows, whatever its rotation.

    All classes have the same mean, and the same values in another order: what is invariant to all permutations, such as
    a mean or a maximum, cannot tell them apart. Signals are rotated at random and have noise on every place.

    Args:
        noise: standard deviation on a place, where ones are 1, at least 0.
        num_train, num_val, num_test: sizes of the splits.
        data_seed: of the samples.
    Raises: ValueError for values outside the above.
    """

    noise: float = 0.1
    num_train: int = 2000
    num_val: int = 500
    num_test: int = 2000
    data_seed: int = 0

    name: str = field(default="necklaces", init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        if not self.noise >= 0:
            raise ValueError(f"noise must be at least 0, got {self.noise}")

    @property
    def moves(self) -> MatrixGroup:
        """The rotations of the ring."""
        return cyclic(PLACES)

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """The same."""
        return (self.moves,)

    def dataset(self, split: Split) -> RowDataset:
        """Signals (B, 1, 8), and the class label (B,)."""
        size = split_sizes(self)[split]
        assert size is not None
        rng, classes = seeded("necklaces", self.data_seed, split), necklace_classes()
        label = torch.randint(len(classes), (size,), generator=rng)
        on_ring = Regular(finite_table(self.moves))
        turned = on_ring.act(self.moves.sample(size, generator=rng), classes[label][:, None])
        noise = torch.randn(turned.shape, generator=rng, dtype=turned.dtype)
        fields = {"signal": Field(on_ring, level="cloud"), "label": Field(Scalar(), level="cloud")}
        return RowDataset({"signal": turned + self.noise * noise, "label": label}, fields)

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return FieldClassifier(variant, "signal", "a finite group", (1, PLACES), len(necklace_classes()))

    def ledger(self, variant: Variant) -> Ledger:
        """The group of the layers."""
        return invariant_ledger(variant)
