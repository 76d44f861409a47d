"""Custom ops that are called past torch's dispatcher where nobody there waits for them."""

from collections.abc import Callable
from typing import Any

import torch

from rapidash.geometry import is_watched
from rapidash.ops._forward_mode import tracks_gradients


class DirectOp:
    """A custom op of torch, whose implementation is called at once where no graph, count or transform needs the op.

    On small tensors the way through the dispatcher and back into Python costs more than the implementation. The
    gradient is the same function in both ways.

    Args:
        name: of the op, with its namespace.
        implementation: with annotations, from which torch takes the schema; its outputs share no memory with its
            inputs.
    """

    def __init__(self, name: str, implementation: Callable[..., Any]) -> None:
        self.implementation = implementation
        self.op = torch.library.custom_op(name, implementation, mutates_args=())
        self.register_fake = self.op.register_fake
        self._function: Any = None

    def register_autograd(self, backward: Callable[..., Any], *, setup_context: Callable[..., None]) -> None:
        """As that of `torch.library.custom_op`; a list of outputs has one gradient there, a list, and here many."""
        self.op.register_autograd(backward, setup_context=setup_context)

        def forward(ctx: Any, *args: Any) -> Any:
            output = self.implementation(*args)
            setup_context(ctx, args, output)
            return tuple(output) if isinstance(output, list) else output  # no output of a list would have a graph

        methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
        self._function = type("DirectOpFunction", (torch.autograd.Function,), methods)

    def __call__(self, *args: Any) -> Any:
        """The op of these arguments, all by position."""
        if is_watched(*args):
            return self.op(*args)
        if not tracks_gradients(*args):
            return self.implementation(*args)
        if self._function is None:
            return self.op(*args)  # whose outputs say, when their gradient is asked for, that there is none
        return self._function.apply(*args)


def direct_op(name: str) -> Callable[[Callable[..., Any]], DirectOp]:
    """Decorator that makes a `DirectOp` of an implementation."""

    def decorate(implementation: Callable[..., Any]) -> DirectOp:
        return DirectOp(name, implementation)

    return decorate
