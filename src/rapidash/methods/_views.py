"""The views of a model that methods have modified: as it is, projected, ..."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import nn

from rapidash._names import unknown_name
from rapidash.methods._method import FULL, Method


def view_names(methods: Sequence[Method], model: nn.Module) -> list[str]:
    """The views of a modified model: as it is, and those of its methods."""
    return list(dict.fromkeys([FULL, *(name for method in methods for name in method.views(model))]))


@contextmanager
def in_view(model: nn.Module, methods: Sequence[Method], view: str) -> Iterator[None]:
    """Within the block the model is this view: every method that has it is in it.

    Raises: ValueError for a view that no method has.
    """
    entered = [views[view] for method in methods if view in (views := method.views(model))]
    if view != FULL and not entered:
        raise ValueError(unknown_name("view of the model", view, view_names(methods, model)))
    with ExitStack() as stack:
        for enter in entered:
            stack.enter_context(enter(model))
        yield
