"""Six or nine: blobs whose half turn is another class, or is the same one."""

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Field, RowDataset
from rapidash.groups import Image, MatrixGroup, Scalar, cyclic, trivial
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._label import PlainLabelTask
from rapidash.tasks._pixel_network import FieldClassifier, invariant_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes

SIDE, CLASSES, BLOBS = 13, 8, 6  # pixels; blobs in a figure
Turns = Literal["told apart", "ignored"]
_IMAGE = Image(boundary="zeros")


@dataclass(frozen=True)
class HalfTurnsTask(PlainLabelTask):
    """Which of eight figures of random blobs an image of 13 x 13 pixels shows.

    A figure is the sum of six Gaussian blobs, of mean 0 and standard deviation 1; an image is a figure moved by up to
    one pixel along each axis, with noise.

    Args:
        turns: ``"told apart"``: four figures and their half turns, upright, as 6 and 9: what is invariant to half turns
            errs on half of the images. ``"ignored"``: eight figures, and every image of every split is turned by a
            random multiple of 90 degrees, so that all quarter turns hold.
        noise: standard deviation on a pixel, at least 0.
        num_train, num_val, num_test: sizes of the splits.
        data_seed: of figures and images.
    Raises: ValueError for values outside the above.
    Source: the first problem of this kind is the 6 and 9 of handwritten digits; ours is generated.
    """

    turns: Turns = "told apart"
    noise: float = 1.0
    num_train: int = 400
    num_val: int = 400
    num_test: int = 1000
    data_seed: int = 0

    name: str = field(default="half-turns", init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        if self.turns not in get_args(Turns):
            raise ValueError(f"turns must be one of {get_args(Turns)}, got {self.turns!r}")
        if not self.noise >= 0:
            raise ValueError(f"noise must be at least 0, got {self.noise}")

    @property
    def moves(self) -> MatrixGroup | None:
        """Quarter turns where they are ignored; None where they change the class."""
        return cyclic(4) if self.turns == "ignored" else None

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """Quarter turns, and half turns."""
        return (cyclic(4), cyclic(2))

    def figures(self) -> Float[Tensor, "8 13 13"]:
        """One upright image of every class, without noise."""
        num = CLASSES // 2 if self.turns == "told apart" else CLASSES
        drawn = torch.stack([_figure(self.data_seed, index) for index in range(num)])
        return torch.cat([drawn, drawn.flip(1, 2)]) if self.turns == "told apart" else drawn

    def dataset(self, split: Split) -> RowDataset:
        """Images (B, 1, 13, 13), and the class (B,)."""
        size = split_sizes(self)[split]
        assert size is not None
        rng = seeded("half turns", self.data_seed, split)
        label = torch.randint(CLASSES, (size,), generator=rng)
        shift = torch.randint(-1, 2, (size, 2), generator=rng)
        noise = torch.randn(size, SIDE, SIDE, generator=rng, dtype=torch.float64)
        moved = torch.nn.functional.pad(self.figures()[label], (1, 1, 1, 1))
        rows, columns = (torch.arange(SIDE) + 1 + shift[:, axis, None] for axis in (0, 1))
        image = moved[torch.arange(size)[:, None, None], rows[:, :, None], columns[:, None]] + self.noise * noise
        group = cyclic(4) if self.turns == "ignored" else trivial(2)
        image = _IMAGE.act(group.sample(size, generator=rng), image[:, None])
        fields = {"image": Field(_IMAGE, level="cloud"), "label": Field(Scalar(), level="cloud")}
        return RowDataset({"image": image, "label": label}, fields)

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return FieldClassifier(variant, "image", "images", (1, SIDE, SIDE), CLASSES)

    def ledger(self, variant: Variant) -> Ledger:
        """The group that all layers keep."""
        return invariant_ledger(variant)


def _figure(seed: int, index: int) -> Float[Tensor, "13 13"]:
    """Blobs at random places of random width and sign."""
    rng = seeded("half turns", "figure", seed, index)
    places = (SIDE - 5) * torch.rand(BLOBS, 2, generator=rng, dtype=torch.float64) + 2
    widths = torch.rand(BLOBS, generator=rng, dtype=torch.float64) + 1
    signs = torch.where(torch.rand(BLOBS, generator=rng, dtype=torch.float64) < 0.5, -1.0, 1.0).double()
    axis = torch.arange(SIDE, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    squares = (y - places[:, 0, None, None]) ** 2 + (x - places[:, 1, None, None]) ** 2
    figure = (signs[:, None, None] * torch.exp(-squares / (2 * widths[:, None, None] ** 2))).sum(dim=0)
    return (figure - figure.mean()) / figure.std(correction=0)
