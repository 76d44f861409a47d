"""Plain group-convolutional networks: of images under turns and mirrors, and of functions on a finite group."""

from dataclasses import dataclass, field
from typing import ClassVar, get_args

from jaxtyping import Float
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.groups import Group, finite_table, moved_back, parse_group, parse_subgroup, part_of
from rapidash.models._fiber_network import FiberNetwork
from rapidash.models._network import Interface, NetworkConfig, Takes
from rapidash.models._subgroups import draw_tables, untie
from rapidash.nn import CenteredMaxPool, FiberHead, ImageGroupConv, ImageLifting, Padding, Pooling


class ImageGCNN(FiberNetwork):
    """A lifting convolution and group convolutions, each with batch normalization and ReLU; see `ImageGCNNConfig`.

    Shape: images (B, in_scalars, H, W) -> (B, out_scalars).
    """

    def fiber(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 G H2 W2"]:
        """The features in front of the head."""
        for layer in self.layers:
            x = layer(x)
        return x


class SignalGCNN(FiberNetwork):
    """Group convolutions of functions on a finite group, as on a ring; see `SignalGCNNConfig`.

    Shape: functions (B, in_scalars, G) -> (B, out_scalars).
    """

    def fiber(self, x: Float[Tensor, "B C G"]) -> Float[Tensor, "B C2 G 1 1"]:
        """The features in front of the head: a single pixel."""
        if x.dim() != 3 or x.shape[2] != self.order:
            expected = f"functions on {self.group.name} (B, C, {self.order})"
            raise ValueError(f"x must be {expected}, got shape {tuple(x.shape)}")
        x = x[..., None, None]
        for layer in self.layers:
            x = layer(x)
        return x


@dataclass(frozen=True)
class _FiberConfig(NetworkConfig):
    """The settings that both kinds of networks have."""

    channels: int = 8
    num_layers: int = 3
    pooling: Pooling = "mean"
    readout_dim: int = 0

    least_layers: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_fields(self)
        if self.channels < 1 or self.num_layers < self.least_layers or self.readout_dim < 0:
            raise ValueError(
                f"channels must be at least 1, num_layers at least {self.least_layers} and readout_dim at least 0, got "
                f"{self.channels}, {self.num_layers} and {self.readout_dim}"
            )
        if self.pooling not in get_args(Pooling):
            raise ValueError(f"pooling must be one of {get_args(Pooling)}, got {self.pooling!r}")

    @property
    def takes(self) -> Takes:
        """Numbers side by side."""
        return "components"

    @property
    def group(self) -> Group:
        """The group of the layers."""
        return parse_group(self.symmetry, 2)

    def _head(self, channels: int, io: Interface) -> FiberHead:
        return FiberHead(channels, io.out_scalars, pooling=self.pooling, hidden_dim=self.readout_dim)

    def _check(self, io: Interface) -> None:
        if io.in_vectors or io.out_vectors or io.in_pairs or min(io.in_scalars, io.out_scalars) < 1:
            raise ValueError(f"{self.kind} has channels and numbers out, at least one of each, and no vectors: {io}")


@dataclass(frozen=True)
class ImageGCNNConfig(_FiberConfig):
    """A group-convolutional network of images (B, in_scalars, H, W) -> (B, out_scalars), exact on the grid of pixels.

    One lifting convolution, then group convolutions, each with batch normalization over group and pixels and ReLU;
    then invariants and a linear map. Images have a square or other size that the group keeps; pooling between layers
    needs odd ones.

    Args:
        symmetry: ``"C1"`` (a plain convolutional network), ``"C2"``, ``"C4"``, ``"D1"``, ``"D2"`` or ``"D4"``; other
            groups do not map pixels to pixels, and are refused.
        channels: features per element of the group and pixel, at least 1.
        num_layers: the lifting convolution and the group convolutions, at least 1.
        kernel_size: of the group convolutions, odd.
        lifting_size: of the lifting convolution, odd.
        pool_after: behind which layers (1 is the lifting) every second pixel is left out, see
            `rapidash.nn.CenteredMaxPool`.
        pooling: ``"mean"``, ``"max"`` or ``"mean+max"`` over group and pixels.
        readout_dim: features of a linear map with batch normalization between pooling and outputs; 0 for none.
        padding: ``"zeros"`` or ``"circular"``: what lies outside the image.
        subgroups: for every layer the subgroup of ``symmetry`` that it keeps, e.g. ``("C4", "C4", "C1")``: it then has
            weights of its own for every orbit of it, and so has the readout of means for those of the last one;
            empty: all of ``symmetry``.
    Raises: ValueError for values outside the above.
    """

    symmetry: str = "C4"
    kernel_size: int = 3
    lifting_size: int = 5
    pool_after: tuple[int, ...] = (1,)
    padding: Padding = "zeros"
    subgroups: tuple[str, ...] = field(default=(), metadata={"absent": ()})

    space = "images"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("kernel_size", "lifting_size"):
            if (size := getattr(self, name)) < 1 or size % 2 == 0:
                raise ValueError(f"{name} must be odd, got {size}")
        if self.padding not in get_args(Padding):
            raise ValueError(f"padding must be one of {get_args(Padding)}, got {self.padding!r}")
        if wrong := [layer for layer in self.pool_after if not 1 <= layer <= self.num_layers]:
            raise ValueError(f"pool_after names layers from 1 to num_layers={self.num_layers}, got {wrong}")
        try:
            moved_back(self.group, 3)
        except ValueError as error:
            raise ValueError(f"symmetry={self.symmetry!r} does not fit images: {error}") from error
        if self.subgroups and len(self.subgroups) != self.num_layers:
            raise ValueError(
                f"subgroups must name one for each of num_layers={self.num_layers} layers, or none, got "
                f"{self.subgroups}"
            )
        self.kept_symmetry  # noqa: B018  (raises for what is no subgroup)

    @property
    def kept_symmetry(self) -> Group:
        """The group that all layers keep."""
        kept = [parse_subgroup(name, self.group) for name in self.subgroups]
        if not kept:
            return self.group
        common = tuple(sorted(set.intersection(*map(set, kept))))
        named = (parse_group(name, 2).name for name, members in zip(self.subgroups, kept) if members == common)
        return part_of(self.group, common, next(named, None))

    def build(self, io: Interface) -> ImageGCNN:
        """The network with fresh weights from torch's global generator.

        Raises: ValueError for vectors, or no input or output.
        """
        self._check(io)
        layers = nn.ModuleList()
        for index in range(1, self.num_layers + 1):
            make, width, size = (
                (ImageLifting, io.in_scalars, self.lifting_size)
                if index == 1
                else (ImageGroupConv, self.channels, self.kernel_size)
            )
            conv = make(self.group, width, self.channels, kernel_size=size, use_bias=False, padding=self.padding)
            layers.extend([conv, nn.BatchNorm3d(self.channels), nn.ReLU()])
            if index in self.pool_after:
                layers.append(CenteredMaxPool())
        network = ImageGCNN(self.group, layers, self._head(self.channels, io))
        if self.subgroups:
            untie(network, [parse_subgroup(name, self.group) for name in self.subgroups])
            draw_tables(network)
        return network


@dataclass(frozen=True)
class SignalGCNNConfig(_FiberConfig):
    """A group-convolutional network of functions on a finite group, (B, in_scalars, G) -> (B, out_scalars).

    With the group C8, of signals on a ring of eight places. Without layers the head sees the functions themselves.

    Args:
        symmetry: the group, e.g. ``"C8"`` or ``"D5"``, of the plane.
        channels: features per element, at least 1.
        num_layers: group convolutions, each with batch normalization and ReLU; may be 0.
        pooling, readout_dim: as of `ImageGCNNConfig`.
    Raises: ValueError for values outside the above.
    """

    num_layers: int = 0
    symmetry: str = "C8"

    space = "a finite group"
    least_layers = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        finite_table(self.group)

    def build(self, io: Interface) -> SignalGCNN:
        """The network with fresh weights from torch's global generator.

        Raises: ValueError for vectors, or no input or output.
        """
        self._check(io)
        layers, width = nn.ModuleList(), io.in_scalars
        for _ in range(self.num_layers):
            conv = ImageGroupConv(self.group, width, self.channels, kernel_size=1, use_bias=False)
            layers.extend([conv, nn.BatchNorm3d(self.channels), nn.ReLU()])
            width = self.channels
        return SignalGCNN(self.group, layers, self._head(width, io))
