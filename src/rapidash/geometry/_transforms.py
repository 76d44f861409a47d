"""The transforms of torch.func wrap tensors: searches, which look at values, run outside of them."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.autograd import forward_ad

P = ParamSpec("P")
R = TypeVar("R")
_PLAIN = (Tensor, nn.Parameter)
_VMAP_MODE = torch._C._dispatch_key_parse("VmapMode")  # of the older vmap, of is_grads_batched and vectorize


def on_values(search: Callable[P, R]) -> Callable[P, R]:
    """The function, run on the values of its tensors: within ``torch.func.grad`` as without.

    Raises: ValueError within vmap over these tensors, where each element has its own values.
    """

    @wraps(search)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling() or not is_transforming():
            return search(*args, **kwargs)
        plain = [_value(given) for given in args]
        named = {name: _value(given) for name, given in kwargs.items()}
        if torch._C._functorch.peek_interpreter_stack() is None:
            return search(*plain, **named)
        with temporarily_clear_interpreter_stack():
            return search(*plain, **named)

    return run


def is_transforming() -> bool:
    """Whether tensors may be wrapped at all: a cheap question, asked in every call of an op."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return True
    return torch._C._dispatch_tls_is_dispatch_key_included(_VMAP_MODE)


def is_watched(*given: Any) -> bool:
    """Whether anything but a gradient needs to see what is done with these tensors, so that it has to be done by torch.

    A trace, a transform, a mode, a profile, or a tensor of another kind; arguments that are no tensors do not count.
    """
    if torch.compiler.is_compiling() or is_transforming() or forward_ad._current_level >= 0:
        return True
    if torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack():
        return True
    if torch._C._autograd._profiler_enabled():
        return True
    if torch._C._get_tracing_state() is not None:  # of torch.jit.trace
        return True
    for value in given:  # noqa: SIM110 -- a generator takes three times as long
        if type(value) not in _PLAIN and isinstance(value, Tensor):
            return True
    return False


def is_differentiated(tensor: Tensor) -> bool:
    """Whether a gradient by this tensor is wanted: it requires one, or a transform of torch.func takes one."""
    if tensor.requires_grad:
        return True
    functorch = torch._C._functorch
    while not torch.compiler.is_compiling() and functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_gradtrackingtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return False


def _value(given: Any) -> Any:
    """A tensor without the wrappers of torch.func; anything else as it is."""
    functorch = torch._C._functorch
    while isinstance(given, Tensor):
        if functorch.is_batchedtensor(given) or functorch.is_legacy_batchedtensor(given):
            raise ValueError(
                "neighbors cannot be searched within vmap: every element has its own positions, and its own edges. "
                "Put the clouds into one batch instead, with batch= the cloud of each point, or connect the points "
                "outside, where the edges are the same for all, and pass hierarchy="
            )
        if not functorch.is_functorch_wrapped_tensor(given):
            return given
        given = functorch.get_unwrapped(given)
    return given
