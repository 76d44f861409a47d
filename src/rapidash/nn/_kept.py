"""Values made of weights alone, kept between passes without gradients."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from rapidash.geometry import is_watched, num_changes
from rapidash.ops import product_settings


class Kept:
    """A tensor made by a layer of nothing but weights, kept until one of them changes, or what multiplies them does.

    Weights are compared by their values, for what writes into ``weight.data`` changes no count of torch's; on other
    devices than the CPU, where that would wait for them, nothing is kept. A pass with gradients drops the tensor.
    A copy of the owner, or one that was pickled, makes its own.
    """

    def __init__(self) -> None:
        # the value; the tensor that was given, and torch's count of its changes; the weights; `product_settings`
        self._kept: tuple[Tensor, Tensor | None, int, list[Tensor], tuple[str, ...]] | None = None

    def value(
        self, make: Callable[[], Tensor], layer: nn.Module, weights: tuple[Tensor, ...], given: Tensor | None = None
    ) -> Tensor:
        """``make()``, or what it gave before for the same weights.

        Args:
            make: calls the layer.
            layer: called in every pass while hooks watch it.
            weights: all that the value depends on, besides ``given``.
            given: a tensor that is kept elsewhere: another one, or one that was written into, makes another value.
        """
        if is_watched(*weights):
            return make()
        if torch.is_grad_enabled() or torch.is_autocast_enabled(weights[0].device.type) or is_hooked(layer):
            self._kept = None
            return make()
        if any(weight.device.type != "cpu" for weight in weights):
            return make()
        kept, count, settings = self._kept, num_changes(given), product_settings()
        is_kept = kept is not None and kept[1] is given and kept[2] == count and kept[4] == settings
        if kept is None or not is_kept or not are_same(weights, kept[3]):  # read once: another thread may write it
            kept = self._kept = make(), given, count, copies(weights), settings
        return kept[0]

    def __getstate__(self) -> dict[str, Any]:
        return {"_kept": None}


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
