"""Rotated digits: small handwritten digits, each turned by a random multiple of 90 degrees."""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import interpolate

from rapidash._seed import seeded
from rapidash.data import Field, RowDataset
from rapidash.datasets import digits_images
from rapidash.groups import Image, MatrixGroup, Scalar, cyclic, scaling
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._label import PlainLabelTask
from rapidash.tasks._pixel_network import FieldClassifier, invariant_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes

SIDE, CLASSES = 15, 9  # pixels; a nine is a six upside down
SMALLEST = 0.5  # of the sizes of zoomed digits, which reach from here to 1
_IMAGE = Image(boundary="zeros")


@dataclass(frozen=True)
class RotatedDigitsTask(PlainLabelTask):
    """Which digit, 0 to 8, an image of 15 x 15 pixels shows, whatever its turn.

    The 8 x 8 digits of scikit-learn, linearly interpolated; nines are left out, since a turned one is a six.

    Args:
        cues: ``"turns"``: every image, in all splits, is turned by a random multiple of 90 degrees, exactly. ``"turns
            and sizes"``: even digits are turned so, and odd ones are upright and shrunk by a random factor between 0.5
            and 1 (uniform in its logarithm): half the classes ask for one invariance, half for another.
        num_train, num_val, num_test: sizes of the splits, which share no image; together at most 1,617.
        data_seed: of splits, turns and sizes.
    Raises: ValueError for values outside the above; in `dataset` ModuleNotFoundError without scikit-learn.
    """

    cues: Literal["turns", "turns and sizes"] = "turns"
    num_train: int = 200
    num_val: int = 300
    num_test: int = 600
    data_seed: int = 0

    name: str = field(default="rotated-digits", init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        if self.cues not in ("turns", "turns and sizes"):
            raise ValueError(f"cues must be 'turns' or 'turns and sizes', got {self.cues!r}")

    @property
    def moves(self) -> MatrixGroup | None:
        """Quarter turns; None where half the digits are upright."""
        return cyclic(4) if self.cues == "turns" else None

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """Quarter turns, and where sizes differ scalings by up to sqrt(2)."""
        turns = cyclic(4)
        return (turns,) if self.cues == "turns" else (turns, scaling(2, math.log(2) / 2))

    def dataset(self, split: Split) -> RowDataset:
        """Images (B, 1, 15, 15), intensities about 0 to 1, and the label (B,)."""
        images, labels = _enlarged()
        sizes = split_sizes(self)
        numbers = [sizes["train"], sizes["val"], sizes["test"]]
        total = sum(number or 0 for number in numbers)
        if total > len(images):
            raise ValueError(f"num_train, num_val and num_test are {total} together, there are {len(images)} images")
        order = torch.randperm(len(images), generator=seeded("digits", self.data_seed))
        start = sum(number or 0 for number in numbers[: ("train", "val", "test").index(split)])
        chosen = order[start : start + (sizes[split] or 0)]
        image, label = images[chosen][:, None], labels[chosen]
        image = _IMAGE.act(self._poses(label, split), image)
        fields = {"image": Field(_IMAGE, level="cloud"), "label": Field(Scalar(), level="cloud")}
        return RowDataset({"image": image, "label": label}, fields)

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return FieldClassifier(variant, "image", "images", (1, SIDE, SIDE), CLASSES)

    def ledger(self, variant: Variant) -> Ledger:
        """The group of the layers."""
        return invariant_ledger(variant)

    def _poses(self, label: Int[Tensor, " B"], split: Split) -> Float[Tensor, "B 3 3"]:
        rng = seeded("digits", "poses", self.data_seed, split)
        turns = cyclic(4).sample(len(label), generator=rng)
        if self.cues == "turns":
            return turns
        factor = SMALLEST ** torch.rand(len(label), generator=rng, dtype=torch.float64)
        sizes = torch.eye(3, dtype=torch.float64).repeat(len(label), 1, 1)
        sizes[:, 0, 0] = sizes[:, 1, 1] = factor
        return torch.where((label % 2 == 0)[:, None, None], turns, sizes)


@lru_cache(maxsize=1)
def _enlarged() -> tuple[Float[Tensor, "B 15 15"], Int[Tensor, " B"]]:
    """The digits 0 to 8 at 15 x 15 pixels, every second of which is one of the 8 x 8."""
    images, labels = (torch.from_numpy(array) for array in digits_images())
    kept = labels < CLASSES
    large = interpolate(images[kept][:, None], size=SIDE, mode="bilinear", align_corners=True)
    return large[:, 0], labels[kept]
