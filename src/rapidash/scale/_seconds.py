"""Seconds of a pass of a model, for comparisons at equal time."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from rapidash.data import Batch

_WARM_UP, _PASSES = 2, 9
Clock = Callable[[], float]


def pass_seconds(model: nn.Module, batch: Batch, *, backward: bool = False, clock: Clock | None = None) -> float:
    """Seconds of one pass over a batch, the median of nine, after two that count for nothing.

    Of a model on the CPU they are seconds of its processor, of all threads together, so that what else the machine does
    counts little; on a GPU they are of the wall, until the device has finished. The model is left in the mode that it
    was in; gradients of its parameters are dropped.

    Args:
        model: ``forward(batch) -> prediction``.
        batch: its input.
        backward: the pass for gradients of all parameters too.
        clock: seconds, in place of those.
    """
    is_cuda = next(model.parameters()).is_cuda
    clock = clock or (time.perf_counter if is_cuda else time.process_time)
    found = []
    for _ in range(_WARM_UP + _PASSES):
        started = clock()
        with torch.set_grad_enabled(backward):
            prediction = model(batch)
            if backward:
                prediction.square().mean().backward()
        if is_cuda:
            torch.cuda.synchronize()
        found.append(clock() - started)
        model.zero_grad(set_to_none=True)
    return statistics.median(found[_WARM_UP:])
