"""Glyphs: small generated images, turned or mirrored one by one, to be named or to be drawn again."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from rapidash._seed import seeded
from rapidash.data import Batch, Field, RowDataset
from rapidash.groups import Image, MatrixGroup, OfFactor, Product, Representation, Scalar, parse_matrix_group, trivial
from rapidash.methods import Split, Variant
from rapidash.models import Interface
from rapidash.symmetry import Ledger
from rapidash.tasks._label import LabelTask
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes

SIDE = 12  # pixels
_NAMES = ("left", "right")


class GlyphNetwork(nn.Module):
    """Two convolutions and a linear map to a latent vector, and behind it the network of the variant."""

    latent_layer = "encoder"

    def __init__(self, variant: Variant, num_glyphs: int, latent_dim: int, num_out: int) -> None:
        super().__init__()
        self.names = _NAMES[:num_glyphs]
        side = SIDE // 4
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(32 * side * side * num_glyphs, latent_dim),
        )
        self.head = variant.model.build(Interface(dim=0, in_scalars=latent_dim, out_scalars=num_out))

    def forward(self, batch: Batch) -> Float[Tensor, "B ..."]:
        """Logits of the classes, or pixels."""
        image = torch.cat([batch[name] for name in self.names], dim=-1)  # side by side
        out: Tensor = self.head(self.encoder(image))
        return out


@dataclass(frozen=True)
class GlyphsTask(LabelTask):
    """Recognize the glyphs in an image, each in a pose of its own: the labels do not change when a glyph is turned.

    A glyph is one of ``num_kinds`` smooth random blobs of 12 x 12 pixels, moved by a random element of the group, with
    noise on every pixel. Two of them stand side by side, and the group acts on each by itself: the class is the pair.

    Args:
        num_glyphs: 1 or 2.
        group: of one glyph: ``"C4"``, quarter turns, or ``"D4"``, mirror images too.
        predict: ``"class"``, or ``"image"``: the pixels without the noise.
        latent_dim: width of the latent in the network.
        num_kinds: glyphs in the alphabet.
        noise: standard deviation on a pixel, where a glyph has mean square 1.
        num_train, num_val, num_test: sizes of the splits.
        data_seed: of alphabet and samples.
    Raises: ValueError for values outside the above.
    """

    num_glyphs: Literal[1, 2] = 2
    group: Literal["C4", "D4"] = "C4"
    predict: Literal["class", "image"] = "class"
    latent_dim: int = 64
    num_kinds: int = 6
    noise: float = 0.5
    num_train: int = 300
    num_val: int = 500
    num_test: int = 2000
    data_seed: int = 0

    name: str = field(default="glyphs", init=False)
    dim: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        for name, allowed in (("num_glyphs", (1, 2)), ("group", ("C4", "D4")), ("predict", ("class", "image"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if self.num_kinds < 2 or self.latent_dim < 1 or self.noise < 0:
            raise ValueError(
                "num_kinds must be at least 2, latent_dim at least 1 and noise at least 0, got "
                f"{self.num_kinds}, {self.latent_dim} and {self.noise}"
            )
        if self.predict == "image" and self.num_glyphs != 1:
            raise ValueError("predict='image' draws one glyph: set num_glyphs=1")

    @property
    def metric(self) -> str:
        """The metric in words."""
        return "error rate" if self.predict == "class" else "MSE of pixels"

    @property
    def unit(self) -> str:
        """Percent, or the mean square of a glyph."""
        return "%" if self.predict == "class" else "1"

    @property
    def moves(self) -> MatrixGroup:
        """The group of one glyph, or of two that move independently."""
        one = parse_matrix_group(self.group)
        return one if self.num_glyphs == 1 else Product((one, one))

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """The same."""
        return (self.moves,)

    @property
    def output(self) -> Field:
        """Logits, which do not move, or an image."""
        return Field(Scalar() if self.predict == "class" else Image(), level="cloud")

    def dataset(self, split: Split) -> RowDataset:
        """Images left, right (B, 1, 12, 12), and the class label (B,) or the image to draw, target (B, 12, 12)."""
        size = split_sizes(self)[split]
        assert size is not None
        rng = seeded("glyphs", self.data_seed, split)
        alphabet, one = self._alphabet(), parse_matrix_group(self.group)
        tensors: dict[str, Tensor] = {}
        fields: dict[str, Field] = {}
        label = torch.zeros(size, dtype=torch.long)
        for index, name in enumerate(_NAMES[: self.num_glyphs]):
            kind = torch.randint(self.num_kinds, (size,), generator=rng)
            clean = Image().act(one.sample(size, generator=rng), alphabet[kind][:, None])
            noise = torch.randn(clean.shape, generator=rng, dtype=clean.dtype)
            tensors[name], label = clean + self.noise * noise, label * self.num_kinds + kind
            fields[name] = Field(self._representation(index), level="cloud")
        if self.predict == "class":
            return RowDataset({**tensors, "label": label}, {**fields, "label": Field(Scalar(), level="cloud")})
        return RowDataset({**tensors, "target": clean[:, 0]}, {**fields, "target": self.output})

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        num_out = self.num_kinds**self.num_glyphs if self.predict == "class" else SIDE * SIDE
        network: nn.Module = GlyphNetwork(variant, self.num_glyphs, self.latent_dim, num_out)
        return network if self.predict == "class" else _Drawn(network)

    def ledger(self, variant: Variant) -> Ledger:
        """None: the network sees pixels in their places."""
        none: MatrixGroup = trivial(2)
        return Ledger(none, none, ("the network sees every pixel in its place: no turn is kept",), True, False)

    def loss(self, prediction: Float[Tensor, "B ..."], batch: Batch) -> Float[Tensor, ""]:
        """Cross-entropy in nats, or the mean squared error."""
        if self.predict == "class":
            return super().loss(prediction, batch)
        return (prediction - batch["target"]).square().mean()

    def errors(self, prediction: Float[Tensor, "B ..."], batch: Batch) -> Float[Tensor, " B"]:
        """100 for every image whose largest logit is not that of its class, else 0; or the mean squared error."""
        if self.predict == "class":
            return super().errors(prediction, batch)
        return (prediction - batch["target"]).square().flatten(1).mean(dim=1)

    def _representation(self, index: int) -> Representation:
        moves = self.moves
        return OfFactor(moves, index, Image()) if isinstance(moves, Product) else Image()

    def _alphabet(self) -> Float[Tensor, "kinds S S"]:
        """Smooth random blobs of mean 0 and mean square 1."""
        coarse = torch.randn(self.num_kinds, 1, 4, 4, generator=seeded("glyphs", self.data_seed), dtype=torch.float64)
        smooth = interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=False)[:, 0]
        smooth = smooth - smooth.mean(dim=(1, 2), keepdim=True)
        return smooth / smooth.square().mean(dim=(1, 2), keepdim=True).sqrt()


class _Drawn(nn.Module):
    """The outputs of a network as an image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Float[Tensor, "B S S"]:
        """Pixels."""
        pixels: Tensor = self.network(batch)
        return pixels.unflatten(1, (SIDE, SIDE))
