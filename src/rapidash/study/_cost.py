"""The price of broken symmetry in the error of a trained model, as a record has it."""

from typing import Any

import torch
from torch import nn

from rapidash.data import Dataset
from rapidash.groups import enumerated
from rapidash.measure import Action, symmetry_cost
from rapidash.methods import Supervised, Task, Variant, in_eval_mode
from rapidash.study._claims import MEASURED_ELEMENTS, in_float64
from rapidash.study._moves import moves_of_tests


def cost_in_record(model: nn.Module, task: Task, variant: Variant, data: Dataset) -> dict[str, Any] | None:
    """The figures of `rapidash.measure.SymmetryCost` over the group that moves the test data, and units.

    None for data that nothing moves, for another objective than the loss of the task, and where the cost is not
    defined: an error of 0, or an output or error that is not finite.
    """
    group = moves_of_tests(task)
    if group is None or not isinstance(variant.objective or Supervised(), Supervised):
        return None
    twin, batch = in_float64(model, data)
    action = Action(group, outputs=task.output)
    everything = enumerated(group)
    is_small = everything is not None and 1 < len(everything) <= MEASURED_ELEMENTS
    try:
        with in_eval_mode(twin), torch.random.fork_rng(devices=[]):
            number = None if is_small else MEASURED_ELEMENTS
            found = symmetry_cost(twin, batch, task.errors, action, num_elements=number)
    except ValueError:
        return None
    return {**found.to_dict(), "moved_unit": task.output.unit}
