"""A convolutional network of images of a cloud, which it renders itself: density and depth, seen from above."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.geometry import centroids
from rapidash.models._network import Interface, NetworkConfig, RapidashOutput, Takes
from rapidash.models._point_network import PointNetwork, scalars_and_vectors
from rapidash.models._transformer import places_in_clouds

_LAYERS = 3  # each of which halves the image


@dataclass(frozen=True)
class RenderedCNNConfig(NetworkConfig):
    """A plain convolutional network of images of clouds in space, see `RenderedCNN`.

    Args:
        size: pixels along each side of an image, at least 8.
        extent: half of a side, a length; what lies outside is not seen.
        blur: standard deviation of a point in the image, in pixels, above 0.
        channels: of the first convolution, at least 1; each of the three has twice as many as the one before.
        hidden_dim: features between the convolutions and the output, at least 1.
    Raises: ValueError for values outside the above.
    """

    size: int = 24
    extent: float = 3.0
    blur: float = 1.0
    channels: int = 16
    hidden_dim: int = 128

    symmetry = "T(3)"
    space = "R3"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.size < 2**_LAYERS or min(self.channels, self.hidden_dim) < 1:
            raise ValueError(
                f"a rendered CNN needs size >= {2**_LAYERS}, channels >= 1 and hidden_dim >= 1, got {self.size}, "
                f"{self.channels} and {self.hidden_dim}"
            )
        if not (0 < self.extent < math.inf and 0 < self.blur < math.inf):
            raise ValueError(f"extent and blur must be positive, got {self.extent} and {self.blur}")

    @property
    def takes(self) -> Takes:
        """Components: rotations are learned or not."""
        return "components"

    def build(self, io: Interface) -> "RenderedCNN":
        """A `RenderedCNN` with fresh weights.

        Raises: ValueError for clouds in the plane, outputs of points, input vectors, or no output.
        """
        if io.dim != 3 or io.level != "graph" or io.in_vectors or io.out_scalars + io.out_vectors == 0:
            raise ValueError(
                "a rendered CNN has clouds in space, outputs of clouds, at least one, and no input vectors (it takes "
                f"their components), got {io}"
            )
        return RenderedCNN(self, io)


class RenderedCNN(PointNetwork):
    """Three convolutions of stride 2 with GroupNorm and SiLU on `rendered` images, and a perceptron behind them.

    The channels of an image are the density of the points, the same weighted by their depth z, and by each of their
    scalars and pair scalars; positions are relative to the centroid of the cloud.

    Symmetry: T(3), exact, and permutations of the points; rotations are learned or not.
    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    """

    reads_whole_clouds = True

    def __init__(self, config: RenderedCNNConfig, io: Interface) -> None:
        super().__init__(config, io)
        self.size, self.extent, self.blur = config.size, config.extent, config.blur
        widths = [2 + io.in_scalars + io.in_pairs, *(config.channels * 2**layer for layer in range(_LAYERS))]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(1, b), nn.SiLU())
            for a, b in pairwise(widths)
        )
        side = config.size
        for _ in range(_LAYERS):
            side = (side + 1) // 2
        outputs = io.out_scalars + io.dim * io.out_vectors
        self.head = nn.Sequential(
            nn.Linear(widths[-1] * side**2, config.hidden_dim), nn.SiLU(), nn.Linear(config.hidden_dim, outputs)
        )

    def compute(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> RapidashOutput:
        """The outputs of clouds."""
        num_clouds = int(batch[-1]) + 1
        centered = pos - centroids(pos, batch, num_clouds)[batch]
        weights = torch.cat([torch.ones_like(pos[:, :1]), centered[:, 2:], scalars, pairs], dim=1)
        image = rendered(
            centered[:, :2], weights, batch, num_clouds, size=self.size, extent=self.extent, blur=self.blur
        )
        for layer in self.layers:
            image = layer(image)
        return scalars_and_vectors(self.head(image.flatten(1)), self.io)


def rendered(
    pos: Float[Tensor, "N 2"],
    weights: Float[Tensor, "N C"],
    batch: Int[Tensor, " N"],
    num_clouds: int,
    *,
    size: int,
    extent: float,
    blur: float,
) -> Float[Tensor, "B C S S"]:
    r"""Images of clouds, :math:`I_c(u) = \sum_j w_{jc} \exp(-|u - x_j|^2 / 2 b^2)` at the centers u of the pixels.

    Args:
        pos: places x_j in the image plane; the first coordinate is that of rows.
        weights: w, of each channel.
        batch, num_clouds: the image of each point, sorted, and how many there are.
        size: pixels S along each side.
        extent: the image covers [-extent, extent] along both axes.
        blur: b, in pixels.
    """
    pixel = 2 * extent / size
    centers = (torch.arange(size, dtype=pos.dtype, device=pos.device) + 0.5) * pixel - extent
    bumps = torch.exp(-((pos[:, :, None] - centers) ** 2) / (2 * (blur * pixel) ** 2))  # (N, 2, S)
    place, sizes = places_in_clouds(batch, num_clouds)
    most = int(sizes.max())
    rows, columns = (
        part.new_zeros(num_clouds, most, *part.shape[1:]).index_put((batch, place), part)
        for part in (weights[:, :, None] * bumps[:, :1], bumps[:, 1])
    )
    return torch.einsum("bncx,bny->bcxy", rows, columns)
