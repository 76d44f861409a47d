"""A model as a view shows it: which weights, which context, and averaged or not."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from rapidash.methods import AVERAGED, Average, AveragedModel, Method, Variant, all_view_names, seen_in_view
from rapidash.models import RapidashConfig
from rapidash.tasks import get_task


@contextmanager
def closed(model: nn.Module) -> Iterator[None]:
    model.is_closed = True  # type: ignore[assignment]
    yield


@dataclass(frozen=True)
class Closed(Method):
    """Has a second view, which counts."""

    primary_view = "closed"

    def views(self, model: nn.Module):
        return {"closed": closed}


def test_every_view_has_the_weights_that_count_for_it() -> None:
    """The average is of the predictions of the primary view."""
    model = nn.Linear(1, 1)
    task = get_task("nbody", num_train=2, num_val=2, num_test=2)
    variant = Variant("a", RapidashConfig(), methods=(Closed(), Average("octahedral")))
    assert all_view_names(variant, model) == ["full", "closed", AVERAGED]
    states = {"full": 1.0, "closed": 2.0}
    weights = {name: {"weight": torch.full((1, 1), v), "bias": torch.zeros(1)} for name, v in states.items()}
    found = {}
    before = model.weight.item()
    for name in all_view_names(variant, model):
        with seen_in_view(model, task, variant, name, weights) as shown:
            inner = shown.model if isinstance(shown, AveragedModel) else shown
            assert not shown.training
            found[name] = inner.weight.item(), hasattr(inner, "is_closed"), isinstance(shown, AveragedModel)
    assert found == {"full": (1.0, False, False), "closed": (2.0, True, False), AVERAGED: (2.0, True, True)}
    assert (model.weight.item(), model.training, hasattr(model, "is_closed")) == (before, True, False)
    with seen_in_view(model, task, variant, "closed") as shown:
        assert shown.weight.item() == before
