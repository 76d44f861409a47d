"""The parts of the MLPs on channels and on components that are alike: the layer scale, gradients of the norm."""

import torch
from torch import Tensor


def scaled(w2: Tensor, b2: Tensor, scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """The layer scale belongs to the last maps (..., C', H): scaling weights is cheaper than scaling features."""
    return (w2, b2) if scale is None else (scale[:, None] * w2, scale * b2)


def unscaled_gradients(
    grad_w2: Tensor, grad_b2: Tensor, w2: Tensor, b2: Tensor, scale: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of w2, b2 and scale from those of what `scaled` gives; that of no scale is empty."""
    if scale is None:
        return grad_w2, grad_b2, w2.new_empty(0)
    others = [axis for axis in range(w2.ndim) if axis != w2.ndim - 2]  # than that of the output channels
    grad_scale = (grad_w2 * w2).sum(dim=others) + grad_b2 * b2
    return scale[:, None] * grad_w2, scale * grad_b2, grad_scale


class NormGradients:
    """Gradients of a layer norm over the last axis, from chunks of rows: of its input, its weight and its bias.

    Args:
        x: the input of all rows.
        weight, bias: of the norm.
        for_x, for_parameters: which are wanted; that of x is empty, or those of the others zeros, where they are not.
    """

    def __init__(self, x: Tensor, weight: Tensor, bias: Tensor, for_x: bool, for_parameters: bool) -> None:
        self._given, self._wanted = (x, weight, bias), (for_x, for_parameters)
        self.of_x = torch.empty_like(x) if for_x else x.new_empty(0)
        self.of_weight, self.of_bias = torch.zeros_like(weight), torch.zeros_like(bias)

    def add(self, grad: Tensor, rows: slice, mean: Tensor, inverse: Tensor) -> None:
        """Those of some rows, from the gradient of what is normalized, its mean, and one over its deviation."""
        (x, weight, bias), (for_x, for_parameters) = self._given, self._wanted
        parts = torch.ops.aten.native_layer_norm_backward(
            grad, x[rows], x.shape[-1:], mean, inverse, weight, bias, [for_x] + 2 * [for_parameters]
        )
        if for_x:
            self.of_x[rows] = parts[0]
        if for_parameters:
            self.of_weight += parts[1]
            self.of_bias += parts[2]
