"""The views of a model that methods have modified: as it is, projected, ..."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from rapidash._names import unknown_name
from rapidash.methods._average import AVERAGED, AveragedModel
from rapidash.methods._method import FULL, Method
from rapidash.methods._task import Task
from rapidash.methods._variant import Variant
from rapidash.symmetry import Ledger


def view_names(methods: Sequence[Method], model: nn.Module) -> list[str]:
    """The views of a modified model: as it is, and those of its methods."""
    return list(dict.fromkeys([FULL, *(name for method in methods for name in method.views(model))]))


def view_ledger(
    task: Task,
    variant: Variant,
    view: str,
    model: nn.Module | None = None,
    weights: Mapping[str, Mapping[str, Any]] | None = None,
) -> Ledger:
    """The symmetry of one view of a variant: that of the task's network, and what each method says of it.

    Args:
        task, variant: what was built.
        view: a view of the model, or ``"averaged"``, the average of the primary view's predictions.
        model: trained, modified by all methods: what they have found then counts too; None: what holds for any.
        weights: of the trained model, as for `seen_in_view`.
    """
    ledger = task.ledger(variant)
    inner = _inner(variant, view)
    finds = [method for method in variant.methods if type(method).learned_ledger is not Method.learned_ledger]
    if model is not None and finds and weights is not None:
        model = copy.deepcopy(model)
        model.load_state_dict(weights[inner])
    for method in variant.methods:
        shown = view if method.average() is not None else inner
        if model is None or method not in finds:
            ledger = method.ledger(ledger, shown)
        else:
            ledger = method.learned_ledger(model, ledger, shown)
    return ledger


def all_view_names(variant: Variant, model: nn.Module) -> list[str]:
    """The views of a modified model, and ``"averaged"`` where the variant averages predictions."""
    return view_names(variant.methods, model) + ([] if variant.average is None else [AVERAGED])


@contextmanager
def seen_in_view(
    model: nn.Module, task: Task, variant: Variant, view: str, weights: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[nn.Module]:
    """A copy of the model in eval mode, as one of `all_view_names` shows it.

    Args:
        model: modified by all methods of the variant; it stays as it is.
        task, variant: what it was built for.
        view: its name.
        weights: by view of the model, the state that counts for it; None: that of the model.
    """
    inner = _inner(variant, view)
    twin = copy.deepcopy(model)
    if weights is not None:
        twin.load_state_dict(weights[inner])
    with in_view(twin.eval(), variant.methods, inner):
        if view == AVERAGED and variant.average is not None:
            yield AveragedModel(twin, task.output, variant.average).eval()
        else:
            yield twin


def _inner(variant: Variant, view: str) -> str:
    """The view of the model itself: the average is of the primary one's predictions."""
    return variant.primary_view if view == AVERAGED else view


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
