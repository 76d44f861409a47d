"""Weights of several losses that keep the sizes of their gradients in proportion."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rapidash._names import unknown_name
from rapidash._plain import check_fields

_LEAST = 1e-3  # no weight falls below


@dataclass(frozen=True)
class GradNorm:
    r"""Weights w of losses L that follow their gradients at one layer, G_i = w_i ||dL_i / dW||.

    Each step moves a weight toward the target :math:`\bar G\,(r_i / \bar r)^a`, where :math:`r_i = L_i / L_i(0)` is
    what is left of a loss: a loss that falls slowly gets larger gradients. Since dG_i / dw_i = ||dL_i / dW||, the step
    :math:`w_i \leftarrow w_i - \eta\,\mathrm{sign}(G_i - \text{target}_i)\, ||dL_i / dW||` needs no second derivative,
    and leaves the gradients of the network alone. The weights stay positive and sum to their number.

    Args:
        exponent: a, at least 0; 0 makes all gradients equally large.
        lr: eta, the rate of the weights.
        layer: name of the module or parameter W whose gradients count; empty: the last matrix that all losses reach.
    Raises: ValueError for values outside the above.
    Source: Chen et al., "GradNorm", ICML 2018; the constants are those of a public re-implementation of REMUL.
    """

    exponent: float = 1.5
    lr: float = 0.025
    layer: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        if not (0 <= self.exponent < math.inf and 0 < self.lr < math.inf):
            raise ValueError(f"exponent must be at least 0 and lr above 0, got {self.exponent} and {self.lr}")


def gradnorm_step(
    weights: Sequence[float], norms: Sequence[float], ratios: Sequence[float], settings: GradNorm
) -> list[float]:
    """The weights after one step, from the norms ||dL_i / dW|| and what is left of each loss, L_i / L_i(0)."""
    sizes = [weight * norm for weight, norm in zip(weights, norms, strict=True)]
    mean_size, mean_ratio = sum(sizes) / len(sizes), sum(ratios) / len(ratios)
    moved = []
    for weight, norm, size, ratio in zip(weights, norms, sizes, ratios, strict=True):
        target = mean_size * (ratio / mean_ratio) ** settings.exponent if mean_ratio > 0 else mean_size
        sign = (size > target) - (size < target)
        moved.append(max(_LEAST, weight - settings.lr * sign * norm))
    return [weight * len(moved) / sum(moved) for weight in moved]


class BalancedWeights:
    """The weights of a run, moved by `GradNorm`.

    Args:
        settings: of GradNorm.
        model: whose layer it looks at.
        weights: by name of the losses, the initial weights; they are scaled to sum to their number.
    Raises: ValueError for a layer that the model does not have.
    """

    def __init__(self, settings: GradNorm, model: nn.Module, weights: Mapping[str, float]) -> None:
        self.settings, self.model = settings, model
        self.losses = tuple(weights)
        self.weights = [value * len(weights) / sum(weights.values()) for value in weights.values()]
        self.first: list[float] = []  # the losses of the first step
        self.names = _named(model, settings.layer) if settings.layer else []

    def step(self, losses: Sequence[Tensor]) -> None:
        """Move the weights by the gradients of the losses, whose graphs are kept.

        Raises: ValueError for a parameter that no loss reaches.
        """
        if not self.first:
            self.first = [float(loss.detach()) for loss in losses]
            self._check_reached(losses)
        parameters = dict(self.model.named_parameters())
        chosen = [parameters[name] for name in self.names]
        norms = [_norm(_gradients(loss, chosen)) for loss in losses]
        ratios = [float(loss.detach()) / start if start else 0.0 for loss, start in zip(losses, self.first)]
        self.weights = gradnorm_step(self.weights, norms, ratios, self.settings)

    def state_dict(self) -> dict[str, Any]:
        """Weights, first losses and the layer."""
        return {"weights": list(self.weights), "first": list(self.first), "names": list(self.names)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self.weights, self.first, self.names = (list(state[key]) for key in ("weights", "first", "names"))

    def _check_reached(self, losses: Sequence[Tensor]) -> None:
        """Choose the layer if none is named, and refuse one that does not tell anything."""
        parameters = dict(self.model.named_parameters())
        matrices = [name for name, value in parameters.items() if value.dim() > 1 and value.requires_grad]
        reached = self._reached(losses, matrices)
        common = [name for name in matrices if all(name in found for found in reached)]
        advice = f"take one that all of them reach, such as layer={common[-1]!r}" if common else "there is no such one"
        if not self.names:
            if not common:
                raise ValueError(f"GradNorm needs a matrix that the losses {' and '.join(self.losses)} all reach")
            self.names = common[-1:]
            return
        found = self._reached(losses, self.names)
        for name in self.names:
            if not any(name in names for names in found):
                raise ValueError(f"GradNorm looks at the parameter {name!r}, which no loss reaches: {advice}")
        for loss, names in zip(self.losses, found):
            if not names:
                raise ValueError(f"GradNorm looks at {self.settings.layer!r}, which the {loss} loss misses: {advice}")

    def _reached(self, losses: Sequence[Tensor], names: Sequence[str]) -> list[set[str]]:
        parameters = dict(self.model.named_parameters())
        found = [_gradients(loss, [parameters[name] for name in names]) for loss in losses]
        return [{n for n, gradient in zip(names, gradients) if gradient is not None} for gradients in found]


def _named(model: nn.Module, layer: str) -> list[str]:
    """The trainable parameters of a layer."""
    names = [name for name, _ in model.named_parameters() if name == layer or name.startswith(f"{layer}.")]
    if not names:
        known = [name for name, module in model.named_modules() if name and next(module.parameters(), None) is not None]
        raise ValueError(unknown_name("layer with parameters, for GradNorm:", layer, known))
    return names


def _gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor | None]:
    """By parameter; None where the loss does not reach it."""
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    if not wanted or not loss.requires_grad:
        return [None] * len(parameters)
    found = iter(torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True))
    return [next(found) if parameter.requires_grad else None for parameter in parameters]


def _norm(gradients: Sequence[Tensor | None]) -> float:
    there = [gradient for gradient in gradients if gradient is not None]
    return float(torch.stack([gradient.square().sum() for gradient in there]).sum().sqrt()) if there else 0.0
