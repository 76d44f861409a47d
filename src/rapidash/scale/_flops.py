"""Floating point operations of a pass of a model, counted and not estimated from its parameters."""

import torch
from torch import nn

from rapidash.data import Batch
from rapidash.ops import counted_flops


def count_flops(model: nn.Module, batch: Batch, *, backward: bool = False) -> int:
    """Operations of one pass over a batch; a multiplication with its addition counts 2.

    Matrix products and the kernels of this package count, see `rapidash.ops.flop_formulas`; what costs a number per
    feature (norms, activations) does not. The model is left in the mode that it was in; gradients of its parameters are
    dropped.

    Args:
        model: ``forward(batch) -> prediction``.
        batch: its input.
        backward: the pass for gradients of all parameters too: about twice as much again.
    Raises: ValueError naming an operation that cannot be counted: it would be 0 in the sum.
    """
    with torch.set_grad_enabled(backward), counted_flops() as count:
        prediction = model(batch)
        if backward:
            prediction.square().mean().backward()
    model.zero_grad(set_to_none=True)
    if count.missed:
        raise ValueError(f"operations of {type(model).__name__} without a count: {', '.join(sorted(count.missed))}")
    return count.total
