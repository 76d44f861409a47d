"""Values made of weights alone, kept between passes without gradients."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module

from rapidash.geometry import is_transforming


class Kept:
    """A tensor made by a layer of nothing but weights, kept until one of them changes.

    Weights are compared by their values, for what writes into ``weight.data`` changes no count of torch's; on other
    devices than the CPU, where that would wait for them, nothing is kept. A pass with gradients drops the tensor.
    A copy of the owner, or one that was pickled, makes its own.
    """

    def __init__(self) -> None:
        self._weights: list[Tensor] = []
        self._given: Tensor | None = None
        self._value: Tensor | None = None

    def value(
        self, make: Callable[[], Tensor], layer: nn.Module, weights: tuple[Tensor, ...], given: Tensor | None = None
    ) -> Tensor:
        """``make()``, or what it gave before for the same weights.

        Args:
            make: calls the layer.
            layer: called in every pass while hooks watch it.
            weights: all that the value depends on, besides ``given``.
            given: a tensor that is kept elsewhere: another one makes another value.
        """
        if torch.compiler.is_compiling() or is_transforming() or forward_ad._current_level >= 0:
            return make()
        if torch.is_grad_enabled() or torch.is_autocast_enabled(weights[0].device.type) or is_hooked(layer):
            self._weights, self._given, self._value = [], None, None
            return make()
        if any(weight.device.type != "cpu" for weight in weights):
            return make()
        if self._value is None or given is not self._given or not are_same(weights, self._weights):
            self._value, self._given = make(), given
            self._weights = copies(weights)
        return self._value

    def __getstate__(self) -> dict[str, Any]:
        return {"_weights": [], "_given": None, "_value": None}


def is_hooked(layer: nn.Module) -> bool:
    """Whether anything waits for a call of the layer, or of one inside."""
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        return True
    return any(part._forward_hooks or part._forward_pre_hooks for part in layer.modules())


def copies(weights: Iterable[Tensor]) -> list[Tensor]:
    """The values of weights as they are now."""
    return [weight.detach().clone() for weight in weights]


def are_same(weights: Sequence[Tensor], kept: Sequence[Tensor]) -> bool:
    """Whether weights still have the values, type and device of some copies."""
    return len(weights) == len(kept) and all(
        now.dtype == then.dtype and now.device == then.device and torch.equal(now, then)
        for now, then in zip(weights, kept, strict=True)
    )
