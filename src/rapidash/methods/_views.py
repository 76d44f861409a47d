"""The views of a model that methods have modified: as it is, projected, ..."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import nn

from rapidash._names import unknown_name
from rapidash.methods._average import AVERAGED
from rapidash.methods._method import FULL, Method
from rapidash.methods._task import Task
from rapidash.methods._variant import Variant
from rapidash.symmetry import Ledger


def view_names(methods: Sequence[Method], model: nn.Module) -> list[str]:
    """The views of a modified model: as it is, and those of its methods."""
    return list(dict.fromkeys([FULL, *(name for method in methods for name in method.views(model))]))


def view_ledger(task: Task, variant: Variant, view: str) -> Ledger:
    """The symmetry of one view of a variant: that of the task's network, and what each method says of it.

    Args:
        task, variant: what was built.
        view: a view of the model, or ``"averaged"``, the average of the primary view's predictions.
    """
    ledger = task.ledger(variant)
    inner = variant.primary_view if view == AVERAGED else view
    for method in variant.methods:
        ledger = method.ledger(ledger, view if method.average() is not None else inner)
    return ledger


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
