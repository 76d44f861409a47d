"""The ConvNeXt block on group features."""

from abc import ABC, abstractmethod
from typing import Any, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from rapidash.nn._group_conv import GroupConv
from rapidash.nn._kernel import EdgeKernel
from rapidash.nn._orientation_components import OrientationComponents
from rapidash.nn._orientation_linear import OrientationLinear
from rapidash.ops import channel_mlp, component_mlp


class Block(nn.Module, ABC):
    """A layer of a network on group features, or a wrapper of one: what a network calls, and calibrates.

    Shape: x (S, O, C) -> (T, O, C').
    """

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "S O C"],
        edges: EdgeKernel,
        fiber_basis: Float[Tensor, "O O basis"] | None,
        grid: Float[Tensor, "grid D"],
        pairs: tuple[Float[Tensor, "S P"], Float[Tensor, "T P"]] | None = None,
    ) -> Float[Tensor, "T O C2"]:
        """The features after the layer.

        Args:
            x: features.
            edges: the kernels of the edges.
            fiber_basis: the kernel basis on pairs of orientations, None without orientations.
            grid: the orientations.
            pairs: pair scalars at the sources and at the targets.
        """

    @abstractmethod
    def calibrate(
        self,
        x: Float[Tensor, "S O C"],
        edges: EdgeKernel,
        fiber_basis: Float[Tensor, "O O basis"] | None,
        grid: Float[Tensor, "grid D"],
        pairs: tuple[Float[Tensor, "S P"], Float[Tensor, "T P"]] | None = None,
    ) -> None:
        """Rescale the fresh layer on this input."""


class ConvNextBlock(Block):
    """Group convolution, LayerNorm, Linear C -> wC, GELU, Linear wC -> C', layer scale, residual.

    Args:
        conv: the convolution, with C channels.
        channels: C.
        out_channels: C'.
        widening: w, at least 1.
        layer_scale: initial factor of the block's output per channel, or None for no factor.
        is_residual: add the input; needs C' = C and the same points on both sides.
        recompute: keep fewer activations and recompute them in the backward pass.
        components: of signals on the orientations: both linear maps then have a weight for each of their parts, see
            `OrientationLinear`; None: one weight, at each orientation alone.
    Shape: x (S, O, C) -> (T, O, C').
    Source: Liu et al., "A ConvNet for the 2020s", CVPR 2022; Vadgama et al., arXiv 2501.01999.
    """

    def __init__(
        self,
        conv: GroupConv,
        channels: int,
        out_channels: int,
        *,
        widening: int = 4,
        layer_scale: float | None = None,
        is_residual: bool = True,
        recompute: bool = False,
        components: OrientationComponents | None = None,
    ) -> None:
        super().__init__()
        if is_residual and channels != out_channels:
            raise ValueError(f"a residual block needs equal widths, got {channels=}, {out_channels=}")
        self.conv = conv
        self.norm = nn.LayerNorm(channels)
        self.linear_1 = _linear(components, channels, widening * channels)
        self.linear_2 = _linear(components, widening * channels, out_channels)
        self.layer_scale = None if layer_scale is None else nn.Parameter(torch.full((out_channels,), layer_scale))
        self.is_residual = is_residual
        self.recompute = recompute

    def forward(
        self,
        x: Float[Tensor, "S O C"],
        edges: EdgeKernel,
        fiber_basis: Float[Tensor, "O O basis"] | None,
        grid: Float[Tensor, "grid D"],
        pairs: tuple[Float[Tensor, "S P"], Float[Tensor, "T P"]] | None = None,
        *,
        output: nn.Linear | None = None,
    ) -> Float[Tensor, "T O C3"]:
        """See the class; with ``output`` the features are mapped by it, C' -> C''."""
        if isinstance(self.linear_1, OrientationLinear):
            out = self._by_components(x, edges, fiber_basis, grid, pairs)
            return out if output is None else output(out)
        residual = x if self.is_residual else None
        if output is not None and residual is not None:
            residual = linear(residual, output.weight)
        return channel_mlp(
            self.conv(x, edges, fiber_basis, grid, pairs),
            residual,
            self.norm.weight,
            self.norm.bias,
            self.linear_1.weight,
            self.linear_1.bias,
            *self._second_map(output),
            recompute=self.recompute,
            backend=edges.backend,
        )

    def calibrate(
        self,
        x: Float[Tensor, "S O C"],
        edges: EdgeKernel,
        fiber_basis: Float[Tensor, "O O basis"] | None,
        grid: Float[Tensor, "grid D"],
        pairs: tuple[Float[Tensor, "S P"], Float[Tensor, "T P"]] | None = None,
    ) -> None:
        """Rescale the kernels on this input, see `GroupConv.calibrate`."""
        self.conv.calibrate(x, edges, fiber_basis, grid, pairs)

    def _by_components(self, x: Tensor, *inputs: Any) -> Tensor:
        """With weights for the parts of a signal on the orientations."""
        first, second, mixed = self.linear_1, self.linear_2, self.conv(x, *inputs)
        if _is_plain(first) and _is_plain(second):
            return component_mlp(
                mixed,
                x if self.is_residual else None,
                self.norm.weight,
                self.norm.bias,
                torch.stack(list(first.weights)),
                first.bias,
                torch.stack(list(second.weights)),
                second.bias,
                self.layer_scale,
                first.analysis,
                first.synthesis,
                [part.dim for part in first.parts],
                recompute=self.recompute,
                backend=inputs[0].backend,
            )
        hidden = gelu(first(self.norm(mixed)))
        out: Tensor = second(hidden)
        if self.layer_scale is not None:
            out = out * self.layer_scale
        return x + out if self.is_residual else out

    def _second_map(self, output: nn.Linear | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Weight, bias and scale; the product with ``output`` is formed first, which with few outputs is cheaper."""
        assert isinstance(self.linear_2, nn.Linear)
        weight, bias, scale = self.linear_2.weight, self.linear_2.bias, self.layer_scale
        if output is None:
            return weight, bias, scale
        mixing = output.weight if scale is None else output.weight * scale
        return mixing @ weight, linear(bias, mixing, output.bias), None


def _is_plain(layer: nn.Module) -> TypeGuard[OrientationLinear]:
    """Whether a layer has a matrix for every part, none of which comes in copies, and is no other kind of layer."""
    return type(layer) is OrientationLinear and all(part.copies == 1 for part in layer.parts)


def _linear(
    components: OrientationComponents | None, channels: int, out_channels: int
) -> nn.Linear | OrientationLinear:
    """A linear map of channels, at each orientation alone or with a weight for each part of the signal."""
    if components is None:
        return nn.Linear(channels, out_channels)
    return OrientationLinear(components, channels, out_channels)
