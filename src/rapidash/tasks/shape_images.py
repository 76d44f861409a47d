"""Shape images: draw small images with known factors again, for autoencoders that are to find the factors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, Field, RowDataset
from rapidash.datasets import HOOKS_FACTORS, SHAPE_SIDE, SQUARES_FACTORS, hooks_images, squares_images
from rapidash.groups import Image, MatrixGroup, trivial
from rapidash.learn import VaeOutput
from rapidash.methods import Split, Variant
from rapidash.models import Interface
from rapidash.symmetry import Ledger

_SHARES: Mapping[Split, tuple[float, float]] = {"train": (0.0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}


class DrawnAgain(nn.Module):
    """A network of pixels in a row on batches of images: logits (B, 1, 16, 16).

    Args:
        network: (B, P) -> (B, P), or `rapidash.learn.VaeOutput`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Float[Tensor, "B 1 S S"]:
        """Logits; of a variational autoencoder those of the mean code."""
        found = self.network(batch["image"].flatten(1))
        logits = found.reconstruction if isinstance(found, VaeOutput) else found
        return logits.reshape(batch["image"].shape)


@dataclass(frozen=True)
class ShapeImagesTask:
    """Draw an image of a simple shape again; the factors from which it was made are known, and no network sees them.

    The splits are 80, 10 and 10 per cent of all combinations of the factors, drawn by the data seed.

    Args:
        shapes: ``"squares"``: see `rapidash.datasets.squares_images`; ``"hooks"``: `rapidash.datasets.hooks_images`,
            which are turned as well.
        data_seed: of the splits.
    Raises: ValueError for other shapes.
    """

    shapes: Literal["squares", "hooks"] = "squares"
    data_seed: int = 0

    name: str = field(default="shape-images", init=False)
    dim: int = field(default=0, init=False)
    metric: str = field(default="cross-entropy of pixels", init=False)
    unit: str = field(default="nats", init=False)
    output: Field = field(default=Field(Image(boundary="zeros"), level="cloud"), init=False)

    def __post_init__(self) -> None:
        if self.shapes not in ("squares", "hooks"):
            raise ValueError(f"shapes must be 'squares' or 'hooks', got {self.shapes!r}")

    @property
    def factors(self) -> tuple[str, ...]:
        """The names of the factors among the fields of the data."""
        return SQUARES_FACTORS if self.shapes == "squares" else HOOKS_FACTORS

    @property
    def periodic(self) -> tuple[str, ...]:
        """Those of the factors whose last level is followed by the first."""
        return ("angle",) if self.shapes == "hooks" else ()

    @property
    def moves(self) -> None:
        """None: images are not moved with test data."""

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """None: autoencoders of pixels keep no motion, what their latents do is measured otherwise."""
        return ()

    def dataset(self, split: Split) -> RowDataset:
        """Images (B, 1, 16, 16) in [0, 1] and the level (B,) of each factor."""
        data = _everything(self.shapes)
        order = torch.randperm(len(data), generator=seeded("shape-images", self.data_seed))
        first, last = (round(share * len(data)) for share in _SHARES[split])
        return data.subset(order[first:last])

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        pixels = SHAPE_SIDE * SHAPE_SIDE
        return DrawnAgain(variant.model.build(Interface(dim=0, in_scalars=pixels, out_scalars=pixels)))

    def ledger(self, variant: Variant) -> Ledger:
        """None: the network sees every pixel in its place."""
        none: MatrixGroup = trivial(2)
        return Ledger(none, none, ("the network sees every pixel in its place: no motion is kept",), True, False)

    def loss(self, prediction: Float[Tensor, "B 1 S S"], batch: Batch) -> Float[Tensor, ""]:
        """Binary cross-entropy in nats, summed over the pixels, mean over the batch."""
        return self.errors(prediction, batch).mean()

    def errors(self, prediction: Float[Tensor, "B 1 S S"], batch: Batch) -> Float[Tensor, " B"]:
        """The cross-entropy of each image in nats, summed over its pixels."""
        entropy = nn.functional.binary_cross_entropy_with_logits(prediction, batch["image"], reduction="none")
        return entropy.flatten(1).sum(dim=1)


@lru_cache(maxsize=2)
def _everything(shapes: str) -> RowDataset:
    return squares_images() if shapes == "squares" else hooks_images()
