"""Relaxed group convolution for finite groups: filter banks whose weights may depend on the group element."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d

from rapidash.groups import MatrixGroup, finite_table, moved_back
from rapidash.relax._bank_weights import BankWeights

Side = Literal["in", "out"]


class RelaxedGroupConv(nn.Module):
    r"""Group convolution of functions on a finite group with L filter banks, weighted element by element.

    .. math::
        y(g, p) = \sum_{h, q} \sum_l w_l(h)\, \psi_l(g^{-1} h,\, g^{-1} q)\, x(h, p + q) + b

    with ``side="out"`` :math:`w_l(g)` in place of :math:`w_l(h)`. Pixels q are counted from the middle of the kernel
    and turned exactly, by permutation; outside the image x is zero. The cost over a group convolution is that of
    summing the banks into one kernel.

    Symmetry: equivariant to the group where every w_l is constant, as at first (1 / L); the regular representation on
    both sides, (u x)(h, p) = x(u^-1 h, u^-1 p), with p from the center of the image.

    Args:
        group: a finite group G; for kernels of more than one pixel its elements are quarter turns and mirrors of the
            plane, such as ``cyclic(4)`` and ``dihedral(4)``.
        in_channels, out_channels: C and C', at least 1.
        banks: L, at least 1.
        kernel_size: k, odd.
        side: ``"in"``: the weight is that of the input's element h (the published formula); ``"out"``: of the output's
            g (the published code).
        use_bias: add b, one number per channel of the output.
    Shape: x (B, C, G) with ``kernel_size=1``, or images (B, C, G, H, W) -> the same with C' channels.
    Raises: ValueError for a group that is not finite or cannot turn the pixels, a size outside the above, or another
        shape.
    Source: Wang et al., arXiv 2201.11969; Wang et al., arXiv 2310.02299. From the equations.
    """

    places: Tensor

    def __init__(
        self,
        group: MatrixGroup,
        in_channels: int,
        out_channels: int,
        *,
        banks: int = 4,
        kernel_size: int = 1,
        side: Side = "in",
        use_bias: bool = True,
    ) -> None:
        super().__init__()
        _check(in_channels, out_channels, kernel_size, side)
        table, pixels = finite_table(group), kernel_size**2
        order = len(table)
        turned = moved_back(group, kernel_size)
        elements = table.table[table.inverses]  # [g, h]: g^-1 h
        self.group, self.side, self.kernel_size = group, side, kernel_size
        self.sizes = (out_channels, in_channels, order)
        self.bank_weights = BankWeights(banks, order)
        self.filters = _filters(banks, (out_channels, in_channels, order * pixels), in_channels * order * pixels)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if use_bias else None
        self.register_buffer("places", elements[:, :, None] * pixels + turned[:, None, :], persistent=False)

    def kernel(self) -> Float[Tensor, "C2 G C G P"]:
        """The sum of the banks for every pair of elements (g, h) and pixel."""
        spread = self.filters[..., self.places]
        where = "lh" if self.side == "in" else "lg"
        return torch.einsum(f"{where},loighp->ogihp", self.bank_weights(), spread)

    def forward(self, x: Float[Tensor, "B C G *HW"]) -> Float[Tensor, "B C2 G *HW"]:
        """See the class."""
        out_channels, in_channels, order = self.sizes
        dims = (3, 5) if self.kernel_size == 1 else (5,)
        if x.dim() not in dims or x.shape[1:3] != (in_channels, order):
            images = f"(B, {in_channels}, {order}, H, W)"
            expected = images if self.kernel_size > 1 else f"(B, {in_channels}, {order}) or {images}"
            raise ValueError(f"x must have shape {expected}, got {tuple(x.shape)}")
        pixels = x.flatten(1, 2) if x.dim() == 5 else x.flatten(1, 2)[..., None, None]
        k = self.kernel_size
        weight = self.kernel().reshape(out_channels * order, in_channels * order, k, k)
        bias = None if self.bias is None else self.bias.repeat_interleave(order)
        out = conv2d(pixels, weight, bias, padding=k // 2)
        return out.reshape(len(x), out_channels, order, *x.shape[3:])


class RelaxedLifting(nn.Module):
    r"""Lifting convolution of images to functions on a finite group and pixels, with L weighted filter banks.

    .. math:: y(g, p) = \sum_l w_l(g) \sum_q \psi_l(g^{-1} q)\, x(p + q) + b

    The input has no group element, so the weights are those of the output's. Symmetry, arguments, errors and source: as
    `RelaxedGroupConv`; the input is an image of scalars, (u x)(p) = x(u^-1 p).

    Shape: x (B, C, H, W) -> (B, C', G, H, W).
    """

    places: Tensor

    def __init__(
        self,
        group: MatrixGroup,
        in_channels: int,
        out_channels: int,
        *,
        banks: int = 4,
        kernel_size: int = 3,
        use_bias: bool = True,
    ) -> None:
        super().__init__()
        _check(in_channels, out_channels, kernel_size, "out")
        order, pixels = len(finite_table(group)), kernel_size**2
        self.group, self.kernel_size, self.sizes = group, kernel_size, (out_channels, in_channels, order)
        self.bank_weights = BankWeights(banks, order)
        self.filters = _filters(banks, (out_channels, in_channels, pixels), in_channels * pixels)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if use_bias else None
        self.register_buffer("places", moved_back(group, kernel_size), persistent=False)

    def kernel(self) -> Float[Tensor, "C2 G C P"]:
        """The sum of the banks for every element g and pixel."""
        return torch.einsum("lg,loigp->ogip", self.bank_weights(), self.filters[..., self.places])

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 G H W"]:
        """See the class."""
        out_channels, in_channels, order = self.sizes
        if x.dim() != 4 or x.shape[1] != in_channels:
            raise ValueError(f"x must be images (B, {in_channels}, H, W), got shape {tuple(x.shape)}")
        k = self.kernel_size
        weight = self.kernel().reshape(out_channels * order, in_channels, k, k)
        bias = None if self.bias is None else self.bias.repeat_interleave(order)
        return conv2d(x, weight, bias, padding=k // 2).unflatten(1, (out_channels, order))


def _filters(banks: int, shape: tuple[int, ...], fan_in: int) -> nn.Parameter:
    """Independent banks whose mean has the variance of `torch.nn.Linear`'s weights."""
    bound = (banks / fan_in) ** 0.5
    return nn.Parameter(torch.empty(banks, *shape).uniform_(-bound, bound))


def _check(in_channels: int, out_channels: int, kernel_size: int, side: str) -> None:
    if min(in_channels, out_channels) < 1:
        raise ValueError(f"channels must be at least 1, got {in_channels=}, {out_channels=}")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, so that the kernel has a middle pixel, got {kernel_size}")
    if side not in get_args(Side):
        raise ValueError(f"side must be one of {get_args(Side)}, got {side!r}")
