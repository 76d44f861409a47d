"""Partial symmetry of images: figures whose labels tolerate turns, or shifts, up to an extent that is known."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Field, RowDataset
from rapidash.groups import Image, MatrixGroup, Scalar
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._label import PlainLabelTask
from rapidash.tasks._pixel_network import FieldClassifier, invariant_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes

SIDE, FIGURES, BLOBS = 15, 2, 5  # pixels; figures; blobs in a figure
RADIUS: Final = 3.0  # pixels: no middle of a blob is farther from that of its figure
PLACE: Final = 2.0  # pixels from the middle of the image along each axis, where places are classes
Planted = Literal["turns", "shifts"]
_IMAGE = Image(boundary="zeros")


@dataclass(frozen=True)
class PartialImagesTask(PlainLabelTask):
    """Which figure an image of 15 x 15 pixels shows, and how it stands or where: two figures of five Gaussian blobs.

    Images are drawn at their pose, not warped: a blob at c of a figure is at t + R(a) c in the image.

    Args:
        planted: ``"turns"``: figures in the middle, upright or upside down, which are classes as 6 and 9 are, each
            turned by an angle uniform in [-pi/4, pi/4]; ``"shifts"``: upright figures at one of four places, 2 pixels
            from the middle along each axis, which are classes, each moved by up to 1 pixel along each axis.
        noise: standard deviation on a pixel, at least 0; blobs have the height 1.
        num_train, num_val, num_test: sizes of the splits.
        data_seed: of figures and images.
    Raises: ValueError for values outside the above.
    """

    planted: Planted = "turns"
    noise: float = 0.1
    num_train: int = 2000
    num_val: int = 500
    num_test: int = 1000
    data_seed: int = 0

    name: str = field(default="partial-images", init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        if self.planted not in get_args(Planted):
            raise ValueError(f"planted must be one of {get_args(Planted)}, got {self.planted!r}")
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"noise must be at least 0, got {self.noise}")

    @property
    def tolerated(self) -> Mapping[str, float]:
        """By motion the half-width that every image may be moved by before classes meet: radian, pixels.

        Motions that the data do not show, and turns about the middle of figures elsewhere, are not named.
        """
        if self.planted == "turns":
            return {"rotation": math.pi / 4}
        return {f"translation along {axis}": PLACE - 1.0 for axis in "xy"}

    @property
    def moves(self) -> MatrixGroup | None:
        """None: every motion changes some label if it is large."""
        return None

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """None: no group leaves the labels."""
        return ()

    def class_names(self) -> Sequence[str]:
        """Figure and pose, or figure and place, of each class."""
        poses = ("upright", "upside down") if self.planted == "turns" else tuple(_places())
        return [f"figure {figure}, {pose}" for figure in range(FIGURES) for pose in poses]

    def dataset(self, split: Split) -> RowDataset:
        """Images (B, 1, 15, 15), and the class (B,)."""
        size = split_sizes(self)[split]
        assert size is not None
        rng = seeded("partial images", self.data_seed, split)
        num_poses = len(self.class_names()) // FIGURES
        label = torch.randint(FIGURES * num_poses, (size,), generator=rng)
        within = 2 * torch.rand(size, 2, generator=rng, dtype=torch.float64) - 1
        noise = torch.randn(size, 1, SIDE, SIDE, generator=rng, dtype=torch.float64)
        pose = label % num_poses
        if self.planted == "turns":
            angle, shift = math.pi * pose + math.pi / 4 * within[:, 0], 0 * within
        else:
            angle, shift = 0 * within[:, 0], torch.tensor(list(_places().values()))[pose] + within
        image = self.drawn(label // num_poses, angle, shift) + self.noise * noise
        fields = {"image": Field(_IMAGE, level="cloud"), "label": Field(Scalar(), level="cloud")}
        return RowDataset({"image": image, "label": label}, fields)

    def drawn(
        self, figure: Tensor, angle: Float[Tensor, " B"], shift: Float[Tensor, "B 2"]
    ) -> Float[Tensor, "B 1 15 15"]:
        """Figures (B,) turned by angles from x to y (which points down), and then moved, without noise."""
        rng = seeded("partial images", "figures", self.data_seed)
        radius, turn, width = torch.rand(3, FIGURES, BLOBS, generator=rng, dtype=torch.float64)
        turn = 2 * math.pi * turn[figure] + angle[:, None]
        middle = RADIUS * radius[figure].sqrt()[..., None] * torch.stack([turn.cos(), turn.sin()], dim=-1)
        middle = middle + shift[:, None]
        width = 1 + 0.5 * width[figure]
        axis = torch.arange(SIDE, dtype=torch.float64) - (SIDE - 1) / 2
        x, y = (axis - middle[..., k, None] for k in (0, 1))
        bell_x, bell_y = (torch.exp(-(part**2) / (2 * width[..., None] ** 2)) for part in (x, y))
        return torch.einsum("bkh,bkw->bhw", bell_y, bell_x)[:, None]

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return FieldClassifier(variant, "image", "images", (1, SIDE, SIDE), len(self.class_names()))

    def ledger(self, variant: Variant) -> Ledger:
        """The group that all layers keep."""
        return invariant_ledger(variant)


def _places() -> dict[str, tuple[float, float]]:
    """The name of each place, and its offset (x, y) from the middle of the image; y points down."""
    return {
        f"{'above' if y < 0 else 'below'}, {'left' if x < 0 else 'right'}": (x, y)
        for y in (-PLACE, PLACE)
        for x in (-PLACE, PLACE)
    }
