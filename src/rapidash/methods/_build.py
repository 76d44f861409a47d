"""The model of a variant: built by the task, modified by the objective and the methods."""

import torch
from torch import nn

from rapidash._seed import seeded
from rapidash.methods._objective import Supervised
from rapidash.methods._task import Task
from rapidash.methods._variant import Variant


def build_model(task: Task, variant: Variant, *, seed: int = 0) -> nn.Module:
    """A fresh model; torch's global generator is left as it was.

    The task's weights depend on the seed alone, those that the objective and each method add on the seed and its kind
    (of several methods of one kind also on the place among them): a method leaves those of the others as they are.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seeded(seed, "weights").initial_seed())
        objective = variant.objective or Supervised()
        model = objective.build(task, variant)
        torch.manual_seed(seeded(seed, "weights", "objective", objective.kind).initial_seed())
        model = objective.modify(model, task)
        kinds = [method.kind for method in variant.methods]
        for place, method in enumerate(variant.methods):
            before = kinds[:place].count(method.kind)
            torch.manual_seed(seeded(seed, "weights", before, method.kind).initial_seed())
            model = method.modify(model, task)
    return model
