"""Group convolutions of images: lifting to functions on a finite group and pixels, and between such functions."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, pad

from rapidash.groups import MatrixGroup, finite_table, moved_back

Padding = Literal["zeros", "circular"]


def fiber_conv(
    x: Float[Tensor, "B C O H W"],
    weight: Float[Tensor, "C2 C O k k"],
    places: Int[Tensor, "G OP"],
    bias: Float[Tensor, " C2"] | None = None,
    *,
    padding: Padding = "zeros",
) -> Float[Tensor, "B C2 G H W"]:
    """The convolution of `ImageGroupConv` as a function of its table.

    Args:
        x: functions on the group and pixels; O = 1 for images, which are lifted.
        weight: one table for all elements.
        places: for every g, and every place among the O k k of a table, which entry stands there in the table moved
            by g; the buffer of that name of a layer.
        bias: a number per channel of the output, or none.
        padding: what lies outside the image: zeros, or its other side.
    """
    kernel = weight.flatten(2)[..., places].permute(0, 2, 1, 3)
    every = None if bias is None else bias.repeat_interleave(len(places))
    return moved_conv(x, kernel, weight.shape[-1], every, padding=padding)


def moved_conv(
    x: Float[Tensor, "B C O H W"],
    kernel: Float[Tensor, "C2 G C OP"],
    kernel_size: int,
    bias: Float[Tensor, " C2G"] | None = None,
    *,
    padding: Padding = "zeros",
) -> Float[Tensor, "B C2 G H W"]:
    """The convolution with tables that are moved already.

    Args:
        x: functions on the group and pixels; O = 1 for images, which are lifted.
        kernel: for every channel and element g of the output, and channel of the input, the entries of a table.
        kernel_size: k, of O k k entries.
        bias: a number per channel and element of the output, or none.
        padding: what lies outside the image.
    """
    pixels, border = x.flatten(1, 2), kernel_size // 2
    if padding == "circular" and border:
        pixels = pad(pixels, (border,) * 4, mode="circular")
        border = 0
    weight = kernel.reshape(kernel.shape[0] * kernel.shape[1], -1, kernel_size, kernel_size)
    return conv2d(pixels, weight, bias, padding=border).unflatten(1, tuple(kernel.shape[:2]))


def _conv_places(group: MatrixGroup, kernel_size: int, *, lifts: bool = False) -> Int[Tensor, "G OP"]:
    """For every g, h and pixel q the place of (g^-1 h, g^-1 q) in a table, h and q flattened; h = 1 only for images.

    Raises: ValueError as `rapidash.groups.moved_back`.
    """
    turned, table = moved_back(group, kernel_size), finite_table(group)
    if lifts:
        return turned
    elements = table.table[table.inverses]  # [g, h]: g^-1 h
    return (elements[:, :, None] * kernel_size**2 + turned[:, None, :]).flatten(1)


class ImageGroupConv(nn.Module):
    r"""Group convolution of functions on a finite group and pixels, with one table for all elements.

    .. math:: y(g, p) = \sum_{h, q} w(g^{-1} h,\, g^{-1} q)\, x(h, p + q) + b

    Pixels q are counted from the middle of the kernel, x to the right and y downward, and turned by permutation, so
    nothing is interpolated; that is why only quarter turns and mirrors of the plane (C1, C2, C4, D1, D2, D4) are
    allowed, for kernels of one pixel any finite group.

    Symmetry: equivariant to the group, images turned about their center, in floating point and at every size; the
    regular representation on both sides, (u x)(h, p) = x(u^-1 h, u^-1 p). With circular padding also to shifts.

    Args:
        group: a finite group G, its elements in the order of `rapidash.groups.finite_table`.
        in_channels, out_channels: C and C', at least 1.
        kernel_size: k, odd.
        use_bias: add b, one number per channel of the output.
        padding: ``"zeros"`` or ``"circular"``: what lies outside the image.
    Shape: x (B, C, G, H, W) -> (B, C', G, H, W).
    Raises: ValueError for a group that is not finite or takes pixels between pixels, a size outside the above, or
        another shape.
    Source: Cohen and Welling, "Group equivariant convolutional networks", ICML 2016. From the equations.
    """

    places: Tensor
    lifts = False

    def __init__(
        self,
        group: MatrixGroup,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        use_bias: bool = True,
        padding: Padding = "zeros",
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels) < 1:
            raise ValueError(f"channels must be at least 1, got {in_channels=}, {out_channels=}")
        _check_kernel(kernel_size, padding)
        places = _conv_places(group, kernel_size, lifts=self.lifts)
        self.group, self.padding = group, padding
        on_group = 1 if self.lifts else len(places)
        shape = (out_channels, in_channels, on_group, kernel_size, kernel_size)
        bound = (in_channels * on_group * kernel_size**2) ** -0.5  # the variance of torch.nn.Conv2d's weights
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if use_bias else None
        self.register_buffer("places", places, persistent=False)

    def forward(self, x: Float[Tensor, "B C G H W"]) -> Float[Tensor, "B C2 G H W"]:
        """See the class."""
        expected = self.weight.shape[1:3]
        if x.dim() != 5 or x.shape[1:3] != expected:
            raise ValueError(
                f"x must be functions on {self.group.name} (B, {expected[0]}, {expected[1]}, H, W), "
                f"got shape {tuple(x.shape)}"
            )
        return fiber_conv(x, self.weight, self.places, self.bias, padding=self.padding)


class ImageLifting(ImageGroupConv):
    r"""Lifting convolution of images to functions on a finite group and pixels.

    .. math:: y(g, p) = \sum_q w(g^{-1} q)\, x(p + q) + b

    Symmetry, arguments, errors and source: as `ImageGroupConv`; the input is an image of scalars, (u x)(p) = x(u^-1 p).

    Shape: x (B, C, H, W) -> (B, C', G, H, W).
    """

    lifts = True

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 G H W"]:
        """See the class."""
        channels = self.weight.shape[1]
        if x.dim() != 4 or x.shape[1] != channels:
            raise ValueError(f"x must be images (B, {channels}, H, W), got shape {tuple(x.shape)}")
        return fiber_conv(x[:, :, None], self.weight, self.places, self.bias, padding=self.padding)


class CenteredMaxPool(nn.Module):
    """The largest of 3 x 3 pixels around every second pixel, so that the pixels that are left have the same center.

    Symmetry: exact under quarter turns and mirrors, for odd sizes; an even image has no middle pixel, and every second
    one is off the center.

    Shape: x (B, C, G, H, W) -> (B, C, G, (H + 1) / 2, (W + 1) / 2).
    Raises: ValueError for an even height or width.
    """

    def forward(self, x: Float[Tensor, "B C G H W"]) -> Float[Tensor, "B C G H2 W2"]:
        """See the class."""
        height, width = x.shape[-2:]
        if height % 2 == 0 or width % 2 == 0:
            raise ValueError(
                f"pooling keeps turns of images of odd size only, got {height} x {width}: pad or resize to an odd size"
            )
        return max_pool2d(x.flatten(1, 2), 3, stride=2, padding=1).unflatten(1, x.shape[1:3])


def _check_kernel(kernel_size: int, padding: str) -> None:
    """Raise ValueError for an even kernel, or an unknown padding."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, so that the kernel has a middle pixel, got {kernel_size}")
    if padding not in get_args(Padding):
        raise ValueError(f"padding must be one of {get_args(Padding)}, got {padding!r}")
