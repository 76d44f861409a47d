"""A network that sees an image at a finite set of scales: approximately invariant to its size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.groups import Image
from rapidash.models import FiberNetwork, ImageGCNNConfig, Interface, NetworkConfig, Takes

_ZOOM = Image(boundary="zeros")


def zoomed(image: Float[Tensor, "B C H W"], factor: float) -> Float[Tensor, "B C H W"]:
    """Images enlarged about their center by a factor (shrunk below 1), with zeros where nothing was.

    Raises: ValueError for a factor that is not positive.
    """
    _check_scales([factor])
    return _ZOOM.act(torch.diag(torch.tensor([factor, factor, 1.0], dtype=torch.float64)), image)


class ScaleStream(nn.Module):
    r"""A network whose invariants are the largest over a finite set of scales.

    .. math:: h(x) = r\left( \max_s I(x \text{ zoomed by } s) \right)

    I are the invariants of the network and r its readout. Let them be maxima over places: a mean over places measures
    the area that something covers, which grows with the square of the zoom.

    Symmetry: *approximately* invariant to scaling. Scalings are no compact group: a zoomed image shows the network the
    scales between two neighbors of the set, loses one scale at the end of the set and gains another, and is
    interpolated. `scale_error` measures what is left, which is not small.

    Args:
        network: of images, with ``pooling="max"``.
        scales: the factors, positive, at least one.
    Shape: x (B, C, H, W) -> (B, num_outputs).
    Raises: ValueError for no scale, or one that is not positive.
    """

    def __init__(self, network: FiberNetwork, scales: Sequence[float]) -> None:
        super().__init__()
        _check_scales(scales)
        self.network, self.scales = network, tuple(scales)

    @property
    def num_outputs(self) -> int:
        """Numbers per image."""
        return self.network.num_outputs

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B num_outputs"]:
        """See the class."""
        seen = torch.cat([x if scale == 1 else zoomed(x, scale) for scale in self.scales])
        invariants: Tensor = self.network.head.invariants(self.network.fiber(seen))
        out: Tensor = self.network.head.readout(invariants.unflatten(0, (len(self.scales), len(x))).amax(dim=0))
        return out


class ScaleError(NamedTuple):
    """How far the output of a network moves when images are zoomed."""

    factors: tuple[float, ...]
    relative: tuple[float, ...]
    """For each factor ||h(zoomed x) - h(x)|| / ||h(x) - mean of h||, 0 for an invariant network."""

    def __str__(self) -> str:
        cells = ", ".join(f"{factor:.3g}: {error:.2g}" for factor, error in zip(self.factors, self.relative))
        return f"relative change under zooms by {cells}"


def scale_error(network: nn.Module, images: Float[Tensor, "B C H W"], factors: Sequence[float]) -> ScaleError:
    """The change of the outputs of a network when images are zoomed, relative to how its outputs differ between images.

    Args:
        network: images -> (B, F), in evaluation mode.
        images: at least two.
        factors: by which they are enlarged.
    Raises: ValueError for a network in training mode, a factor that is not positive, a single image, or outputs that
        are the same for all images.
    """
    _check_scales(factors)
    if network.training:
        raise ValueError("measure in eval mode: batch statistics would count as broken symmetry")
    with torch.no_grad():
        out = network(images)
        deviation = (out - out.mean(dim=0)).norm()
        if len(images) < 2 or float(deviation) == 0:
            raise ValueError("the outputs are the same for all images: there is nothing to compare a change with")
        errors = [float((network(zoomed(images, factor)) - out).norm() / deviation) for factor in factors]
    return ScaleError(tuple(factors), tuple(errors))


@dataclass(frozen=True)
class ScaleStreamConfig(NetworkConfig):
    """A network of images seen at a finite set of scales, see `ScaleStream`.

    Args:
        network: of images, seen at each scale with the same weights; its pooling is best ``"max"``.
        scales: the factors, positive.
    Raises: ValueError for values outside the above.
    """

    network: ImageGCNNConfig = field(default_factory=lambda: ImageGCNNConfig(symmetry="C1", pooling="max"))
    scales: tuple[float, ...] = (0.5, 0.5**0.5, 1.0, 2**0.5, 2.0)

    space = "images"

    def __post_init__(self) -> None:
        check_fields(self)
        _check_scales(self.scales)

    @property
    def symmetry(self) -> str:  # type: ignore[override]
        """That of the network, which zooms about the center keep; that of scaling is approximate and not named."""
        return self.network.symmetry

    @property
    def takes(self) -> Takes:
        """Numbers side by side."""
        return "components"

    def build(self, io: Interface) -> ScaleStream:
        """The network with fresh weights from torch's global generator."""
        return ScaleStream(self.network.build(io), self.scales)


def _check_scales(scales: Sequence[float]) -> None:
    if not scales or not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise ValueError(f"scales must be positive factors, at least one, got {tuple(scales)}")
