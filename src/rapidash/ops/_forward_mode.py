"""Dual numbers of forward-mode derivatives, taken apart before a fused kernel and put together after it."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional


def is_active() -> bool:
    """Whether a level of dual numbers is open."""
    return forward_ad._current_level >= 0


def is_differentiated_again(*tensors: Tensor | None) -> bool:
    """Whether a derivative of a forward-mode derivative may follow, as in ``jacrev(jacfwd(f))``."""
    if torch.compiler.is_compiling() or not is_active():
        return False
    kinds = torch._C._functorch.TransformType
    levels = [level.key() for level in torch._C._functorch.get_interpreter_stack() or []]
    if levels.count(kinds.Jvp) and levels.count(kinds.Jvp) + levels.count(kinds.Grad) > 1:
        return True
    return tracks_gradients(*tensors)


def has_tangent(*tensors: Tensor | None) -> bool:
    """Whether any of the tensors is a dual number; never in a traced graph."""
    if torch.compiler.is_compiling() or not is_active():
        return False
    return any(tensor is not None and split_dual(tensor)[1] is not None for tensor in tensors)


def tracks_gradients(*given: Any) -> bool:
    """Whether a gradient of what is computed from these may follow: then no part of it may be kept apart.

    What is no tensor does not count.
    """
    return torch.is_grad_enabled() and any(isinstance(one, Tensor) and one.requires_grad for one in given)


def split_dual(tensor: Tensor) -> tuple[Tensor, Tensor | None]:
    """Value and tangent; None for a tangent that is known to be zero."""
    dual = forward_ad.unpack_dual(tensor)
    is_zero = dual.tangent is None or dual.tangent._is_zerotensor()
    return dual.primal, None if is_zero else dual.tangent


def split_duals(*tensors: Tensor | None) -> tuple[tuple[Tensor | None, ...], tuple[Tensor | None, ...]]:
    """The values and the tangents of several tensors; None has neither."""
    pairs = [(None, None) if tensor is None else split_dual(tensor) for tensor in tensors]
    return tuple(value for value, _ in pairs), tuple(tangent for _, tangent in pairs)


def join_dual(pair: tuple[Tensor, Tensor]) -> Tensor:
    """The dual number with this value and tangent."""
    dual: Tensor = forward_ad.make_dual(*pair)
    return dual


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T; in forward mode one product more, where torch also adds the zeros that a constant weight contributes."""
    if has_tangent(x) and not has_tangent(weight) and not tracks_gradients(x, weight):
        value, tangent = split_dual(x)
        assert tangent is not None
        return join_dual((functional.linear(value, weight), functional.linear(tangent, weight)))
    return functional.linear(x, weight)
