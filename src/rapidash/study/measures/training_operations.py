"""The operations of a training step of each sample, counted in a run."""

from collections.abc import Iterator

import torch

from rapidash.methods import Measurement, Subject
from rapidash.scale import count_flops

OPERATIONS = "operations of a training step, per sample"
SAMPLES = 32


def training_operations(subject: Subject) -> Iterator[Measurement]:
    """Forward and backward pass over validation samples, after training; see `count_flops`, whose errors it raises.

    Passes for terms of methods, and the optimizer, are not in it.
    """
    if subject.moment != "after":
        return
    like = next(subject.model.parameters())
    num = min(SAMPLES, len(subject.data))
    batch = subject.data.batch(torch.arange(num)).to(like.device, like.dtype)
    yield Measurement(
        OPERATIONS, count_flops(subject.model, batch, backward=True) / num, "FLOP", "", subject.moment, subject.view
    )
