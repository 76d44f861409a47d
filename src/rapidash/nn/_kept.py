"""Values made of weights alone, kept between passes without gradients."""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module

from rapidash.geometry import is_transforming


class Kept:
    """A tensor made by a layer of nothing but weights, kept until one of them changes.

    A pass with gradients drops it: an optimizer step may follow, and a fused one does not tell the weights that it did.
    A copy of the owner, or one that was pickled, makes its own.
    """

    def __init__(self) -> None:
        self._state: list[Hashable] | None = None
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
            self._state = self._given = self._value = None
            return make()
        state = [state_of(weight) for weight in weights]
        if self._value is None or state != self._state or given is not self._given:
            self._value, self._state, self._given = make(), state, given
        return self._value

    def __getstate__(self) -> dict[str, Any]:
        return {"_state": None, "_given": None, "_value": None}


def is_hooked(layer: nn.Module) -> bool:
    """Whether anything waits for a call of the layer, or of one inside."""
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        return True
    return any(part._forward_hooks or part._forward_pre_hooks for part in layer.modules())


class _Same:
    """A tensor that equals itself alone; kept, so that no other one takes its place in memory."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.tensor is self.tensor

    def __hash__(self) -> int:
        return id(self.tensor)


def state_of(weight: Tensor) -> Hashable:
    """A key that changes whenever the values may have changed; never twice the same if torch does not count changes."""
    version = object() if weight.is_inference() else weight._version
    return _Same(weight), weight.data_ptr(), version, weight.dtype, weight.device
